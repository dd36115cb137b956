/**
 * The manuscript as a string and as a document.
 *
 * A line of the string is a paragraph of the document, so an offset in UTF-16 units and a ProseMirror position differ by
 * one for the first paragraph's opening and by one more for each newline before: `position = offset + 1 + newlines`.
 */

import type { Node, Schema } from "@tiptap/pm/model";
import type { Candidate, Id, NodeKind, ProvenanceSpan, Source, Splice } from "../api";

/** Who wrote a stretch of text; null stands for the writer. */
export interface By {
  source: Exclude<Source, "person">;
  generation: Id | null;
  model: string | null;
  candidate: number | null;
}

export function positionOf(doc: Node, offset: number): number {
  let position = 1;
  for (let index = 0; index < doc.childCount; index++) {
    const size = doc.child(index).content.size;
    if (offset <= size) return position + offset;
    offset -= size + 1;
    position += size + 2;
  }
  return doc.content.size - 1;
}

export function offsetOf(doc: Node, position: number): number {
  const place = doc.resolve(Math.max(0, Math.min(position, doc.content.size)));
  const newlines = place.index(0);
  if (place.depth > 0) return position - 1 - newlines;
  return Math.min(position - newlines, lengthOf(doc)); // between two paragraphs: the start of the second
}

export const lengthOf = (doc: Node): number => doc.content.size - doc.childCount - 1;

/** The text of a stretch of the document, by positions. */
export const textOf = (doc: Node, from = 0, to = doc.content.size): string => doc.textBetween(from, to, "\n");

/** The document for a text and its spans. */
export function documentOf(schema: Schema, text: string, provenance: ProvenanceSpan[] = []): Node {
  const spans = provenance[Symbol.iterator]();
  let left = 0;
  let marks = marksOf(schema, null);
  const advance = (): void => {
    const next = spans.next();
    if (next.done) {
      left = Infinity;
      marks = [];
    } else {
      left = next.value[0];
      marks = marksOf(schema, byOf(next.value));
    }
  };
  const paragraphs = text.split("\n").map((line) => {
    const pieces: Node[] = [];
    for (let place = 0; place < line.length; ) {
      while (left === 0) advance();
      const length = Math.min(left, line.length - place);
      pieces.push(schema.text(line.slice(place, place + length), marks));
      place += length;
      left -= length;
    }
    while (left === 0) advance();
    left -= 1; // the newline
    return schema.nodes.paragraph!.create(null, pieces);
  });
  return schema.nodes.doc!.create(null, paragraphs);
}

export const marksOf = (schema: Schema, by: By | null) => (by ? [schema.marks.by!.create({ ...by })] : []);

function byOf([, source, generation, model, candidate]: [...ProvenanceSpan, candidate?: number | null]): By | null {
  return source === "person" ? null : { source, generation, model, candidate: candidate ?? null };
}

/** Paragraphs for inserting a text; the first and the last flow into what stands around them. */
export function linesOf(schema: Schema, text: string, by: By | null): Node[] {
  const marks = marksOf(schema, by);
  return text
    .split("\n")
    .map((line) => schema.nodes.paragraph!.create(null, line ? schema.text(line, marks) : null));
}

/** What lies between two states of the document: one splice, and where it stands in the newer one. */
export interface Change {
  start: number;
  removed: string;
  inserted: string;
  /** Paragraphs that went and that came, for counting. */
  gone: readonly Node[];
  come: readonly Node[];
}

/**
 * The change from one document to the next. Unchanged paragraphs are the same objects in both, so this reads the text of
 * the changed ones only.
 */
export function changeBetween(before: Node, after: Node): Change | null {
  if (before === after) return null;
  const most = Math.min(before.childCount, after.childCount);
  let head = 0;
  let start = 0;
  while (head < most && before.child(head) === after.child(head)) start += after.child(head++).content.size + 1;
  let tail = 0;
  while (tail < most - head && before.child(before.childCount - 1 - tail) === after.child(after.childCount - 1 - tail)) tail++;
  if (head + tail === most && before.childCount !== after.childCount) {
    // Whole paragraphs came or went: a neighbour belongs to the change, so that the newline between is counted.
    if (head > 0) start -= after.child(--head).content.size + 1;
    else tail--;
  }
  const gone = children(before, head, before.childCount - tail);
  const come = children(after, head, after.childCount - tail);
  const old = gone.map((node) => node.textContent).join("\n");
  const now = come.map((node) => node.textContent).join("\n");
  const [prefix, suffix] = common(old, now);
  const removed = old.slice(prefix, old.length - suffix);
  const inserted = now.slice(prefix, now.length - suffix);
  return { start: start + prefix, removed, inserted, gone, come };
}

function children(doc: Node, from: number, to: number): Node[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => doc.child(from + index));
}

const high = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xd800;
const low = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

/** Lengths of the common beginning and the common end of two texts; neither splits a surrogate pair. */
export function common(one: string, other: string): [number, number] {
  const most = Math.min(one.length, other.length);
  let prefix = 0;
  while (prefix < most && one.charCodeAt(prefix) === other.charCodeAt(prefix)) prefix++;
  if (prefix > 0 && high(one, prefix - 1)) prefix--;
  let suffix = 0;
  while (suffix < most - prefix && one.charCodeAt(one.length - 1 - suffix) === other.charCodeAt(other.length - 1 - suffix)) suffix++;
  if (suffix > 0 && low(one, one.length - suffix)) suffix--;
  return [prefix, suffix];
}

export function spliced(text: string, start: number, remove: number, insert: string): string {
  return text.slice(0, start) + insert + text.slice(start + remove);
}

/** A stretch of text of one hand. */
export interface Piece {
  text: string;
  by: By | null;
}

/** The stretches of `[start, end)`, by offsets. A newline belongs to the generation that stands on both of its sides. */
export function piecesOf(doc: Node, start: number, end: number): Piece[] {
  const pieces: Piece[] = [];
  const add = (text: string, by: By | null): void => {
    const last = pieces.at(-1);
    if (last && sameHand(last.by, by)) last.text += text;
    else if (text) pieces.push({ text, by });
  };
  let offset = 0;
  for (let index = 0; index < doc.childCount && offset <= end; index++) {
    const paragraph = doc.child(index);
    const size = paragraph.content.size;
    if (offset + size >= start) {
      paragraph.forEach((node, within) => {
        const from = Math.max(start, offset + within);
        const to = Math.min(end, offset + within + node.nodeSize);
        if (from < to) add(node.text!.slice(from - offset - within, to - offset - within), handOf(node));
      });
      const newline = offset + size;
      if (newline >= start && newline < end) add("\n", newlineBy(doc, index));
    }
    offset += size + 1;
  }
  return pieces;
}

export function handOf(node: Node): By | null {
  const mark = node.marks.find((each) => each.type.name === "by");
  return mark ? (mark.attrs as By) : null;
}

function newlineBy(doc: Node, index: number): By | null {
  const before = doc.child(index).lastChild;
  const after = index + 1 < doc.childCount ? doc.child(index + 1).firstChild : null;
  const [left, right] = [before && handOf(before), after && handOf(after)];
  // An empty paragraph has no hand of its own; it goes with its neighbour.
  if (!before) return right;
  if (!after) return left;
  return left && right && left.generation === right.generation ? left : null;
}

export function sameHand(one: By | null, other: By | null): boolean {
  if (one === null || other === null) return one === other;
  return one.source === other.source && one.generation === other.generation && one.candidate === other.candidate;
}

/** Which of a generation's texts a passage is: its mark says so, or after a reload the model's words that begin `pieces`. */
export function candidateOf(texts: Candidate[], pieces: Piece[]): number {
  const first = pieces.find((piece) => piece.by?.source === "model");
  return first?.by?.candidate ?? Math.max(0, texts.findIndex((each) => first && each.text.includes(first.text)));
}

/** The passage around an offset: the stretch of one generation's words, the writer's changes inside it included. */
export function passageAt(doc: Node, offset: number): { start: number; end: number; by: By } | null {
  const at = Math.max(0, Math.min(offset, lengthOf(doc)));
  const place = doc.resolve(positionOf(doc, at));
  const by = (place.nodeBefore && handOf(place.nodeBefore)) ?? (place.nodeAfter && handOf(place.nodeAfter)) ?? nearby(doc, place.index(0));
  if (!by?.generation) return null;
  let [start, end] = [at, at];
  const mine = (node: Node): boolean => handOf(node)?.generation === by.generation;
  start = at - reach(doc, place.index(0), place.parentOffset, -1, mine);
  end = at + reach(doc, place.index(0), place.parentOffset, 1, mine);
  return start < end ? { start, end, by } : null;
}

/** The hand at the end of the paragraph before an empty one. */
function nearby(doc: Node, index: number): By | null {
  if (doc.child(index).content.size || index === 0) return null;
  const last = doc.child(index - 1).lastChild;
  return last && handOf(last);
}

/** How far the words that `mine` accepts reach from a place in one direction, newlines between them included. */
function reach(doc: Node, index: number, within: number, direction: 1 | -1, mine: (node: Node) => boolean): number {
  let sure = 0;
  let length = 0;
  for (; index >= 0 && index < doc.childCount; index += direction) {
    const paragraph = doc.child(index);
    const nodes: [Node, number][] = [];
    paragraph.forEach((node, offset) => nodes.push([node, offset]));
    if (direction < 0) nodes.reverse();
    for (const [node, offset] of nodes) {
      const part = direction > 0 ? offset + node.nodeSize - Math.max(offset, within) : Math.min(offset + node.nodeSize, within) - offset;
      if (part <= 0) continue;
      if (!mine(node)) return sure;
      length += part;
      sure = length;
    }
    length += 1;
    within = direction > 0 ? 0 : Infinity;
  }
  return sure;
}

/**
 * Pieces as splices. What the writer changed inside a generation's words is sent after them, into them: so the server
 * sees that it stands inside.
 */
export function splicesOf(start: number, remove: number, pieces: Piece[], kind?: NodeKind): Splice[] {
  const splices: Splice[] = [];
  const more = kind ? { kind } : {};
  let at = start;
  for (let index = 0; index < pieces.length; ) {
    const { by } = pieces[index]!;
    let last = index + 1;
    if (by?.generation) while (last < pieces.length && pieces[last]!.by?.generation === by.generation) last++;
    const group = pieces.slice(index, last);
    const whole = group.filter((piece) => piece.by?.source !== "edited");
    const first = whole[0]?.by;
    if (whole.length) {
      const insert = whole.map((piece) => piece.text).join("");
      splices.push({ start: at, remove, insert, ...authored(first ?? null), ...more });
      remove = 0;
    }
    for (const piece of group) {
      if (piece.by?.source === "edited") {
        splices.push({ start: at, remove, insert: piece.text });
        remove = 0;
      }
      at += piece.text.length;
    }
    index = last;
  }
  if (!splices.length && remove) splices.push({ start, remove, insert: "", ...more });
  return splices;
}

function authored(by: Piece["by"]): Partial<Splice> {
  if (!by) return {};
  const author = by.source === "edited" ? "person" : by.source;
  if (author !== "model" || by.generation === null) return { author: author as Splice["author"] };
  return { author, generation: by.generation, candidate: by.candidate ?? 0, kind: "generate" };
}
