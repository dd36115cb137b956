/** One request, one answer; and server-sent events over `fetch`, which can post and carry a token as EventSource cannot. */

import { refusal, Unreachable } from "./errors";

const TOKEN = "storyteller.token";

/** The token for a server that asks for one; kept for this tab only. */
export function token(): string | null {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null;
  }
}

export function setToken(value: string | null): void {
  if (value === null) sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, value);
}

export interface RequestOptions {
  body?: unknown;
  signal?: AbortSignal;
  /** Let the request outlive the page: for the last words before it closes. The browser allows 64 kB for it. */
  keepalive?: boolean;
}

async function send(method: string, path: string, { body, signal, keepalive }: RequestOptions, accept: string): Promise<Response> {
  const headers: Record<string, string> = { accept };
  const secret = token();
  if (secret) headers.authorization = `Bearer ${secret}`;
  const form = body instanceof FormData;
  if (body !== undefined && !form) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : form ? body : JSON.stringify(body),
      signal: signal ?? null,
      keepalive: keepalive ?? false,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Unreachable(cause);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

export async function request<Answer>(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
  const response = await send(method, path, options, "application/json");
  if (response.status === 204) return undefined as Answer;
  try {
    return (await response.json()) as Answer;
  } catch (cause) {
    throw new Unreachable(cause);
  }
}

export interface ServerEvent {
  event: string;
  /** The event's running number: where to take up again. */
  id: string;
  data: unknown;
}

/** The events of one response, until it ends. Throws `Unreachable` when the connection breaks in between. */
export async function* events(method: string, path: string, options: RequestOptions = {}): AsyncGenerator<ServerEvent> {
  const response = await send(method, path, options, "text/event-stream");
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause: unknown) => {
        if (options.signal?.aborted) throw cause;
        throw new Unreachable(cause);
      });
      if (done) return;
      rest += value;
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop()!;
      for (const block of blocks) {
        const event = parsed(block);
        if (event) yield event;
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

function parsed(block: string): ServerEvent | null {
  const event: ServerEvent = { event: "message", id: "", data: undefined };
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue; // a comment keeps the connection awake
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "event") event.event = value;
    else if (field === "id") event.id = value;
    else if (field === "data") data.push(value);
  }
  if (!data.length) return null;
  event.data = JSON.parse(data.join("\n"));
  return event;
}
