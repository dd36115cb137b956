import { useSyncExternalStore } from "react";
import type { Id } from "../api";

export type Route =
  | { screen: "start" }
  | { screen: "project"; project: Id; scene: Id | null }
  | { screen: "train"; job: Id | null }
  | { screen: "settings" };

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

export function parse(hash: string): Route {
  const [screen, first, second] = hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  if (screen === "p" && first) return { screen: "project", project: first, scene: second ?? null };
  if (screen === "train") return { screen: "train", job: first ?? null };
  if (screen === "settings") return { screen: "settings" };
  return { screen: "start" };
}

/** Where the page is, kept in the address behind the #, so that back, forward and refresh do what they always do. */
export function useRoute(): Route {
  return parse(useSyncExternalStore(subscribe, () => location.hash));
}

export const to = {
  start: "#/",
  train: "#/train",
  settings: "#/settings",
  job: (job: Id) => `#/train/${encodeURIComponent(job)}`,
  project: (project: Id, scene?: Id | null) =>
    `#/p/${encodeURIComponent(project)}${scene == null ? "" : `/${encodeURIComponent(scene)}`}`,
};

export function go(hash: string): void {
  location.hash = hash;
}
