/** What stands beside the manuscript's text: cards, the rewriting bar, the table of tokens. */

import { create } from "zustand";
import type { Id, Token } from "../api";

/** Candidates to choose from, side by side with the text they would take the place of. */
export interface Deck {
  /** What the writer asked for: several continuations, or another wording of a selection. */
  kind: "candidates" | "rewrite";
  /** The selection as it was; empty for continuations. */
  old: string;
  chosen: number;
  /** The wish again, for "another". */
  again(): void;
}

export interface Versions {
  at: number;
  of: number;
  model: string | null;
  /** The text as it was before the model wrote. */
  own: boolean;
}

export interface TokenChoice {
  generation: Id;
  candidate: number;
  index: number;
  token: Token;
  /** Where its table hangs, in the scrolled column. */
  left: number;
  top: number;
  /** Opened with a click or a key: it stays. */
  fixed: boolean;
}

interface EditorView {
  deck: Deck | null;
  /** The bar over a selection, or word that there is none. */
  rewriting: { left: number; top: number } | "nothing" | null;
  versions: Versions | null;
  tokenMode: boolean;
  token: TokenChoice | null;
  ghost: boolean;
}

export const closedView: EditorView = {
  deck: null,
  rewriting: null,
  versions: null,
  tokenMode: false,
  token: null,
  ghost: false,
};

export const useView = create<EditorView>(() => closedView);
