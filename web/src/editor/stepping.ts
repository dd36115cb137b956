/** Steps that the server takes: undo beyond this visit, older moments, branches, the versions of a passage, conflicts. */

import { closeHistory, redo, undo, undoDepth } from "@tiptap/pm/history";
import { api, type Alternative, type Id, type SceneState } from "../api";
import { t } from "../i18n";
import { useScene } from "../state";
import { HANDS_RIGHT } from "./hands";
import { put } from "./insertion";
import type { Sheet } from "./sheet";
import { splicesOf } from "./text";
import { useView } from "./view";
import type { Writer } from "./writer";

export class Stepping {
  /** How many steps the server has undone that it can redo. */
  private undone = 0;
  private readonly first: SceneState;

  constructor(
    private readonly sheet: Sheet,
    private readonly writer: Writer,
  ) {
    this.first = sheet.scene;
  }

  /** The writer changed something: there is nothing to redo on the server. */
  changed(): void {
    this.undone = 0;
    if (useView.getState().versions) useView.setState({ versions: null });
  }

  /** The last step back, typed or generated; beyond what this visit knows, the server's tree goes on. */
  undo(): void {
    const { view } = this.sheet;
    if (undoDepth(view.state) > 0) undo(view.state, view.dispatch.bind(view));
    else void this.ask("undo").catch(report);
  }

  redo(): void {
    const { view } = this.sheet;
    if (this.undone > 0) void this.ask("redo").catch(report);
    else redo(view.state, view.dispatch.bind(view));
  }

  async restore(node: Id): Promise<void> {
    await this.step((head) => api.scenes.restore(this.sheet.scene.id, head, node), true);
  }

  async goTo(node: Id): Promise<void> {
    await this.step((head) => api.scenes.goTo(this.sheet.scene.id, head, node), true);
  }

  /** The previous (-1) or next (1) text of the passage under the cursor. */
  async version(direction: 1 | -1): Promise<void> {
    const { sheet } = this;
    await sheet.saver.flush();
    const at = sheet.selection.start;
    const { doc } = sheet.view.state;
    const found = await api.scenes.alternatives(sheet.scene.id, at);
    const count = found.alternatives.length;
    const now = found.alternatives.findIndex((each) => each.current);
    if (count === 0) return useView.setState({ versions: { at: 0, of: 0, model: null, own: false } });
    const index = now < 0 ? (direction > 0 ? 0 : count - 1) : (now + direction + count) % count;
    const wanted = found.alternatives[index]!;
    if (index !== now && sheet.view.state.doc === doc) {
      if (wanted.generation === null) await this.own(found.start);
      else this.swap(found.start, found.end, wanted);
    }
    const position = sheet.position(found.start);
    sheet.show(position);
    useView.setState({ versions: { at: index + 1, of: count, model: wanted.model, own: wanted.generation === null } });
  }

  /** Mine stays, theirs stays in the history under a name. */
  async keepMine(): Promise<void> {
    const { sheet } = this;
    const theirs = useScene.getState().conflict;
    if (!theirs) return;
    await api.scenes.label(theirs.head, t("editor.conflict.theirs.label", { time: clock() })).catch(() => undefined);
    sheet.saver.resume(theirs, sheet.splicesFrom(theirs.text));
    await sheet.saver.flush();
  }

  /** Theirs stays; mine goes into the history under a name first. */
  async keepTheirs(): Promise<void> {
    const { sheet } = this;
    const theirs = useScene.getState().conflict;
    if (!theirs) return;
    await this.writer.rest();
    sheet.saver.resume(theirs, sheet.splicesFrom(theirs.text));
    await sheet.saver.flush();
    await api.scenes.label(sheet.saver.head, t("editor.conflict.mine.label", { time: clock() })).catch(() => undefined);
    await this.restore(theirs.head);
  }

  private async ask(step: "undo" | "redo"): Promise<void> {
    const { sheet } = this;
    const { id } = sheet.scene;
    await this.step(async (head) => {
      // All of this visit is undone: go back to the moment at which it began, so that the server undoes what was before.
      const back = step === "undo" && this.undone === 0 && head !== this.first.head && sheet.text === this.first.text;
      const base = back ? (await api.scenes.goTo(id, head, this.first.head)).head : head;
      const answer = await api.scenes[step](id, base);
      this.undone = Math.max(0, this.undone + (answer.splice ? (step === "undo" ? 1 : -1) : 0));
      if (!answer.splice && step === "redo") this.undone = 0;
      return answer;
    }, false);
  }

  /** What stood there before the model wrote: the server knows whose words they were. */
  private async own(at: number): Promise<void> {
    const { id } = this.sheet.scene;
    await this.step((base) => api.scenes.choose(id, base, { at, generation: null }), true);
  }

  private swap(start: number, end: number, { text, generation, candidate, model }: Alternative): void {
    const { sheet } = this;
    const tr = closeHistory(sheet.view.state.tr); // versions leafed through quickly are undone one by one
    const by = { source: "model" as const, generation, model, candidate };
    put(tr, sheet.position(start), sheet.position(end), text, by);
    sheet.send(tr.setMeta(HANDS_RIGHT, true), splicesOf(start, end - start, [{ text, by }], "alternative"));
  }

  private async step(work: (head: Id) => Promise<SceneState>, counts: boolean): Promise<void> {
    const { sheet } = this;
    const { saver } = sheet;
    await this.writer.rest(); // its words belong to the text that was
    await saver.flush();
    await sheet.hold(async () => {
      const state = await work(saver.head);
      if (sheet.closed) return;
      // Words came in all the same, from a panel or an input method: they belong to neither text before the writer says so.
      if (saver.pending || sheet.composing) return saver.dispute(state);
      saver.moved(state);
      sheet.accept(state, counts);
    });
  }
}

const clock = (): string => new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** A step that failed changed nothing; the saver says why when the connection is gone. */
function report(error: unknown): void {
  console.warn("step failed", error);
}
