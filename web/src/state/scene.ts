/** What the rest of the page may know about the open manuscript. The editor writes it; panels read it. */

import { create } from "zustand";
import type { ApiError, Generation, Id, Scene, SceneState, Source } from "../api";

/** Where the last words are: on their way, on disk, or held up, and by what. */
export type Saving = "saved" | "unsaved" | "saving" | "offline" | "full" | "conflict" | "refused" | "signed-out";

/** The passage under the cursor: a stretch that one generation wrote. */
export interface Passage {
  start: number;
  end: number;
  source: Source;
  generation: Id | null;
  model: string | null;
}

export interface SceneInfo {
  /** As it was read; its `text` and `provenance` are those of that moment, not of now. */
  scene: Scene | null;
  loading: boolean;
  /** Why the scene could not be read. */
  error: ApiError | null;
  head: Id | null;
  saving: Saving;
  savedAt: number | null;
  /** What the server said when saving was refused. */
  refusal: ApiError | null;
  /** The other writer's state, when there is one. */
  conflict: SceneState | null;
  words: number;
  /** Offsets of the selection; equal when it is only a cursor. */
  selection: { start: number; end: number };
  passage: Passage | null;
  /** Share of each source in the text, in characters. */
  shares: Record<Source, number>;
  recovered: Generation[];
}

export const closedScene: SceneInfo = {
  scene: null,
  loading: false,
  error: null,
  head: null,
  saving: "saved",
  savedAt: null,
  refusal: null,
  conflict: null,
  words: 0,
  selection: { start: 0, end: 0 },
  passage: null,
  shares: { person: 0, model: 0, edited: 0, prompt: 0, import: 0 },
  recovered: [],
};

export const useScene = create<SceneInfo>(() => closedScene);
