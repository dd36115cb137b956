/**
 * Every change goes to the server's disk, in order, from the first character on.
 *
 * Changes wait at most 700 ms, 300 ms after the last keystroke. What the server has not confirmed stays in the queue: a
 * lost connection, a full disk or another writer hold it up, and nothing is dropped. An answer that got lost is
 * recognised when the same change is refused because it is there already.
 */

import { api, ApiError, type Id, type SceneState, type Splice } from "../api";
import type { Saving } from "../state";
import { spliced } from "./text";

const PAUSE = 300;
const LONGEST = 700;
const FIRST_RETRY = 500;
const SLOWEST_RETRY = 8000;
/** In UTF-16 units. The server takes 8 MB a request; a unit is at most 3 bytes of UTF-8, or 6 when escaped in JSON. */
const LARGEST = 1_000_000;
/** Splices that the server takes in one request. */
const MOST = 10_000;
/** Browsers let 64 kB outlive a page; in UTF-16 units of JSON. */
const LARGEST_LAST = 20_000;

export interface SaverReport {
  saving: Saving;
  head: Id;
  refusal?: ApiError | null;
  conflict?: SceneState | null;
}

export class Saver {
  head: Id;
  /** The text at `head`. */
  private known: string;
  private queue: Splice[] = [];
  private sending: Promise<void> | null = null;
  private last: ApiError | null = null;
  private conflict: SceneState | null = null;
  private failures = 0;
  private timer = 0;
  private since = 0;
  /** Whether what is written now can no longer become part of the node that stood when the scene was opened. */
  private apart = false;

  constructor(
    readonly scene: Id,
    state: SceneState,
    private readonly report: (report: SaverReport) => void,
  ) {
    this.head = state.head;
    this.known = state.text;
  }

  /** Whether something is not on disk yet. */
  get pending(): boolean {
    return this.queue.length > 0 || this.sending !== null;
  }

  add(splices: Splice[]): void {
    if (!splices.length) return;
    // Half a character has no UTF-8: the server would refuse it for ever.
    for (const splice of splices) this.take({ ...splice, insert: splice.insert.replace(/\p{Surrogate}/gu, "\ufffd") });
    if (this.conflict) return;
    const now = Date.now();
    this.since ||= now;
    if (!this.failures) this.tell("unsaved");
    this.wait(Math.max(0, Math.min(PAUSE, this.since + LONGEST - now)));
  }

  /** Send all that waits; rejects with the reason when it cannot be kept. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    await this.send();
    if (this.queue.length) throw this.last ?? new ApiError("not saved", 0, "unsaved", "");
  }

  /** The page closes: one last request that outlives it. False when it would be too large, or another is under way. */
  farewell(): boolean {
    clearTimeout(this.timer);
    if (!this.queue.length) return this.sending === null;
    if (this.sending || this.conflict || size(this.queue) > LARGEST_LAST) return false;
    void api.scenes.splice(this.scene, this.head, this.queue, { keepalive: true }).catch(() => undefined);
    return true;
  }

  /** The server moved the manuscript itself (undo, restore): this is its text now. */
  moved(state: SceneState): void {
    this.head = state.head;
    this.known = state.text;
    this.settle("saved");
  }

  /** The other writer's state is the base from here on; what stood in the queue is in `splices` again, told against it. */
  resume(state: SceneState, splices: Splice[]): void {
    this.queue = [];
    this.conflict = null;
    this.moved(state);
    this.add(splices);
  }

  /** Words kept from an earlier visit stand against this state. */
  dispute(state: SceneState): void {
    this.conflict = state;
    this.tell("conflict", { conflict: state });
  }

  close(): void {
    clearTimeout(this.timer);
  }

  /** Try again now: the connection is back, or the writer asked. */
  retry(): void {
    if (this.queue.length && !this.conflict) this.wait(0);
  }

  private wait(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.send(), milliseconds);
  }

  /** Typing goes on where it was: one splice instead of one for each key. */
  private take(splice: Splice): void {
    const before = this.queue.at(-1);
    const goesOn =
      before &&
      splice.start === before.start + before.insert.length &&
      splice.remove === 0 &&
      before.author === splice.author &&
      before.generation === splice.generation &&
      before.candidate === splice.candidate &&
      before.kind === splice.kind &&
      before.insert.length < LARGEST;
    if (goesOn) this.queue[this.queue.length - 1] = { ...before, insert: before.insert + splice.insert };
    else this.queue.push(...cut(splice));
  }

  private send(): Promise<void> {
    return (this.sending ??= this.run().finally(() => {
      this.sending = null;
    }));
  }

  private async run(): Promise<void> {
    while (this.queue.length && !this.conflict) {
      const batch = this.batch();
      this.since = 0;
      if (!this.failures) this.tell("saving");
      try {
        // Words typed soon after others grow their node, which gets a new name: undo could not go back to it any more.
        if (!this.apart) await api.scenes.goTo(this.scene, this.head, this.head);
        this.apart = true;
        const { head } = await api.scenes.splice(this.scene, this.head, batch);
        this.keep(head, batch);
      } catch (error) {
        this.queue.unshift(...batch);
        if (!(error instanceof ApiError)) throw error;
        if (!this.refused(error, batch)) return;
      }
    }
  }

  private batch(): Splice[] {
    let length = 0;
    const fits = this.queue.findIndex((splice, place) => (length += splice.insert.length) > LARGEST || place === MOST);
    return this.queue.splice(0, fits < 0 ? this.queue.length : Math.max(1, fits));
  }

  private keep(head: Id, batch: Splice[]): void {
    this.head = head;
    this.known = applied(this.known, batch);
    this.settle(this.queue.length ? "saving" : "saved");
  }

  private settle(saving: Saving): void {
    this.failures = 0;
    this.last = null;
    this.since = 0;
    this.tell(saving, { refusal: null, conflict: null });
  }

  /** What a refusal means; true when the loop may go on at once. */
  private refused(error: ApiError, batch: Splice[]): boolean {
    this.last = error;
    if (error.conflict && typeof error.body.text === "string") return this.conflicting(error, batch);
    const saving: Saving = error.full ? "full" : error.signedOut ? "signed-out" : error.passing ? "offline" : "refused";
    this.failures++;
    this.tell(saving, { refusal: error });
    // What the server would refuse again waits for the next change, or for the writer.
    if (saving !== "refused") this.wait(Math.min(SLOWEST_RETRY, FIRST_RETRY * 2 ** (this.failures - 1)));
    return false;
  }

  private conflicting(error: ApiError, batch: Splice[]): boolean {
    const theirs = error.body as unknown as SceneState;
    const mine = applied(this.known, batch);
    if (theirs.text === mine) {
      // It is there: only the answer was lost.
      this.queue.splice(0, batch.length);
      this.keep(theirs.head, batch);
      return true;
    }
    if (theirs.text === this.known) {
      this.head = theirs.head; // a step that changed no text
      return true;
    }
    if (theirs.text === applied(this.known, this.queue)) {
      this.queue = [];
      this.moved(theirs);
      return false;
    }
    this.conflict = theirs;
    this.tell("conflict", { conflict: theirs, refusal: error });
    return false;
  }

  private tell(saving: Saving, more: Partial<SaverReport> = {}): void {
    this.report({ saving, head: this.head, ...more });
  }
}

const applied = (text: string, splices: Splice[]): string =>
  splices.reduce((whole, { start, remove, insert }) => spliced(whole, start, remove, insert), text);

const size = (splices: Splice[]): number => JSON.stringify(splices).length;

/** A splice too large for one request, as several. */
function cut(splice: Splice): Splice[] {
  if (splice.insert.length <= LARGEST) return [splice];
  const parts: Splice[] = [];
  for (let from = 0; from < splice.insert.length; ) {
    let to = Math.min(from + LARGEST, splice.insert.length);
    if ((splice.insert.charCodeAt(to - 1) & 0xfc00) === 0xd800) to--; // not between the halves of a character
    parts.push({ ...splice, start: splice.start + from, remove: from ? 0 : splice.remove, insert: splice.insert.slice(from, to) });
    from = to;
  }
  return parts;
}
