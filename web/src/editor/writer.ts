/** Has the model write: one generation at a time, straight into the text or as cards to choose from. */

import { api, ApiError, type Choice, type Finding, type Generation, type GenerationEvent, type Id, type NodeKind, type Wish } from "../api";
import { t } from "../i18n";
import { busy, noGeneration, useGeneration, useScene, type CandidateInfo, type GenerationInfo } from "../state";
import { Insertion, type Lead } from "./insertion";
import { placeOf, setPlace } from "./places";
import { note, noteOf } from "./running";
import type { Sheet } from "./sheet";
import { candidateOf, offsetOf, passageAt, piecesOf, positionOf, textOf } from "./text";
import { useView } from "./view";

const PLACE = "writing";
const LEAD = "lead";

interface Order {
  wish: Partial<Wish>;
  /** The stretch to write into, as offsets; what stands in it gives way to the first words. */
  start: number;
  end: number;
  kind: NodeKind;
  /** Where the part of the stretch ends that stays, and how much of the text it stands for. */
  lead?: { end: number; length: number };
  /** Cards to choose from instead of words in the text. */
  deck: "candidates" | "rewrite" | null;
}

interface Run {
  order: Order;
  abort: AbortController;
  generation: Id | null;
  model: string | null;
  insertion: Insertion | null;
  /** The candidate whose words go into the text; null while none was chosen. */
  candidate: number | null;
  final: string | undefined;
  begun: number;
  first: number;
  tokens: number;
}

export class Writer {
  private run: Run | null = null;
  /** The last words of the run before, on their way into the text. */
  private ending: Promise<void> | undefined;

  constructor(private readonly sheet: Sheet) {}

  get busy(): boolean {
    return this.run !== null;
  }

  /** Write at the cursor; a selection is what it may look at and stays. */
  async generate(wish: Partial<Wish> = {}): Promise<void> {
    const at = wish.at ?? this.sheet.selection.end;
    const many = (wish.n ?? 1) > 1;
    await this.start({ wish: { mode: "continue", ...wish }, start: at, end: wish.end ?? at, kind: "generate", deck: many ? "candidates" : null });
  }

  async continue(): Promise<void> {
    const { length } = this.sheet;
    this.sheet.reveal(length);
    await this.generate({ at: length });
  }

  /** Another text for the passage under the cursor; the one that stands there is kept in the tree. */
  async retry(): Promise<void> {
    if (useView.getState().deck) return useView.getState().deck!.again();
    const passage = this.sheet.passage();
    const generation = passage?.generation;
    if (!passage || generation === null || generation === undefined) return this.generate();
    const pieces = piecesOf(this.sheet.view.state.doc, passage.start, passage.end);
    const before = await api.generations.read(generation).catch(() => null);
    if (before) chose({ generation, candidate: candidateOf(before.candidates, pieces), kind: "retry" });
    const again = before ? wishOf(before) : {};
    await this.start({ wish: { mode: "continue", ...again }, start: passage.start, end: passage.end, kind: "alternative", deck: null });
  }

  /** Rewrite a selection: the old and the new side by side. */
  async rewrite(wish: Partial<Wish>): Promise<void> {
    const { start, end } = this.sheet.selection;
    if (start === end) return;
    await this.start({ wish: { mode: "rewrite", ...wish }, start, end, kind: "rewrite", deck: "rewrite" });
  }

  /** Go on from another token of a passage [start, end): what stands before it stays, what followed the old one gives way. */
  async goOnFrom(from: NonNullable<Wish["from"]>, start: number, end: number, lead: NonNullable<Order["lead"]>): Promise<void> {
    await this.start({ wish: { mode: "continue", from }, start, end, lead, kind: "alternative", deck: null });
  }

  /** Write at the end what a draft by the plan brings: one generation after the other. */
  async draft(open: (signal: AbortSignal) => AsyncIterable<GenerationEvent>, each: (event: GenerationEvent) => void): Promise<void> {
    if (this.run) this.stop();
    await this.sheet.saver.flush();
    const { length } = this.sheet;
    const run = this.begin({ wish: {}, start: length, end: length, kind: "generate", deck: null });
    try {
      for await (const event of open(run.abort.signal)) {
        if (this.run !== run || run.abort.signal.aborted) return;
        each(event);
        if (event.event === "done" || event.event === "candidate") await this.between(run, event);
        else if (this.heard(run, event)) return;
      }
      await this.end(run, "done");
    } catch (error) {
      if (this.run === run) this.fail(run, error);
      if (!run.abort.signal.aborted) throw error;
    }
  }

  /** A part of a draft is complete: one step to undo, and the next part goes after it. */
  private async between(run: Run, event: GenerationEvent): Promise<void> {
    if (event.event !== "candidate" || !run.insertion) return;
    showFindings(event.data.findings);
    await run.insertion.finish(event.data.text);
    run.insertion = null;
    const { length } = this.sheet;
    this.mark(length, length);
    useGeneration.setState({ candidates: [{ text: "", finished: null }] });
  }

  /** Stop at once; what was written stays. True when there was something to stop. */
  stop(): boolean {
    const { run } = this;
    if (!run) return false;
    run.abort.abort();
    if (run.generation !== null) void halt(run.generation, run.insertion && run.candidate).catch(() => undefined);
    void this.end(run, "stopped");
    return true;
  }

  /** Stop, and wait until the words that came stand in the text: what follows may put another text in its place. */
  async rest(): Promise<void> {
    this.stop();
    await this.ending;
  }

  /** Put one of the cards in the text; when it is still being written, the rest follows. */
  async choose(index: number): Promise<void> {
    const { deck } = useView.getState();
    const info = useGeneration.getState();
    const candidate = info.candidates[index];
    if (!deck || !candidate?.text || info.id === null) return;
    const kind: NodeKind = deck.kind === "rewrite" ? "rewrite" : "generate";
    const insertion = this.insertion(info.id, index, info.model, kind);
    insertion.push(candidate.text);
    useView.setState({ deck: null });
    showFindings(candidate.findings);
    const { run } = this;
    if (run && candidate.finished === null) Object.assign(run, { insertion, candidate: index });
    else {
      if (run) this.stop();
      await insertion.finish();
    }
    chose({ generation: info.id, candidate: index, kind: "accept", kept_text: candidate.text });
    this.sheet.view.focus();
  }

  /** Put the cards away; the text stays as it is, and the cards stay in the tree. */
  dismiss(): void {
    if (this.run) this.stop();
    useView.setState({ deck: null });
    const { view } = this.sheet;
    view.dispatch(setPlace(view.state.tr, PLACE, null));
    view.focus();
  }

  /** Take up a generation that went on, or came to its end, while the page was away; what a crash cut off is offered instead. */
  async rejoin(): Promise<void> {
    const noted = noteOf(this.sheet.scene.id);
    if (!noted) return;
    const generation = await api.generations.read(noted).catch(() => null);
    if (!generation || generation.status === "interrupted") return note(null);
    const found = this.standing(generation);
    const run = this.begin({ wish: {}, ...found, kind: "generate", deck: null });
    Object.assign(run, { generation: generation.id, model: generation.model, candidate: 0 });
    run.insertion = this.insertion(generation.id, 0, generation.model, "generate", found.end - found.start);
    await this.follow(run, api.generations.rejoin(generation.id, "0", run.abort.signal));
  }

  /** Put what a crash kept from the manuscript where it belongs. */
  async recover(generation: Generation): Promise<void> {
    const text = generation.candidates.map((candidate) => candidate.text).reduce((one, other) => (other.length > one.length ? other : one), "");
    const candidate = generation.candidates.findIndex((each) => each.text === text);
    const { start, end } = this.standing(generation);
    this.mark(start, end);
    const insertion = this.insertion(generation.id, Math.max(0, candidate), generation.model, "generate", end - start);
    insertion.push(text);
    await insertion.finish();
    this.sheet.reveal(start);
  }

  /** Show what the server kept of a text that it could not finish, when more of it came than stands here. */
  private async offer(): Promise<void> {
    await this.ending;
    await this.sheet.saver.flush();
    const { recovered } = await api.scenes.read(this.sheet.scene.id);
    if (!this.sheet.closed) useScene.setState({ recovered });
  }

  /** The words of a generation that stand in the text already, or the place for them. */
  private standing(generation: Generation): { start: number; end: number } {
    const { doc } = this.sheet.view.state;
    const at = Math.min(generation.at ?? this.sheet.length, this.sheet.length);
    for (const place of [at, at + 1]) {
      const passage = passageAt(doc, place);
      if (passage && String(passage.by.generation) === String(generation.id)) return passage;
    }
    return { start: at, end: at };
  }

  private async start(order: Order): Promise<void> {
    if (this.run) this.stop();
    else if (useView.getState().deck) useView.setState({ deck: null });
    const run = this.begin(order);
    try {
      await this.sheet.saver.flush();
    } catch (error) {
      return this.fail(run, error);
    }
    const { doc } = this.sheet.view.state;
    const place = placeOf(this.sheet.view.state, PLACE);
    if (run.abort.signal.aborted || !place) return;
    const [at, end] = [offsetOf(doc, place.from), offsetOf(doc, place.to)];
    const wish: Wish = { mode: "continue", ...order.wish, base: this.sheet.saver.head, at };
    if (end > at) wish.end = end;
    await this.follow(run, api.generations.start(this.sheet.scene.id, wish, run.abort.signal));
  }

  private begin(order: Order): Run {
    const now = performance.now();
    const run: Run = {
      order, abort: new AbortController(), generation: null, model: null, insertion: null, final: undefined,
      candidate: order.deck ? null : 0, begun: now, first: 0, tokens: 0,
    };
    this.run = run;
    this.mark(order.start, order.end, order.deck ? "target" : undefined);
    if (order.lead) this.mark(order.start, order.lead.end, undefined, LEAD);
    if (order.deck) {
      const { doc } = this.sheet.view.state;
      const old = textOf(doc, positionOf(doc, order.start), positionOf(doc, order.end));
      useView.setState({ deck: { kind: order.deck, old, chosen: 0, again: () => void this.again(order) } });
    }
    useView.setState({ versions: null, token: null });
    const candidates = Array.from({ length: order.deck ? (order.wish.n ?? 1) : 1 }, (): CandidateInfo => ({ text: "", finished: null }));
    useGeneration.setState({ ...noGeneration, phase: "asking", mode: order.wish.mode ?? "continue", candidates });
    return run;
  }

  private again(order: Order): void {
    const place = placeOf(this.sheet.view.state, PLACE);
    const info = useGeneration.getState();
    const { id } = info;
    if (id !== null) info.candidates.forEach(({ text }, candidate) => text && chose({ generation: id, candidate, kind: "retry" }));
    if (!place) return;
    const { doc } = this.sheet.view.state;
    const { seed: _same, ...wish } = order.wish;
    void this.start({ ...order, wish, start: offsetOf(doc, place.from), end: offsetOf(doc, place.to) });
  }

  private mark(start: number, end: number, look?: string, name = PLACE): void {
    const { state } = this.sheet.view;
    const place = { from: positionOf(state.doc, start), to: positionOf(state.doc, end), ...(look ? { look } : {}) };
    this.sheet.view.dispatch(setPlace(state.tr, name, place));
  }

  private insertion(generation: Id, candidate: number, model: string | null, kind: NodeKind, standing = 0, lead?: Lead): Insertion {
    return new Insertion(this.sheet, PLACE, { source: "model", generation, model, candidate }, kind, standing, lead);
  }

  private async follow(run: Run, events: AsyncIterable<GenerationEvent>): Promise<void> {
    try {
      for await (const event of events) {
        if (this.run !== run || run.abort.signal.aborted) return;
        if (this.heard(run, event)) return;
      }
      if (this.run === run) await this.end(run, "done");
    } catch (error) {
      if (this.run === run) this.fail(run, error);
    }
  }

  /** True when it was the last one to hear. */
  private heard(run: Run, { event, data }: GenerationEvent): boolean {
    const tell = (info: Partial<GenerationInfo>): void => useGeneration.setState(info);
    if (event === "queued") tell({ phase: "queued", position: data.position });
    else if (event === "started") {
      run.generation = data.generation;
      run.model = data.model;
      if (!run.order.deck) note(this.sheet.scene.id, data.generation);
      tell({ phase: "reading", id: data.generation, model: data.model, context: data.context ?? null });
      const { kind, lead } = run.order;
      const led = lead && { place: LEAD, length: lead.length };
      if (run.candidate !== null) run.insertion ??= this.insertion(data.generation, run.candidate, data.model, kind, 0, led);
    } else if (event === "progress") tell({ progress: data });
    else if (event === "text") this.wrote(run, data.candidate, data.text);
    else if (event === "candidate") {
      const { candidate, text, finish_reason: finished, ...more } = data;
      this.card(candidate, (card) => ({ ...card, ...more, text: text ?? card.text, finished }));
      if (candidate === run.candidate) {
        run.final = text;
        showFindings(data.findings);
        // The others were not chosen: there is no more to wait for.
        if (run.order.deck) void this.finish(run);
      }
    } else if (event === "failed") {
      this.fail(run, new ApiError(data.message, 500, "failed", data.next ?? ""));
      if (data.kept) void this.offer().catch(() => undefined);
      return true;
    }
    return false;
  }

  private async finish(run: Run): Promise<void> {
    if (run.generation !== null) void api.generations.stop(run.generation).catch(() => undefined);
    run.abort.abort();
    await this.end(run, "done");
  }

  private wrote(run: Run, candidate: number, text: string): void {
    const now = performance.now();
    run.first ||= now;
    run.tokens++;
    const seconds = (now - run.first) / 1000;
    const before = useGeneration.getState();
    useGeneration.setState({
      phase: "writing",
      tokens: run.tokens,
      firstTokenAfter: run.first - run.begun,
      ...(seconds > 0.5 ? { tokensPerSecond: run.tokens / seconds } : {}),
      ...(before.phase === "writing" ? {} : { progress: null }),
    });
    this.card(candidate, (card) => ({ ...card, text: card.text + text }));
    if (candidate === run.candidate) run.insertion?.push(text);
  }

  private card(index: number, change: (card: CandidateInfo) => CandidateInfo): void {
    const candidates = [...useGeneration.getState().candidates];
    candidates[index] = change(candidates[index] ?? { text: "", finished: null });
    useGeneration.setState({ candidates });
  }

  private async end(run: Run, phase: "done" | "stopped" | "failed"): Promise<void> {
    if (this.run !== run) return;
    this.run = null;
    note(null);
    useGeneration.setState({ phase });
    this.ending = run.insertion?.finish(phase === "done" ? run.final : undefined);
    await this.ending;
    // Another text for a passage is written to be preferred; who asks once more, or goes back, says otherwise.
    const { generation, final } = run;
    const kept = phase === "done" && run.order.kind === "alternative" && run.insertion;
    if (kept && generation !== null && final) chose({ generation, candidate: 0, kind: "accept", kept_text: final });
    const { view } = this.sheet;
    if (!run.insertion && !useView.getState().deck && !this.sheet.closed) view.dispatch(setPlace(view.state.tr, PLACE, null));
  }

  private fail(run: Run, error: unknown): void {
    run.abort.abort();
    const told = error instanceof ApiError ? { message: error.message, next: error.next } : { message: String(error), next: "" };
    if (error instanceof ApiError && error.status === 0) told.message = t("editor.offline");
    useGeneration.setState({ error: told });
    const empty = useGeneration.getState().candidates.every((candidate) => !candidate.text);
    if (empty) useView.setState({ deck: null });
    void this.end(run, "failed");
  }
}

/** Note what the writer chose, for training on their own taste; without it nothing is amiss. */
function chose(choice: Choice): void {
  void api.edits.chosen(choice).catch(() => undefined);
}

/** Stop it on the server. Its stream is not heard any more: what was found in the words that stay is in its record alone. */
async function halt(generation: Id, candidate: number | null): Promise<void> {
  await api.generations.stop(generation);
  if (candidate === null) return;
  const { candidates } = await api.generations.read(generation);
  if (useGeneration.getState().id === generation) showFindings(candidates[candidate]?.extra?.findings);
}

/** Show what was found in the words that stand in the text now. */
function showFindings(findings: Finding[] = []): void {
  useGeneration.setState((info) => ({ findings: [...info.findings, ...findings] }));
}

/** The wish that a generation came from, without its seed. */
function wishOf(generation: Generation): Partial<Wish> {
  const asked = ((generation as unknown as { request?: Partial<Wish> }).request ?? generation.settings ?? {}) as Partial<Wish>;
  const { mode, instruction, action, value, words } = { ...asked, mode: generation.mode };
  const wish: Partial<Wish> = { mode: mode === "ghost" || mode === "chat" ? "continue" : mode };
  if (instruction) wish.instruction = instruction;
  if (action) wish.action = action;
  if (value) wish.value = value;
  if (words) wish.words = words;
  return wish;
}

export const writing = (): boolean => busy(useGeneration.getState());
