/** One open manuscript with all that works on it: the sheet, the model that writes, versions, grey words, tokens, keys. */

import { api, type Id, type Scene } from "../api";
import { actionOf, composing, type KeyAction } from "../keys";
import { closedScene, noGeneration, useGeneration, useScene } from "../state";
import type { ManuscriptCommands } from "./commands";
import { Ghosting } from "./ghosting";
import { setPlace } from "./places";
import { keepRescue, rescueOf } from "./rescue";
import { Sheet } from "./sheet";
import { Stepping } from "./stepping";
import { Tokens } from "./tokens";
import { closedView, useView } from "./view";
import { Writer } from "./writer";

const SEVERAL = 3;
const RESCUE_AFTER = 400;

export class Desk {
  readonly sheet: Sheet;
  readonly writer: Writer;
  readonly stepping: Stepping;
  readonly ghosting: Ghosting;
  readonly tokens: Tokens;
  private rescuing = 0;
  private readonly leaving = new AbortController();

  constructor(scene: Scene, element: HTMLElement) {
    useView.setState(closedView);
    useGeneration.setState(noGeneration);
    useScene.setState({ ...closedScene, scene, head: scene.head, recovered: scene.recovered ?? [] });
    this.sheet = new Sheet(scene, element);
    this.writer = new Writer(this.sheet);
    this.stepping = new Stepping(this.sheet, this.writer);
    this.ghosting = new Ghosting(this.sheet);
    this.tokens = new Tokens(this.sheet, this.writer);
    this.sheet.onKey = (event) => this.key(event);
    this.sheet.onChange = (mine) => this.changed(mine);
    this.sheet.onSelection = () => this.moved();
    this.listen();
    this.comeBack();
  }

  readonly commands: ManuscriptCommands = {
    flush: () => this.sheet.saver.flush(),
    text: () => this.sheet.text,
    selection: () => this.sheet.selection,
    focus: () => this.sheet.view.focus(),
    reveal: (start, end) => {
      this.sheet.reveal(start, end);
      this.sheet.view.focus();
    },
    insert: (text) => this.sheet.insert(text),
    generate: (wish) => void this.writer.generate(wish),
    continue: () => void this.writer.continue(),
    draft: (open, each = () => undefined) => this.writer.draft(open, each),
    stop: () => void this.writer.stop(),
    retry: () => void this.writer.retry(),
    previous: () => void this.version(-1),
    next: () => void this.version(1),
    undo: () => this.undo(),
    redo: () => this.stepping.redo(),
    rewrite: () => this.openRewriting(),
    toggleTokens: () => this.tokens.toggle(),
    restore: (node) => this.stepping.restore(node),
    goTo: (node) => this.stepping.goTo(node),
    download: () => download(this.sheet.text, useScene.getState().scene?.title ?? ""),
  };

  /** True when the key did something here; a key of an input method never does. */
  key(event: KeyboardEvent): boolean {
    if (composing(event) || this.sheet.view.composing) return false;
    const action = actionOf(event);
    if (action && this.act(action)) return true;
    const choice = /^Digit([1-9])$/.exec(event.code);
    if (choice && event.altKey && !event.ctrlKey && !event.metaKey) return this.pick(Number(choice[1]) - 1);
    return false;
  }

  rewrite(...wish: Parameters<Writer["rewrite"]>): void {
    this.closeRewriting();
    void this.writer.rewrite(...wish);
  }

  openRewriting(): void {
    const { start, end } = this.sheet.selection;
    const { view } = this.sheet;
    if (start === end) return useView.setState({ rewriting: "nothing" });
    const { from, to } = view.state.selection;
    view.dispatch(setPlace(view.state.tr, "rewriting", { from, to, look: "target" }));
    useView.setState({ rewriting: this.sheet.beside(to) });
  }

  closeRewriting(): void {
    if (!useView.getState().rewriting) return;
    const { view } = this.sheet;
    view.dispatch(setPlace(view.state.tr, "rewriting", null));
    useView.setState({ rewriting: null });
    view.focus();
  }

  async recover(generation: Id, wanted: boolean): Promise<void> {
    const { recovered } = useScene.getState();
    const found = recovered.find((each) => each.id === generation);
    if (found && wanted) await this.writer.recover(found);
    await this.sheet.saver.flush();
    await api.generations.dismiss(generation);
    useScene.setState({ recovered: recovered.filter((each) => each.id !== generation) });
  }

  close(): void {
    this.leaving.abort();
    clearTimeout(this.rescuing);
    this.ghosting.cancel();
    this.writer.stop();
    this.sheet.close();
    useScene.setState(closedScene);
    useGeneration.setState(noGeneration);
  }

  private act(action: KeyAction): boolean {
    const { writer, ghosting } = this;
    const did = (work: void | Promise<void>): true => (void work, true);
    switch (action) {
      case "generate":
        return did(writer.generate());
      case "candidates":
        return did(writer.generate({ n: SEVERAL }));
      case "continue":
        return did(writer.continue());
      case "retry":
        return did(writer.retry());
      case "previous":
        return did(this.version(-1));
      case "next":
        return did(this.version(1));
      case "undo":
      case "undo2":
        return did(this.undo());
      case "redo":
      case "redo2":
        return did(this.stepping.redo());
      case "rewrite":
        return did(this.openRewriting());
      case "tokens":
        return did(this.tokens.toggle());
      case "save":
        return did(this.sheet.saver.flush().catch(() => undefined));
      case "accept":
        return ghosting.take(true);
      case "acceptWord":
        return ghosting.take(false);
      case "stop":
        return this.escape();
      default:
        return false;
    }
  }

  /** Esc: what is nearest to the writer goes first, and a running model at once. */
  private escape(): boolean {
    const { rewriting, deck } = useView.getState();
    if (this.writer.stop()) return true;
    if (this.ghosting.dismiss() || this.tokens.hide()) return true;
    if (rewriting) this.closeRewriting();
    else if (deck) this.writer.dismiss();
    else return false;
    return true;
  }

  private pick(index: number): boolean {
    const { deck, token } = useView.getState();
    if (deck && useGeneration.getState().candidates[index]) void this.writer.choose(index);
    else if (token) this.tokens.choose(index);
    else return false;
    return true;
  }

  private async version(direction: 1 | -1): Promise<void> {
    if (this.writer.busy) return;
    await this.stepping.version(direction).catch((error: unknown) => console.warn("versions", error));
  }

  private undo(): void {
    if (!this.writer.stop()) return this.stepping.undo();
    // What is being written becomes one step first, and that is what goes.
    setTimeout(() => this.stepping.undo(), 50);
  }

  private changed(mine: boolean): void {
    if (mine) {
      this.stepping.changed();
      this.ghosting.typed();
      if (useView.getState().token) this.tokens.hide();
    }
    clearTimeout(this.rescuing);
    this.rescuing = window.setTimeout(() => this.rescue(), RESCUE_AFTER);
  }

  private moved(): void {
    this.ghosting.cancel();
    const { tokenMode, versions } = useView.getState();
    if (versions) useView.setState({ versions: null });
    if (tokenMode) void this.tokens.show(this.sheet.selection.start, true);
  }

  /** Only while the server does not have it: a copy for a reload. */
  private rescue(): void {
    const { saving } = useScene.getState();
    const held = saving !== "saved" && saving !== "saving" && saving !== "unsaved";
    const { saver, scene, text } = this.sheet;
    if (held) keepRescue(scene.id, { head: saver.head, text });
  }

  private listen(): void {
    const { signal } = this.leaving;
    const { saver } = this.sheet;
    const flush = (): void => void saver.flush().catch(() => undefined);
    addEventListener("online", () => saver.retry(), { signal });
    addEventListener("pagehide", () => saver.farewell(), { signal });
    document.addEventListener("visibilitychange", () => (document.hidden ? flush() : void this.refresh()), { signal });
    addEventListener(
      "beforeunload",
      (event) => {
        if (!saver.pending || saver.farewell()) return;
        keepRescue(this.sheet.scene.id, { head: saver.head, text: this.sheet.text });
        if (useScene.getState().saving !== "saving") event.preventDefault(); // the browser asks whether to leave
      },
      { signal },
    );
    addEventListener("keydown", (event) => this.outside(event), { signal });
    const stop = useScene.subscribe(({ saving }) => saving === "saved" && keepRescue(this.sheet.scene.id, null));
    signal.addEventListener("abort", stop);
  }

  /** Keys pressed elsewhere: on the page itself they mean the manuscript (but Tab moves on), in another field only Esc does. */
  private outside(event: KeyboardEvent): void {
    if (event.defaultPrevented || this.sheet.view.dom.contains(event.target as Node)) return;
    const target = event.target as HTMLElement;
    const field = target.closest?.("input, textarea, select, [contenteditable]");
    const ours = target === document.body || target.closest?.("[data-manuscript]");
    const action = composing(event) ? null : actionOf(event);
    const done = field || !ours ? action === "stop" && this.writer.busy && this.writer.stop() : action !== "accept" && this.key(event);
    if (done) event.preventDefault();
  }

  /** The window is looked at again: take over what another one wrote, when nothing waits here. */
  private async refresh(): Promise<void> {
    const { saver, scene } = this.sheet;
    saver.retry();
    if (saver.pending || this.writer.busy || this.sheet.composing) return;
    const now = await api.scenes.read(scene.id).catch(() => null);
    if (!now || this.sheet.closed || saver.pending || this.writer.busy || this.sheet.composing || now.head === saver.head) return;
    saver.moved(now);
    this.sheet.accept(now, false);
  }

  /** Words of the last visit that did not reach the server, and a generation that went on meanwhile. */
  private comeBack(): void {
    const { scene, saver } = this.sheet;
    const rescue = rescueOf(scene.id);
    if (rescue && rescue.text !== scene.text) {
      const dispute = rescue.head !== scene.head;
      if (dispute) saver.dispute(scene);
      this.sheet.replace(rescue.text);
    }
    void this.writer.rejoin();
  }
}

/** Save a text as a file from the page itself. */
function download(text: string, title: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  link.download = `${title.replace(/[\\/:*?"<>|]+/g, " ").trim() || "manuscript"}.txt`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
