/** What panels, the palette and buttons may ask of the open manuscript. Each does nothing when no scene is open. */

import type { GenerationEvent, Id, Wish } from "../api";

export interface ManuscriptCommands {
  /** All that was typed is on disk when this resolves; rejects when it could not be. */
  flush(): Promise<void>;
  /** The text as it is on the screen. */
  text(): string;
  /** Offsets of the selection as it is now; what `useScene` knows of it comes a little later. */
  selection(): { start: number; end: number };
  focus(): void;
  /** Show and select a stretch of the text. */
  reveal(start: number, end?: number): void;
  insert(text: string): void;
  /** Generate at the cursor, or with any other wish. */
  generate(wish?: Partial<Wish>): void;
  /** Continue at the end of the scene. */
  continue(): void;
  /** Write at the end of the scene what these events bring (a draft by the plan); each event is passed on to `each`. */
  draft(open: (signal: AbortSignal) => AsyncIterable<GenerationEvent>, each?: (event: GenerationEvent) => void): Promise<void>;
  stop(): void;
  retry(): void;
  previous(): void;
  next(): void;
  undo(): void;
  redo(): void;
  rewrite(): void;
  toggleTokens(): void;
  /** Make the text that of an older moment, as a new node. */
  restore(node: Id): Promise<void>;
  /** Go to a branch. */
  goTo(node: Id): Promise<void>;
  /** Save the text on the screen as a file, without the server. */
  download(): void;
}

const nothing = (): void => undefined;
const closed: ManuscriptCommands = {
  flush: async () => undefined,
  text: () => "",
  selection: () => ({ start: 0, end: 0 }),
  focus: nothing,
  reveal: nothing,
  insert: nothing,
  generate: nothing,
  continue: nothing,
  draft: async () => undefined,
  stop: nothing,
  retry: nothing,
  previous: nothing,
  next: nothing,
  undo: nothing,
  redo: nothing,
  rewrite: nothing,
  toggleTokens: nothing,
  restore: async () => undefined,
  goTo: async () => undefined,
  download: nothing,
};

let open: ManuscriptCommands = closed;

/** The open manuscript's commands. */
export const manuscript = (): ManuscriptCommands => open;

export function opened(commands: ManuscriptCommands | null): void {
  open = commands ?? closed;
}
