/** The studio's own line drawings, 20 by 20, in the colour of the text around them. */
const drawings = {
  tree: "M4 4h12M4 10h12M4 16h7",
  panel: "M3 4h14v12H3zM12.5 4v12",
  add: "M10 4.5v11M4.5 10h11",
  more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  close: "M5 5l10 10M15 5L5 15",
  back: "M12.5 4.5L7 10l5.5 5.5",
  down: "M5 7.5l5 5 5-5",
  right: "M7.5 5l5 5-5 5",
  settings: "M4 6h7M15 6h1M4 14h1M9 14h7M11 6a2 2 0 104 0 2 2 0 10-4 0M5 14a2 2 0 104 0 2 2 0 10-4 0",
  export: "M10 12.5V3.5M6.5 7L10 3.5 13.5 7M4 12v4.5h12V12",
  train: "M3.5 16l4-5 3 3 6-8.5M12.5 5.5h4v4",
  chat: "M4 4.5h12v8.5H9l-3.5 3V13H4z",
  trash: "M4.5 6h11M8 6V4h4v2M6 6l.7 10.5h6.6L14 6",
  write: "M4 16l.8-3.5L13.5 3.8l2.7 2.7-8.7 8.7z",
  light: "M10 6.5a3.5 3.5 0 100 7 3.5 3.5 0 100-7M10 2v1.8M10 16.2V18M2 10h1.8M16.2 10H18M4.3 4.3l1.3 1.3M14.4 14.4l1.3 1.3M4.3 15.7l1.3-1.3M14.4 5.6l1.3-1.3",
  dark: "M16 12.2A6.8 6.8 0 017.8 4 6.8 6.8 0 1016 12.2z",
  check: "M4.5 10.5l3.7 3.7 7.3-8.2",
  stop: "M6 6h8v8H6z",
  book: "M10 5.5C8 4 5.5 3.8 2.5 4.500v10.500c3-.7 5.500-.5 7.500 1 2-1.500 4.500-1.700 7.500-1V4.500c-3-.7-5.500-.5-7.500 1zM10 5.500V16",
} as const;

export type Drawing = keyof typeof drawings;

export function Icon({ name }: { name: Drawing }) {
  const dots = name === "more";
  return (
    <svg width="20" height="20" viewBox="0 0 20 20" fill="none" aria-hidden="true" focusable="false">
      <path
        d={drawings[name]}
        stroke="currentColor"
        strokeWidth={dots ? 2.4 : 1.4}
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
