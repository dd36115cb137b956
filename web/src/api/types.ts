/** What the studio's HTTP API speaks. Offsets and lengths count UTF-16 code units, as JavaScript's strings do. */

export type Id = string | number;
export type Language = "en" | "zh" | (string & {});
export type Bilingual = { en: string; zh: string };

export interface ModelStatus {
  name: string;
  loaded: boolean;
  loading: boolean;
  languages: string[];
  parameters: number | null;
  bytes: number | null;
  figures: Figure[];
}

export interface Figure {
  name: string;
  value: number | string;
  low?: number;
  high?: number;
  baseline?: number | string;
  note?: string | Bilingual;
}

export interface Status {
  version: string;
  model: ModelStatus;
  storage: { path: string; free_bytes: number; ok: boolean };
  accounts: boolean;
  user?: string;
}

/** What becomes of words of violence, sex, self-harm and slurs: nothing, a note, or a flag by the reader's age. */
export type Safety = "off" | "note" | "age";

export interface WriterSettings {
  interface?: "en" | "zh";
  theme?: "auto" | "light" | "dark";
  preset?: string;
  model?: string;
  keys?: Record<string, string>;
  provenance_colours?: boolean;
  ghost?: boolean;
  reading_age?: number;
  safety?: Safety;
  [free: string]: unknown;
}

export interface ProjectSummary {
  id: Id;
  title: string;
  idea: string;
  language: Language;
  form: string;
  words: number;
  updated: string;
}

export interface TreeItem {
  id: Id;
  kind: "chapter" | "scene" | "note";
  parent: Id | null;
  title: string;
  position: number;
  words: number;
  form: string | null;
}

export interface Trashed {
  id: Id;
  kind: string;
  title: string;
  words: number;
  trashed: string | null;
}

export interface Person {
  name: string;
  who: string;
}

export interface Sampling {
  temperature?: number;
  min_p?: number;
  top_p?: number;
  top_k?: number;
  [other: string]: unknown;
}

export interface ProjectSettings {
  model?: string;
  preset?: string;
  sampling?: Sampling;
  members?: Record<string, number>;
  [free: string]: unknown;
}

export interface Project extends ProjectSummary {
  theme: string;
  plot: string;
  age: number | null;
  memory: string;
  note: string;
  note_depth: number;
  /** How many words or 字 there are; `words` is the length that was wished for. */
  written: number;
  settings: ProjectSettings;
  tree: TreeItem[];
}

export interface NewProject {
  title?: string;
  language?: Language;
  form?: string;
  idea?: string;
  plot?: string;
  theme?: string;
  characters?: Person[];
  words?: number;
  age?: number;
}

export interface NewItem {
  kind: TreeItem["kind"];
  title: string;
  parent?: Id | null;
  position?: number;
  form?: string;
  text?: string;
}

export type Source = "person" | "model" | "edited" | "prompt" | "import";
/** `[length, source, generation, model]`: who wrote a stretch of the text. */
export type ProvenanceSpan = [number, Source, Id | null, string | null];

export interface Scene {
  id: Id;
  project: Id;
  title: string;
  form: string;
  language: Language;
  text: string;
  head: Id;
  provenance: ProvenanceSpan[];
  recovered: Generation[];
}

export type NodeKind = "type" | "generate" | "rewrite" | "alternative" | "import" | "restore" | "undo" | "redo";

export interface Splice {
  start: number;
  remove: number;
  insert: string;
  author?: "person" | "model" | "import" | "prompt";
  generation?: Id;
  candidate?: number;
  kind?: NodeKind;
}

export interface SceneState {
  head: Id;
  text: string;
  provenance: ProvenanceSpan[];
}

export interface UndoAnswer extends SceneState {
  splice: Splice;
}

export interface HistoryNode {
  node: Id;
  parent: Id | null;
  kind: NodeKind;
  author: "person" | "model" | "import";
  model?: string;
  created: string;
  label?: string;
  summary: string;
  inserted_words: number;
  removed_words: number;
  children: number;
  on_path: boolean;
}

export interface Branch {
  node: Id;
  label: string;
  created: string;
  words: number;
  is_head: boolean;
}

export type GenerationStatus = "queued" | "running" | "done" | "stopped" | "failed" | "interrupted";
/** `[text, share, members]`: what the model might have said instead, and which members wanted it. */
export type TokenAlternative = { text: string; p: number; members?: Record<string, number>; id?: number };

export interface Token {
  id?: number;
  text: string;
  logprob: number;
  alternatives: TokenAlternative[];
  members?: Record<string, number>;
}

export interface Candidate {
  text: string;
  finish_reason: string | null;
  tokens?: Token[];
  words?: number;
  doubt?: number;
  scores?: Record<string, number>;
  /** Members of an ensemble whose weights are damaged: it was written without them. */
  left_out?: string[];
  findings?: Finding[];
}

/** Words that the content check found, and what the writer is told of them. */
export interface Finding {
  category: string;
  words: string;
  start: number;
  end: number;
  action: "refuse" | "flag" | "note";
  why: Bilingual;
}

export interface ContextPart {
  name: string;
  tokens: number;
  why?: string;
  text: string;
}

export interface ModelContext {
  parts: ContextPart[];
  tokens: number;
  limit: number;
}

export interface Generation {
  id: Id;
  scene_id: Id;
  mode: Mode;
  status: GenerationStatus;
  model: string;
  seed?: number;
  settings?: Record<string, unknown>;
  at?: number;
  end?: number;
  base?: Id;
  context?: ModelContext;
  error?: string;
  created?: string;
  candidates: (Candidate & { extra?: Pick<Candidate, "findings"> })[];
}

export type Mode = "continue" | "rewrite" | "infill" | "ghost" | "begin" | "chat";
export type Action = "rewrite" | "expand" | "shorten" | "describe" | "tone" | "viewpoint" | "translate";

export interface Wish {
  base: Id;
  mode: Mode;
  at: number;
  end?: number;
  text?: string;
  instruction?: string;
  action?: Action;
  value?: string;
  n?: number;
  words?: number;
  model?: string;
  preset?: string;
  sampling?: Sampling;
  members?: Record<string, number>;
  seed?: number;
  from?: { generation: Id; candidate: number; token: number; choice: number };
}

/** The events of a generation, in the order in which they may come. */
export type GenerationEvent =
  | { event: "queued"; data: { position: number } }
  | { event: "started"; data: { generation: Id; model: string; seeds: number[]; context: ModelContext } }
  | { event: "text"; data: { candidate: number; text: string; token?: Omit<Token, "text"> } }
  | { event: "progress"; data: { read: number; total: number } }
  | { event: "candidate"; data: { candidate: number; finish_reason: string; text: string; words: number; doubt?: number; scores?: Record<string, number>; left_out?: string[]; findings?: Finding[] } }
  | { event: "done"; data: { generation: Id } }
  | { event: "failed"; data: { message: string; next?: string; kept?: boolean } }
  | { event: "beat"; data: { id: Id } };

/** A text for a passage; without a generation it is what stood there before the model's first. */
export interface Alternative {
  generation: Id | null;
  candidate: number | null;
  text: string;
  model: string | null;
  seed?: number;
  current: boolean;
}

export interface Alternatives {
  start: number;
  end: number;
  alternatives: Alternative[];
}

export interface Entry {
  id: Id;
  kind: "person" | "place" | "thing" | "other";
  name: string;
  aliases: string[];
  not: string[];
  text: string;
  always: boolean;
  enabled: boolean;
  priority: number;
  proposed: boolean;
  extra: Record<string, unknown>;
}

export interface FiredEntry {
  entry: Id;
  key: string;
  start: number;
  end: number;
  why: string;
}

export interface Plan {
  premise: string;
  people: Person[];
  outline: { id: Id; title: string; beats: { id: Id; text: string; words: number }[] }[];
  chosen?: { step: number };
  summary: string;
}

export interface PlanVersion {
  version: number;
  created: string;
  premise: string;
}

export type PlanPart = "premise" | "people" | "outline" | "beats";
export type PlanEvent =
  | { event: "plan"; data: { candidate: number; value: unknown; score?: number; why?: string } }
  | { event: "done"; data: Record<string, unknown> }
  | { event: "failed"; data: { message: string; next?: string } };

export interface ChatMessage {
  id: Id;
  role: "person" | "storyteller" | "character" | (string & {});
  character?: Id | null;
  text: string;
  created: string;
}

export interface ModelEntry {
  name: string;
  /** What to show; the name of what was trained here is its folder. */
  title: string;
  kind: "model" | "adapter" | "ensemble" | "run" | "remote";
  languages: string[];
  parameters: number | null;
  bytes: number | null;
  /** How much is downloaded for it. */
  download: number | null;
  /** What has to be accepted before it is fetched. */
  terms: string | null;
  fetched: boolean;
  licence: string;
  note: string;
  figures: Figure[];
  members?: Record<string, number> | null;
  /** How they are mixed. */
  rule?: "arithmetic" | "geometric" | "contrastive" | null;
  loaded: boolean;
}

export interface Connection {
  id: Id;
  name: string;
  url: string;
  model: string;
}

export interface Preset {
  id: string;
  name: Bilingual;
  about: Bilingual;
  sampling: Sampling;
}

export interface Quality {
  /** `low` and `high` are null where one passage says nothing about the next. */
  kept: { model: string; share: number; low: number | null; high: number | null; n: number }[];
  provenance: Record<Source, number>;
  disclosure: string;
  measures: Figure[];
  /** "measuring": these are of before the last change. */
  state?: "ready" | "measuring";
}

/** A number from 0 to 100, or the reason why there is none. */
export interface PassageNumber {
  value: number | null;
  reason: "" | "short" | "language" | "kind" | "length";
}

/** What was read in a passage; the sentences together are the text that was read. */
export interface Numbers {
  likeness: PassageNumber;
  coherence: PassageNumber;
  words: number;
  sentences: { text: string; likeness: number | null }[];
}

export interface Choice {
  generation: Id;
  candidate: number;
  kind: "accept" | "retry" | "delete" | "rewrite";
  kept_text?: string;
}

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled" | "interrupted";

export interface DataReport {
  files: number;
  read: number;
  kept: number;
  words: number;
  languages: Record<string, number>;
  forms: Record<string, number>;
  splits: Record<string, number>;
  dropped: { reason: string; count: number; example: string; begins: string }[];
  warnings: { code: string; text: string }[];
}

export interface Job {
  id: Id;
  kind: string;
  name: string;
  next?: string;
  created?: number | null;
  state: JobState;
  stage: string;
  progress: number;
  eta_seconds: number | null;
  message: string;
  report?: DataReport | null;
  estimate?: { steps: number; seconds: number; memory: number } | null;
  figures?: { base?: number; best?: number } | null;
  step?: number | null;
  curve: { step: number; loss: number | null; dev?: number | null }[];
  samples: { step: number; text: string }[];
  model?: string;
}

export interface ImportAnswer {
  project: Id;
  items: Id[];
  entries: Id[];
  warnings: string[];
}
