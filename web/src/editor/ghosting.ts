/** Asks for grey words when the writer pauses, and takes them when the writer says so. */

import { api, type Id } from "../api";
import { busy, useGeneration, useSettings } from "../state";
import { firstWord, ghostOf, setGhost } from "./ghost";
import { put } from "./insertion";
import type { Sheet } from "./sheet";
import { offsetOf } from "./text";
import { useView } from "./view";

const PAUSE = 900;
const WORDS = 12;

export class Ghosting {
  private timer = 0;
  private asking: AbortController | null = null;

  constructor(private readonly sheet: Sheet) {}

  /** The writer typed: what was grey is gone or shorter, and a new pause begins. */
  typed(): void {
    this.cancel();
    if (!wanted()) return;
    this.timer = window.setTimeout(() => void this.ask(), PAUSE);
  }

  /** No grey words: true when there were some. */
  dismiss(): boolean {
    this.cancel();
    const { view } = this.sheet;
    if (!ghostOf(view.state)) return false;
    view.dispatch(setGhost(view.state.tr, null));
    useView.setState({ ghost: false });
    return true;
  }

  /** Take all of them, or the next word. */
  take(all: boolean): boolean {
    const { view, scene } = this.sheet;
    const ghost = ghostOf(view.state);
    if (!ghost) return false;
    const text = all ? ghost.text : firstWord(ghost.text, scene.language);
    const rest = ghost.text.slice(text.length);
    const start = offsetOf(view.state.doc, ghost.at);
    const tr = view.state.tr;
    const by = { source: "model" as const, generation: ghost.generation, model: ghost.model, candidate: 0 };
    const at = put(tr, ghost.at, ghost.at, text, by);
    setGhost(tr, rest ? { ...ghost, at, text: rest } : null);
    this.sheet.send(tr.scrollIntoView(), [
      { start, remove: 0, insert: text, author: "model", generation: ghost.generation, candidate: 0, kind: "generate" },
    ]);
    useView.setState({ ghost: rest !== "" });
    void api.edits.chosen({ generation: ghost.generation, candidate: 0, kind: "accept", kept_text: text }).catch(() => undefined);
    if (!rest) this.typed();
    return true;
  }

  cancel(): void {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.asking = null;
  }

  private async ask(): Promise<void> {
    const { sheet } = this;
    const idle = (): boolean =>
      !sheet.closed && sheet.view.hasFocus() && sheet.view.state.selection.empty && !sheet.composing && !busy(useGeneration.getState());
    if (!idle() || !sheet.length) return;
    const abort = (this.asking = new AbortController());
    let generation: Id | null = null;
    let model: string | null = null;
    let text = "";
    try {
      await sheet.saver.flush();
      const at = sheet.selection.start;
      const { doc } = sheet.view.state;
      const wish = { base: sheet.saver.head, mode: "ghost" as const, at, n: 1, words: WORDS };
      for await (const event of api.generations.start(sheet.scene.id, wish, abort.signal)) {
        if (abort.signal.aborted) break;
        if (event.event === "started") ({ generation, model } = event.data);
        else if (event.event === "text") text += event.data.text;
        else if (event.event === "candidate") text = event.data.text;
        if (!text.trim() || generation === null || sheet.view.state.doc !== doc || !idle()) continue;
        const { view } = sheet;
        view.dispatch(setGhost(view.state.tr, { at: view.state.selection.head, text, generation, model }));
        useView.setState({ ghost: true });
      }
    } catch {
      // Nobody asked for it, so nobody hears that it failed.
    } finally {
      if (abort.signal.aborted && generation !== null) void api.generations.stop(generation).catch(() => undefined);
      if (this.asking === abort) this.asking = null;
    }
  }
}

/** Not on a phone: there the keyboard brings its own suggestions, and Tab is missing. */
function wanted(): boolean {
  return Boolean(useSettings.getState().values.ghost) && matchMedia("(pointer: fine) and (min-width: 640px)").matches;
}
