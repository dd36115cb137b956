/** The generation that runs, remembered over a reload of the page. */

import type { Id } from "../api";

const RUNNING = "storyteller.running";

/** Note that a generation writes into a scene; null when it is over. */
export function note(scene: Id | null, generation?: Id): void {
  try {
    if (scene === null) sessionStorage.removeItem(RUNNING);
    else sessionStorage.setItem(RUNNING, JSON.stringify([scene, generation]));
  } catch {
    // A browser that keeps nothing: the server offers the text again as recovered.
  }
}

/** The generation that wrote into a scene when the page went away. */
export function noteOf(scene: Id): Id | null {
  try {
    const [where, generation] = JSON.parse(sessionStorage.getItem(RUNNING) ?? "[]") as [Id?, Id?];
    return where === scene ? (generation ?? null) : null;
  } catch {
    return null;
  }
}
