/** The keys of the studio: one table, rebindable, deaf while an input method composes. */

export type KeyAction =
  | "generate" | "continue" | "stop" | "retry" | "previous" | "next" | "undo" | "redo" | "undo2" | "redo2"
  | "accept" | "acceptWord" | "rewrite" | "tokens" | "palette" | "shortcuts" | "save" | "candidates";

/** `Mod` is Ctrl, and Cmd on a Mac. A letter or digit names the physical key, so Alt+R works where Alt makes it `®`. */
export const defaultKeys: Record<KeyAction, string> = {
  generate: "Mod+Enter",
  continue: "Alt+Enter",
  candidates: "Mod+Shift+Enter",
  stop: "Escape",
  retry: "Alt+R",
  previous: "Alt+ArrowLeft",
  next: "Alt+ArrowRight",
  undo: "Mod+Z",
  redo: "Mod+Shift+Z",
  undo2: "Alt+Z",
  redo2: "Alt+Y",
  accept: "Tab",
  acceptWord: "Mod+ArrowRight",
  rewrite: "Mod+J",
  tokens: "Alt+T",
  palette: "Mod+K",
  shortcuts: "Mod+/",
  save: "Mod+S",
};

export const isMac = /Mac|iPhone|iPad/.test(navigator.userAgent);

/** True while an input method has the keyboard: 229 is what Chromium and Safari report for its keys. */
export function composing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === 229 || event.key === "Process" || event.key === "Dead";
}

/** The key of an event as the table writes it: `Mod+Shift+Z`, `Alt+ArrowLeft`, `Escape`. */
export function combo(event: KeyboardEvent): string {
  const mod = isMac ? event.metaKey : event.ctrlKey;
  const parts = [mod && "Mod", isMac && event.ctrlKey && "Ctrl", event.altKey && "Alt", event.shiftKey && "Shift"];
  return [...parts.filter(Boolean), named(event)].join("+");
}

function named(event: KeyboardEvent): string {
  const letter = /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(event.code);
  // The printed letter wins where it is Latin (a French A stays A); the physical key where it is not (Alt's signs, 中文).
  if (/^[a-z]$/i.test(event.key)) return event.key.toUpperCase();
  if (letter) return letter[1]!;
  return event.key === " " ? "Space" : event.key;
}

let bound: Record<string, string> = defaultKeys;

/** Take the writer's own keys; what they left out keeps its default, an empty string means no key. */
export function bindKeys(own: Record<string, string> = {}): void {
  bound = { ...defaultKeys, ...own };
}

export const keyOf = (action: KeyAction): string => bound[action] ?? "";

/** The action that a key event asks for, or null: never while an input method composes. */
export function actionOf(event: KeyboardEvent): KeyAction | null {
  if (composing(event)) return null;
  const pressed = combo(event);
  for (const [action, key] of Object.entries(bound)) if (key === pressed) return action as KeyAction;
  // Ctrl+Y is redo for everybody who learnt it elsewhere.
  return pressed === "Mod+Y" ? "redo" : null;
}

/** A key as a person reads it: `Ctrl+Enter`, `⌘↵`. */
export function spoken(key: string): string {
  const names: Record<string, string> = isMac
    ? { Mod: "⌘", Alt: "⌥", Shift: "⇧", Ctrl: "⌃", Enter: "↵" }
    : { Mod: "Ctrl" };
  const arrows: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };
  return key
    .split("+")
    .map((part) => names[part] ?? arrows[part] ?? part)
    .join(isMac ? "" : "+");
}
