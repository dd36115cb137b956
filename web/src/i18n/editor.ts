/** What the manuscript says, in both languages. */
export const editorEn = {
  "editor.label": "Manuscript",
} as const;

export const editorZh: Record<keyof typeof editorEn, string> = {
  "editor.label": "正文",
};
