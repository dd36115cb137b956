/** What the model might have said instead, token by token, and going on from there. */

import { api, type Generation, type Id, type Token } from "../api";
import { setPlace } from "./places";
import type { Sheet } from "./sheet";
import { passageAt, piecesOf } from "./text";
import { useView } from "./view";
import type { Writer } from "./writer";

const PLACE = "token";

interface Found {
  generation: Id;
  candidate: number;
  index: number;
  token: Token;
  /** Where the token stands, and where its passage ends, as offsets. */
  start: number;
  end: number;
  passageEnd: number;
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

  /** Go on from another choice: what stood from there to the end of the passage stays in the tree. */
  choose(choice: number): void {
    const { found } = this;
    if (!found || !found.token.alternatives[choice]) return;
    const { generation, candidate, index, start, passageEnd } = found;
    this.hide();
    void this.writer.goOnFrom({ generation, candidate, token: index, choice }, start, passageEnd);
  }

  private async at(offset: number): Promise<Found | null> {
    const { doc } = this.sheet.view.state;
    const passage = passageAt(doc, offset);
    if (!passage || passage.by.generation === null) return null;
    const generation = await this.read(passage.by.generation);
    if (!generation || this.sheet.view.state.doc !== doc) return null;
    const pieces = piecesOf(doc, passage.start, passage.end);
    const first = pieces.find((piece) => piece.by?.source === "model");
    if (!first) return null;
    const marked = first.by?.candidate ?? null;
    const candidate = marked ?? Math.max(0, generation.candidates.findIndex((each) => each.text.includes(first.text)));
    const said = generation.candidates[candidate];
    if (!said?.tokens?.length) return null;
    // The model's own words stand in the passage in their order, whatever the writer put between them.
    let at = passage.start;
    let within = 0;
    for (const { text, by } of pieces) {
      const mine = by?.source === "model";
      if (mine) {
        within = said.text.indexOf(text, within);
        if (within < 0) return null;
      }
      if (offset < at + text.length || (at + text.length === passage.end && offset === passage.end)) {
        return mine ? located(generation.id, candidate, said.tokens, within + Math.min(offset - at, text.length - 1), at - within, passage.end) : null;
      }
      at += text.length;
      if (mine) within += text.length;
    }
    return null;
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

/** The token over a place in a candidate's text; `shift` turns places into offsets. */
function located(generation: Id, candidate: number, tokens: Token[], place: number, shift: number, passageEnd: number): Found | null {
  let start = 0;
  for (const [index, token] of tokens.entries()) {
    const end = start + token.text.length;
    if (place < end) return { generation, candidate, index, token, start: start + shift, end: end + shift, passageEnd };
    start = end;
  }
  return null;
}

