import type { Id, TreeItem } from "../api";

/** An item of the project tree where it stands on the page: how deep, and which of how many. */
export interface Row {
  item: TreeItem;
  depth: number;
  place: number;
  among: number;
  open: boolean | null;
  words: number;
}

export interface Move {
  parent: Id | null;
  position: number;
}

const inside = (tree: TreeItem[], parent: Id | null) =>
  tree.filter((item) => item.parent === parent).sort((a, b) => a.position - b.position);

/** The tree as the lines that are in sight, and the words under each. */
export function rows(tree: TreeItem[], folded: ReadonlySet<Id>, parent: Id | null = null, depth = 0): Row[] {
  const here = inside(tree, parent);
  return here.flatMap((item, place) => {
    const below = rows(tree, folded, item.id, depth + 1);
    const open = item.kind === "chapter" ? !folded.has(item.id) : null;
    const row: Row = { item, depth, place, among: here.length, open, words: total(tree, item) };
    return open ? [row, ...below] : [row];
  });
}

function total(tree: TreeItem[], item: TreeItem): number {
  return inside(tree, item.id).reduce((sum, child) => sum + total(tree, child), item.kind === "chapter" ? 0 : item.words);
}

/** Where an item goes one step up, down, into the chapter above it or out of its own; null when it cannot. */
export function step(tree: TreeItem[], item: TreeItem, way: "up" | "down" | "in" | "out"): Move | null {
  const siblings = inside(tree, item.parent);
  const place = siblings.findIndex((one) => one.id === item.id);
  if (way === "up" || way === "down") {
    const position = place + (way === "up" ? -1 : 1);
    return position < 0 || position >= siblings.length ? null : { parent: item.parent, position };
  }
  if (way === "in") {
    const above = siblings.slice(0, place).findLast((one) => one.kind === "chapter");
    return above ? { parent: above.id, position: inside(tree, above.id).length } : null;
  }
  const own = tree.find((one) => one.id === item.parent);
  if (!own) return null;
  return { parent: own.parent, position: inside(tree, own.parent).findIndex((one) => one.id === own.id) + 1 };
}

/** Where an item goes that is dropped on another: into a chapter, else just after it; never into itself. */
export function drop(tree: TreeItem[], item: TreeItem, on: TreeItem): Move | null {
  for (let up: TreeItem | undefined = on; up; up = tree.find((one) => one.id === up!.parent)) if (up.id === item.id) return null;
  if (on.kind === "chapter" && item.kind !== "chapter") return { parent: on.id, position: inside(tree, on.id).length };
  const place = inside(tree, on.parent).filter((one) => one.id !== item.id).findIndex((one) => one.id === on.id);
  return { parent: on.parent, position: place + 1 };
}
