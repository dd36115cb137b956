/** The studio's API as functions: one per endpoint, named as the contract names it. */

import { Unreachable } from "./errors";
import { events, request, type RequestOptions, type ServerEvent } from "./http";
import type * as T from "./types";

const get = <A>(path: string, signal?: AbortSignal) => request<A>("GET", `/api/${path}`, signal ? { signal } : {});
const post = <A>(path: string, body: unknown = {}, options: RequestOptions = {}) =>
  request<A>("POST", `/api/${path}`, { body, ...options });
const put = <A>(path: string, body: unknown) => request<A>("PUT", `/api/${path}`, { body });
const patch = <A>(path: string, body: unknown) => request<A>("PATCH", `/api/${path}`, { body });
const remove = <A>(path: string) => request<A>("DELETE", `/api/${path}`);
const stream = <E>(path: string, body: unknown = {}, signal?: AbortSignal) =>
  events("POST", `/api/${path}`, signal ? { body, signal } : { body }) as AsyncGenerator<ServerEvent & E>;

export const session = {
  open: (credentials: { token: string } | { name: string; password: string }) => post<unknown>("session", credentials),
  close: () => remove<unknown>("session"),
};

export const status = (signal?: AbortSignal) => get<T.Status>("status", signal);

export const settings = {
  read: () => get<T.WriterSettings>("settings"),
  write: (values: T.WriterSettings) => put<T.WriterSettings>("settings", values),
};

export const projects = {
  list: () => get<T.ProjectSummary[]>("projects"),
  create: (project: T.NewProject) => post<T.Project>("projects", project),
  read: (p: T.Id) => get<T.Project>(`projects/${p}`),
  change: (p: T.Id, values: Partial<T.Project>) => patch<T.Project>(`projects/${p}`, values),
  remove: (p: T.Id) => remove<unknown>(`projects/${p}`),
  restore: (p: T.Id) => post<T.Project>(`projects/${p}/restore`),
  trash: (p: T.Id) => get<T.Trashed[]>(`projects/${p}/trash`),
  exportUrl: (p: T.Id, kind: string) => `/api/projects/${p}/export/${kind}`,
};

export const items = {
  create: (p: T.Id, item: T.NewItem) => post<T.TreeItem>(`projects/${p}/items`, item),
  change: (i: T.Id, values: Partial<Pick<T.TreeItem, "title" | "parent" | "position" | "form">>) =>
    patch<T.TreeItem>(`items/${i}`, values),
  remove: (i: T.Id) => remove<unknown>(`items/${i}`),
  restore: (i: T.Id) => post<T.TreeItem>(`items/${i}/restore`),
};

export const scenes = {
  read: (i: T.Id, signal?: AbortSignal) => get<T.Scene>(`scenes/${i}`, signal),
  splice: (i: T.Id, base: T.Id, splices: T.Splice[], options: RequestOptions = {}) =>
    post<{ head: T.Id; words: number }>(`scenes/${i}/splices`, { base, splices }, options),
  undo: (i: T.Id, base: T.Id) => post<T.UndoAnswer>(`scenes/${i}/undo`, { base }),
  redo: (i: T.Id, base: T.Id) => post<T.UndoAnswer>(`scenes/${i}/redo`, { base }),
  history: (i: T.Id, before?: T.Id) =>
    get<T.HistoryNode[]>(`scenes/${i}/history${before === undefined ? "" : `?before=${before}`}`),
  at: (i: T.Id, node: T.Id) => get<{ text: string; provenance: T.ProvenanceSpan[] }>(`scenes/${i}/at/${node}`),
  restore: (i: T.Id, base: T.Id, node: T.Id) => post<T.SceneState>(`scenes/${i}/restore`, { base, node }),
  goTo: (i: T.Id, base: T.Id, node: T.Id) => post<T.SceneState>(`scenes/${i}/head`, { base, node }),
  branches: (i: T.Id) => get<T.Branch[]>(`scenes/${i}/branches`),
  label: (node: T.Id, label: string) => put<unknown>(`nodes/${node}/label`, { label }),
  alternatives: (i: T.Id, at: number) => get<T.Alternatives>(`scenes/${i}/alternatives?at=${at}`),
  choose: (i: T.Id, base: T.Id, choice: { at: number; generation: T.Id | null; candidate?: number }) =>
    post<T.SceneState>(`scenes/${i}/alternatives`, { base, ...choice }),
  context: (i: T.Id, wish: T.Wish) => post<T.ModelContext>(`scenes/${i}/context`, wish),
};

export const generations = {
  read: (g: T.Id) => get<T.Generation>(`generations/${g}`),
  stop: (g: T.Id) => post<unknown>(`generations/${g}/stop`),
  /** Offer an interrupted text no longer. */
  dismiss: (g: T.Id) => post<unknown>(`generations/${g}/dismiss`),
  /** Start one; when the connection breaks, its events are taken up again where they were left. */
  start: (scene: T.Id, wish: T.Wish, signal: AbortSignal) => joined(`scenes/${scene}/generate`, wish, signal),
  /** The events of one that runs already, from number `after` on. */
  rejoin: (g: T.Id, after: string, signal: AbortSignal) => joined(null, null, signal, g, after),
};

/** How long to wait before the n-th attempt to take up a broken stream; then it is given up. */
const WAITS = [250, 500, 1000, 2000, 4000, 8000];

async function* joined(
  path: string | null,
  body: unknown,
  signal: AbortSignal,
  generation: T.Id | null = null,
  after = "0",
): AsyncGenerator<T.GenerationEvent> {
  let attempt = 0;
  for (;;) {
    const source =
      generation === null
        ? events("POST", `/api/${path}`, { body, signal })
        : events("GET", `/api/generations/${generation}/events?after=${after}`, { signal });
    try {
      for await (const event of source) {
        attempt = 0;
        if (event.id) after = event.id;
        const known = event as unknown as T.GenerationEvent;
        if (known.event === "started") generation = known.data.generation;
        yield known;
        if (known.event === "done" || known.event === "failed") return;
      }
      // The stream ended without saying how: the same as a broken connection.
      if (generation === null) throw new Unreachable("the stream ended early");
    } catch (error) {
      if (signal.aborted || generation === null || !(error instanceof Unreachable)) throw error;
    }
    const wait = WAITS[attempt++];
    if (wait === undefined) throw new Unreachable("the stream ended early");
    await new Promise((resume) => setTimeout(resume, wait));
    if (signal.aborted) return;
  }
}

export const entries = {
  list: (p: T.Id) => get<T.Entry[]>(`projects/${p}/entries`),
  create: (p: T.Id, entry: Partial<T.Entry>) => post<T.Entry>(`projects/${p}/entries`, entry),
  change: (e: T.Id, values: Partial<T.Entry>) => patch<T.Entry>(`entries/${e}`, values),
  remove: (e: T.Id) => remove<unknown>(`entries/${e}`),
  restore: (e: T.Id) => post<T.Entry>(`entries/${e}/restore`),
  test: (p: T.Id, text: string) => post<T.FiredEntry[]>(`projects/${p}/entries/test`, { text }),
  propose: (p: T.Id) => post<T.Entry[]>(`projects/${p}/entries/propose`),
};

export const plan = {
  read: (p: T.Id, version?: number) =>
    get<T.Plan>(`projects/${p}/plan${version === undefined ? "" : `?version=${version}`}`),
  write: (p: T.Id, values: T.Plan) => put<T.Plan>(`projects/${p}/plan`, values),
  versions: (p: T.Id) => get<T.PlanVersion[]>(`projects/${p}/plan/versions`),
  propose: (p: T.Id, part: T.PlanPart, wish: { n?: number; part?: T.Id } = {}, signal?: AbortSignal) =>
    stream<T.PlanEvent>(`projects/${p}/plan/${part}`, wish, signal),
  draft: (p: T.Id, wish: { scene?: T.Id; from_beat?: T.Id } = {}, signal?: AbortSignal) =>
    stream<T.GenerationEvent>(`projects/${p}/plan/draft`, wish, signal),
};

export const chat = {
  list: (p: T.Id) => get<T.ChatMessage[]>(`projects/${p}/chat`),
  say: (p: T.Id, text: string, character?: T.Id, signal?: AbortSignal) =>
    stream<T.GenerationEvent>(`projects/${p}/chat`, { text, character }, signal),
};

export const models = {
  list: () => get<T.ModelEntry[]>("models"),
  pull: (name: string, terms: boolean, signal?: AbortSignal) =>
    stream<unknown>(`models/${name.split("/").map(encodeURIComponent).join("/")}/pull`, { accept_terms: terms }, signal),
  presets: () => get<T.Preset[]>("presets"),
};

export const connections = {
  list: () => get<T.Connection[]>("connections"),
  create: (connection: Partial<T.Connection> & { key?: string }) => post<T.Connection>("connections", connection),
  remove: (id: T.Id) => remove<unknown>(`connections/${id}`),
  test: (url: string, key?: string) => post<{ models: string[] }>("connections/test", { url, key }),
};

export const quality = (p: T.Id) => get<T.Quality>(`quality/${p}`);

export const numbers = (passage: { text: string; language: T.Language }, signal?: AbortSignal) =>
  post<T.Numbers>("numbers", passage, signal ? { signal } : {});

export const edits = {
  summary: () => get<Record<string, unknown>>("edits/summary"),
  exportUrl: (kind: "pairs" | "dpo") => `/api/edits/export?kind=${kind}`,
  wipe: () => remove<unknown>("edits"),
  chosen: (choice: T.Choice) => post<unknown>("events/choice", choice),
};

export const jobs = {
  list: () => get<T.Job[]>("jobs"),
  train: (wish: Record<string, unknown> | FormData) => post<T.Job>("jobs", wish),
  read: (j: T.Id) => get<T.Job>(`jobs/${j}`),
  events: (j: T.Id, signal?: AbortSignal) => events("GET", `/api/jobs/${j}/events`, signal ? { signal } : {}),
  cancel: (j: T.Id) => post<T.Job>(`jobs/${j}/cancel`),
  resume: (j: T.Id) => post<T.Job>(`jobs/${j}/resume`),
  remove: (j: T.Id) => remove<unknown>(`jobs/${j}`),
};

export const books = {
  read: (body: FormData | { text: string; name: string; project?: T.Id }) => post<T.ImportAnswer>("import", body),
  backupUrl: "/api/backup",
  restore: (body: FormData) => post<unknown>("backup", body),
};
