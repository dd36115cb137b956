/** A model's words on their way into the manuscript: as they come, where they belong, and one step to undo. */

import { closeHistory } from "@tiptap/pm/history";
import { Fragment, Slice, type Node } from "@tiptap/pm/model";
import { type EditorState, type Transaction } from "@tiptap/pm/state";
import type { NodeKind } from "../api";
import { HANDS_RIGHT } from "./hands";
import { placeOf, setPlace } from "./places";
import type { Sheet } from "./sheet";
import { common, linesOf, offsetOf, piecesOf, positionOf, splicesOf, textOf, type By, type Piece } from "./text";

const WAIT_FOR_TYPING = 50;
const HIDDEN_TICK = 60;
/** Where ProseMirror keeps the undo history, in a state and on the transactions that set it. */
const HISTORY = "history$";

/** Put a text in place of a range; returns where it ends. */
export function put(tr: Transaction, from: number, to: number, text: string, by: By | null): number {
  const lines = linesOf(tr.doc.type.schema, text, by);
  tr.replace(from, to, text ? new Slice(Fragment.from(lines), 1, 1) : Slice.empty);
  tr.setMeta(HANDS_RIGHT, true);
  return from + text.length + lines.length - 1;
}

/** The stretch that `place` names has the first `length` units of a text already, with what the writer changed in them. */
export interface Lead {
  place: string;
  length: number;
}

export class Insertion {
  private waiting = "";
  private timer = 0;
  /** What stood in the place before the first words, and the state with it. */
  private old: Slice | null = null;
  private before: EditorState | null = null;
  private done: (() => void) | null = null;
  private closed = false;

  private skip: number;
  /** The words of the lead. */
  private led: Piece[] = [];

  /** `place` names the stretch to write into; `standing` units of the text stand in it already, or its `lead` does. */
  constructor(
    private readonly sheet: Sheet,
    private readonly place: string,
    private readonly by: By,
    private readonly kind: NodeKind,
    standing = 0,
    private readonly lead?: Lead,
  ) {
    this.skip = standing || (lead?.length ?? 0);
    if (standing) this.old = Slice.empty;
  }

  push(text: string): void {
    const skipped = Math.min(this.skip, text.length);
    this.skip -= skipped;
    this.waiting += text.slice(skipped);
    if (this.waiting) this.schedule();
  }

  /** No more will come: make one step of it. `text` is the whole as the server keeps it, when it told. */
  finish(text?: string): Promise<void> {
    return new Promise((resolve) => {
      this.done = () => {
        if (text !== undefined) this.correct(text);
        this.close();
        resolve();
      };
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.timer) return;
    // Once a frame; a page in the background gets no frames.
    const run = (): void => {
      this.timer = 0;
      this.pour();
    };
    this.timer = document.hidden ? window.setTimeout(run, HIDDEN_TICK) : requestAnimationFrame(run);
  }

  private pour(): void {
    if (this.closed || this.sheet.closed) return this.done?.();
    if (this.sheet.composing) {
      this.timer = window.setTimeout(() => {
        this.timer = 0;
        this.pour();
      }, WAIT_FOR_TYPING);
      return;
    }
    if (this.waiting) this.write();
    this.done?.();
  }

  private write(): void {
    const { view } = this.sheet;
    const { state } = view;
    const place = placeOf(state, this.place);
    if (!place) return;
    const text = this.waiting;
    this.waiting = "";
    const first = this.old === null;
    if (first) {
      this.old = state.doc.slice(place.from, place.to);
      this.before = state;
      this.led = this.words(state);
    }
    const from = first ? place.from : place.to;
    const start = offsetOf(state.doc, from);
    const remove = offsetOf(state.doc, place.to) - start;
    const tr = state.tr.setMeta("addToHistory", false);
    const pieces = [...(first ? this.led : []), { text, by: this.by }];
    let [to, end] = [from, place.to];
    for (const piece of pieces) end = to = put(tr, to, end, piece.text, piece.by);
    setPlace(tr, this.place, { from: place.from, to, look: "arriving" });
    const follow = this.sheet.following(place.to);
    this.sheet.send(tr, splicesOf(start, remove, pieces, this.kind));
    if (follow) this.sheet.keepInSight(to);
  }

  /** What stands in the lead, as this text's words: so the passage stays one whole, which its versions take the place of. */
  private words(state: EditorState): Piece[] {
    const { doc } = state;
    const place = this.lead && placeOf(state, this.lead.place);
    if (!place) return [];
    const pieces = piecesOf(doc, offsetOf(doc, place.from), offsetOf(doc, place.to));
    return pieces.map(({ text, by }) => ({ text, by: by && { ...this.by, source: by.source } }));
  }

  /** The server may trim what it streamed, a half sentence at the end; follow it unless the writer changed it meanwhile. */
  private correct(whole: string): void {
    const { view } = this.sheet;
    const text = this.led.map((piece) => piece.text).join("") + whole.slice(this.lead?.length ?? 0);
    const place = placeOf(view.state, this.place);
    if (!place || !this.old) return;
    const here = textOf(view.state.doc, place.from, place.to);
    if (here === text || !here.startsWith(text.slice(0, Math.min(text.length, here.length)))) return;
    if (text.length > here.length) {
      this.waiting = text.slice(here.length);
      return this.write();
    }
    const tr = view.state.tr.setMeta("addToHistory", false).setMeta(HANDS_RIGHT, true);
    const newlines = text.split("\n").length - 1;
    const end = place.from + text.length + newlines;
    const start = offsetOf(view.state.doc, end);
    tr.delete(end, place.to);
    this.sheet.send(tr, [{ start, remove: here.length - text.length, insert: "" }]);
  }

  /** The words so far as one event of the undo history, as if they had come at once; nobody sees the step in between. */
  private close(): void {
    if (this.closed) return;
    this.closed = true;
    const { view } = this.sheet;
    const { state } = view;
    const place = placeOf(state, this.place);
    if (!place || !this.old) return this.sheet.send(setPlace(state.tr, this.place, null), []);
    const written = state.doc.slice(place.from, place.to);
    const middle = this.elsewhere(state, written) ?? state.apply(unnoticed(state.tr.replace(place.from, place.to, this.old)));
    const { from, to } = placeOf(middle, this.place)!;
    const whole = middle.apply(closeHistory(middle.tr.replace(from, to, written)).setMeta(HANDS_RIGHT, true));
    const done = whole.apply(closeHistory(whole.tr)) as EditorState & { [HISTORY]: unknown };
    this.sheet.take(state.apply(setPlace(state.tr, this.place, null).setMeta(HISTORY, { historyState: done[HISTORY] })));
  }

  /**
   * The state before the first word with what the writer changed elsewhere since, as one step: an event of the history that
   * is about the whole passage does not survive that the passage goes and comes back. Null where it was changed at its edges.
   */
  private elsewhere(now: EditorState, written: Slice): EditorState | null {
    const { before } = this;
    if (!before) return null;
    const [was, is] = [placeOf(before, this.place)!, placeOf(now, this.place)!];
    const tr = closeHistory(before.tr).setMeta(HANDS_RIGHT, true);
    // What stands behind it first, so that the positions before it still hold.
    changed(tr, [was.to, before.doc.content.size], now, [is.to, now.doc.content.size]);
    changed(tr, [0, was.from], now, [0, is.from]);
    const state = tr.docChanged ? before.apply(tr) : before;
    const { from, to } = placeOf(state, this.place)!;
    return state.tr.replace(from, to, written).doc.eq(now.doc) ? state : null;
  }
}

type Range = [from: number, to: number];

/** Make a stretch of a document as another state has it, in one replacement of what differs. */
function changed(tr: Transaction, [from, to]: Range, now: EditorState, [start, end]: Range): void {
  const [old, text] = [textOf(tr.doc, from, to), textOf(now.doc, start, end)];
  if (old === text) return;
  const [prefix, suffix] = common(old, text);
  const at = (doc: Node, base: number, offset: number): number => positionOf(doc, offsetOf(doc, base) + offset);
  const slice = now.doc.slice(at(now.doc, start, prefix), at(now.doc, start, text.length - suffix));
  tr.replace(at(tr.doc, from, prefix), at(tr.doc, from, old.length - suffix), slice);
}

const unnoticed = (tr: Transaction): Transaction => tr.setMeta("addToHistory", false).setMeta(HANDS_RIGHT, true);
