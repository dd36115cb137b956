import type { Id } from "../api";

/** The manuscript of one scene. It fills its parent and scrolls in it. */
export function Manuscript({ scene }: { scene: Id }) {
  return <div data-scene={scene} />;
}
