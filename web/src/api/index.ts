export * as api from "./client";
export { ApiError, Unreachable } from "./errors";
export { events, request, setToken, token, type ServerEvent } from "./http";
export type * from "./types";
