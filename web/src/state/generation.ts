/** The generation that runs, or the last one: what the status line and the Model panel show of it. */

import { create } from "zustand";
import type { Finding, Id, Mode, ModelContext } from "../api";

export type Phase = "idle" | "asking" | "queued" | "reading" | "writing" | "done" | "stopped" | "failed";

export interface CandidateInfo {
  text: string;
  finished: string | null;
  words?: number;
  doubt?: number;
  scores?: Record<string, number>;
  left_out?: string[];
  findings?: Finding[];
}

export interface GenerationInfo {
  phase: Phase;
  mode: Mode | null;
  id: Id | null;
  model: string | null;
  /** Place in the queue. */
  position: number;
  /** Tokens of the prompt read, of how many. */
  progress: { read: number; total: number } | null;
  tokens: number;
  tokensPerSecond: number | null;
  firstTokenAfter: number | null;
  /** What the model saw. */
  context: ModelContext | null;
  candidates: CandidateInfo[];
  /** What the content check found in the words that went into the text. */
  findings: Finding[];
  error: { message: string; next: string } | null;
}

export const noGeneration: GenerationInfo = {
  phase: "idle",
  mode: null,
  id: null,
  model: null,
  position: 0,
  progress: null,
  tokens: 0,
  tokensPerSecond: null,
  firstTokenAfter: null,
  context: null,
  candidates: [],
  findings: [],
  error: null,
};

export const useGeneration = create<GenerationInfo>(() => noGeneration);

export const busy = (info: GenerationInfo): boolean => ["asking", "queued", "reading", "writing"].includes(info.phase);
