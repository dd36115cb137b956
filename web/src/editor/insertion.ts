/** A model's words on their way into the manuscript: as they come, where they belong, and one step to undo. */

import { closeHistory } from "@tiptap/pm/history";
import { Fragment, Slice } from "@tiptap/pm/model";
import { TextSelection, type Transaction } from "@tiptap/pm/state";
import type { NodeKind } from "../api";
import { HANDS_RIGHT } from "./hands";
import { placeOf, setPlace } from "./places";
import type { Sheet } from "./sheet";
import { linesOf, offsetOf, textOf, type By } from "./text";

const WAIT_FOR_TYPING = 50;
const HIDDEN_TICK = 60;

/** Put a text in place of a range; returns where it ends. */
export function put(tr: Transaction, from: number, to: number, text: string, by: By | null): number {
  const lines = linesOf(tr.doc.type.schema, text, by);
  tr.replace(from, to, text ? new Slice(Fragment.from(lines), 1, 1) : Slice.empty);
  tr.setMeta(HANDS_RIGHT, true);
  return from + text.length + lines.length - 1;
}

export class Insertion {
  private waiting = "";
  private timer = 0;
  /** What stood in the place before. */
  private old: Slice | null = null;
  private done: (() => void) | null = null;
  private closed = false;

  /** `place` names the stretch to write into; `skip` units of the text stand in it already. */
  constructor(
    private readonly sheet: Sheet,
    private readonly place: string,
    private readonly by: By,
    private readonly kind: NodeKind,
    private skip = 0,
  ) {
    if (skip) this.old = Slice.empty;
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
    this.old ??= state.doc.slice(place.from, place.to);
    const from = first ? place.from : place.to;
    const start = offsetOf(state.doc, from);
    const remove = offsetOf(state.doc, place.to) - start;
    const tr = state.tr.setMeta("addToHistory", false);
    const to = put(tr, from, place.to, text, this.by);
    setPlace(tr, this.place, { from: place.from, to, look: "arriving" });
    const { generation, candidate } = this.by;
    const follow = this.sheet.following(place.to);
    this.sheet.send(tr, [
      { start, remove, insert: text, author: "model", generation: generation!, candidate: candidate ?? 0, kind: this.kind },
    ]);
    if (follow) this.sheet.keepInSight(to);
  }

  /** The server may trim what it streamed, a half sentence at the end; follow it unless the writer changed it meanwhile. */
  private correct(text: string): void {
    const { view } = this.sheet;
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
    const { from, to } = place;
    const written = state.doc.slice(from, to);
    const before = state.tr.replace(from, to, this.old).setMeta("addToHistory", false).setMeta(HANDS_RIGHT, true);
    const middle = state.apply(before);
    const after = setPlace(middle.tr.replace(from, before.mapping.map(to), written), this.place, null);
    closeHistory(after).setMeta(HANDS_RIGHT, true);
    const { anchor, head } = state.selection;
    if (after.doc.eq(state.doc)) after.setSelection(TextSelection.create(after.doc, anchor, head));
    const whole = middle.apply(after);
    this.sheet.take(whole.apply(closeHistory(whole.tr)));
  }
}
