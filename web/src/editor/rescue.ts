/** Words that did not reach the server, kept by the window until they do: for a reload while the connection is lost. */

import type { Id } from "../api";

const KEY = "storyteller.rescue.";

export interface Rescue {
  head: Id;
  text: string;
}

export function keepRescue(scene: Id, rescue: Rescue | null): void {
  try {
    if (rescue) sessionStorage.setItem(KEY + scene, JSON.stringify(rescue));
    else sessionStorage.removeItem(KEY + scene);
  } catch {
    // Larger than the browser keeps: the warning before the page closes is what remains.
  }
}

export function rescueOf(scene: Id): Rescue | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEY + scene) ?? "null") as Rescue | null;
  } catch {
    return null;
  }
}
