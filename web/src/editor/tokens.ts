/** What the model might have said instead, token by token, and going on from there. */

import { api, type Generation, type Id, type Token } from "../api";
import { setPlace } from "./places";
import type { Sheet } from "./sheet";
import { candidateOf, passageAt, piecesOf } from "./text";
import { useView } from "./view";
import type { Writer } from "./writer";

const PLACE = "token";

interface Found {
  generation: Id;
  candidate: number;
  index: number;
  token: Token;
  /** Where the token begins in the candidate's text. */
  place: number;
  /** Where it stands, as offsets, and the passage around it. */
  start: number;
  end: number;
  passage: { start: number; end: number };
}

export class Tokens {
  private readonly known = new Map<Id, Promise<Generation | null>>();
  private found: Found | null = null;
  private frame = 0;
  private last = 0;

  constructor(
    private readonly sheet: Sheet,
    private readonly writer: Writer,
  ) {}

  toggle(): void {
    const tokenMode = !useView.getState().tokenMode;
    useView.setState({ tokenMode });
    if (!tokenMode) this.hide();
    else void this.show(this.sheet.selection.start, true);
  }

  /** The table goes; true when there was one. */
  hide(): boolean {
    const shown = useView.getState().token !== null;
    this.last++;
    this.found = null;
    useView.setState({ token: null });
    const { view } = this.sheet;
    view.dispatch(setPlace(view.state.tr, PLACE, null));
    return shown;
  }

  /** The mouse is over the text, or pressed on it. */
  point(event: MouseEvent, fixed: boolean): void {
    if (!useView.getState().tokenMode || (!fixed && useView.getState().token?.fixed)) return;
    cancelAnimationFrame(this.frame);
    const { clientX: left, clientY: top } = event;
    this.frame = requestAnimationFrame(() => {
      const found = this.sheet.view.posAtCoords({ left, top });
      if (found && found.inside >= 0) void this.show(this.sheet.offset(found.pos), fixed);
    });
  }

  /** Show the table of the token at an offset. */
  async show(offset: number, fixed: boolean): Promise<void> {
    const turn = ++this.last;
    const found = await this.at(offset);
    if (turn !== this.last || !useView.getState().tokenMode || this.sheet.closed) return;
    if (!found) {
      if (fixed) this.hide();
      return;
    }
    this.found = found;
    const { view } = this.sheet;
    const [from, to] = [this.sheet.position(found.start), this.sheet.position(found.end)];
    view.dispatch(setPlace(view.state.tr, PLACE, { from, to, look: "token" }));
    const { left, top } = this.sheet.beside(from);
    const { generation, candidate, index, token } = found;
    useView.setState({ token: { generation, candidate, index, token, left, top, fixed } });
  }

  /**
   * Go on from another choice: what stood from there to the end of the passage stays in the tree. The new text has the
   * words before it once more, so it takes the place of the whole passage, and those stay as the writer has them.
   */
  choose(choice: number): void {
    const { found } = this;
    if (!found || !found.token.alternatives[choice]) return;
    const { generation, candidate, index, place, start, passage } = found;
    this.hide();
    void this.writer.goOnFrom({ generation, candidate, token: index, choice }, passage.start, passage.end, { end: start, length: place });
  }

  private async at(offset: number): Promise<Found | null> {
    const { doc } = this.sheet.view.state;
    const passage = passageAt(doc, offset);
    if (!passage || passage.by.generation === null) return null;
    const generation = await this.read(passage.by.generation);
    if (!generation || this.sheet.view.state.doc !== doc) return null;
    const pieces = piecesOf(doc, passage.start, passage.end);
    const candidate = candidateOf(generation.candidates, pieces);
    const said = generation.candidates[candidate];
    if (!said?.tokens?.length) return null;
    // The model's own words stand in the passage in their order, whatever the writer put between them.
    const standing: Stretch[] = [];
    let at = passage.start;
    let within = 0;
    let place = -1;
    for (const { text, by } of pieces) {
      const end = at + text.length;
      const here = offset >= at && (offset < end || (end === passage.end && offset === end));
      if (by?.source === "model") {
        within = said.text.indexOf(text, within);
        if (within < 0) return null;
        standing.push({ at, within, length: text.length });
        if (here) place = within + Math.min(offset - at, text.length - 1);
        within += text.length;
      } else if (here) return null;
      at = end;
    }
    const token = place < 0 ? null : located(said.tokens, place);
    if (!token) return null;
    const [start, end] = [offsetIn(standing, token.place), offsetIn(standing, token.place + token.token.text.length - 1) + 1];
    return { generation: generation.id, candidate, ...token, start, end, passage };
  }

  private read(id: Id): Promise<Generation | null> {
    let record = this.known.get(id);
    if (!record) {
      record = api.generations.read(id).catch(() => null);
      this.known.set(id, record);
      // One that still runs has more tokens later.
      void record.then((generation) => generation?.status !== "done" && this.known.delete(id));
    }
    return record;
  }
}

/** A stretch of a candidate's text, `within` it, that stands `at` an offset. */
interface Stretch {
  at: number;
  within: number;
  length: number;
}

/** Where a place in a candidate's text stands, or what follows it if the writer has deleted it. */
function offsetIn(standing: Stretch[], place: number): number {
  const found = standing.find(({ within, length }) => place < within + length) ?? standing.at(-1)!;
  return found.at + Math.max(0, place - found.within);
}

/** The token over a place in a candidate's text. */
function located(tokens: Token[], over: number): Pick<Found, "index" | "token" | "place"> | null {
  let place = 0;
  for (const [index, token] of tokens.entries()) {
    const end = place + token.text.length;
    if (over < end) return { index, token, place };
    place = end;
  }
  return null;
}
