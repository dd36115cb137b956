/** What can go wrong between the page and its server, told apart by what the writer can do about it. */

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    /** What to do next, in the server's words. */
    readonly next: string,
    /** The whole answer: a conflict carries the current state in it. */
    readonly body: Record<string, unknown> = {},
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** Somebody else wrote: `body` holds the current state. */
  get conflict(): boolean {
    return this.status === 409;
  }

  /** The session ran out, or none was opened. */
  get signedOut(): boolean {
    return this.status === 401;
  }

  /** The server has nowhere to put it. */
  get full(): boolean {
    return this.status === 507;
  }

  /** Trying the same again later may help. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

/** The server could not be reached at all: nothing was heard, so nothing is known about what it did. */
export class Unreachable extends ApiError {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), 0, "unreachable", "");
    this.name = "Unreachable";
  }
}

/** The error that a refused response carries: `{"error": {"code", "message", "next"}}`, or as much of it as there is. */
export async function refusal(response: Response): Promise<ApiError> {
  let body: Record<string, unknown> = {};
  try {
    body = (await response.json()) as Record<string, unknown>;
  } catch {
    // A proxy's page, or nothing at all: the status still says what happened.
  }
  const error = (body.error ?? {}) as { code?: string; message?: string; next?: string };
  return new ApiError(
    error.message ?? `${response.status} ${response.statusText}`,
    response.status,
    error.code ?? String(response.status),
    error.next ?? "",
    body,
  );
}
