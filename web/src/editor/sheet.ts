/** The sheet of paper: one scene's document on the screen, and the line from it to the server's disk. */

import { Editor } from "@tiptap/core";
import { EditorState, TextSelection, type Transaction } from "@tiptap/pm/state";
import type { EditorView } from "@tiptap/pm/view";
import type { Node } from "@tiptap/pm/model";
import type { NodeKind, Scene, SceneState, Source, Splice } from "../api";
import { t } from "../i18n";
import { useScene, type Passage } from "../state";
import { Counter } from "./count";
import { Emphasis, scrollerOf } from "./emphasis";
import { Ghost } from "./ghost";
import { Hands, HANDS_RIGHT, unsettled } from "./hands";
import { put } from "./insertion";
import { Placing } from "./places";
import { Saver, type SaverReport } from "./saver";
import { manuscriptExtensions, plain } from "./schema";
import {
  changeBetween, common, documentOf, handOf, lengthOf, offsetOf, passageAt, piecesOf, positionOf, splicesOf, textOf, type Change,
} from "./text";

/** Panels hear of the manuscript when the fingers rest: a keystroke draws nothing but its letter. */
const TELL_AFTER = 120;

export class Sheet {
  readonly editor: Editor;
  readonly saver: Saver;
  closed = false;
  private held = false;
  /** Called after each change of text; `mine` when the writer made it. */
  onChange: (mine: boolean) => void = () => undefined;
  onSelection: () => void = () => undefined;
  onKey: (event: KeyboardEvent) => boolean = () => false;
  private readonly counter: Counter;
  private synced: Node;
  private words: number;
  private exact: Splice[] | null = null;
  private telling = 0;

  constructor(
    readonly scene: Scene,
    element: HTMLElement,
  ) {
    this.counter = new Counter(scene.language);
    this.saver = new Saver(scene.id, scene, (report) => this.saved(report));
    this.editor = new Editor({
      element,
      extensions: [...manuscriptExtensions, Hands, Placing, Emphasis, Ghost],
      enableCoreExtensions: false,
      injectCSS: false, // a strict content-security policy allows no style element
      editorProps: {
        editable: () => !this.held,
        attributes: {
          role: "textbox",
          tabindex: "0", // it keeps the focus while it is held
          "aria-multiline": "true",
          "aria-label": t("editor.label"),
          lang: scene.language.startsWith("zh") ? "zh-CN" : scene.language,
          spellcheck: "true",
          class: "sheet",
        },
        handleKeyDown: (_view, event) => this.onKey(event),
        handleDOMEvents: {
          compositionstart: () => {
            void this.saver.flush().catch(() => undefined); // what was typed before the composition waits for nothing
            return false;
          },
        },
      },
    });
    const { view } = this.editor;
    const doc = documentOf(this.editor.schema, scene.text, scene.provenance);
    view.updateState(EditorState.create({ doc, plugins: view.state.plugins, selection: TextSelection.atEnd(doc) }));
    this.synced = doc;
    this.words = this.counter.sum(doc.children);
    this.editor.on("transaction", ({ transaction }) => this.happened(transaction));
    this.tell();
  }

  get view(): EditorView {
    return this.editor.view;
  }

  get text(): string {
    return textOf(this.view.state.doc);
  }

  /** Whether an input method has unfinished words in the text. */
  get composing(): boolean {
    return this.view.composing || unsettled(this.view.state);
  }

  /** The selection as offsets. */
  get selection(): { start: number; end: number } {
    const { doc, selection } = this.view.state;
    return { start: offsetOf(doc, selection.from), end: offsetOf(doc, selection.to) };
  }

  passage(offset = this.selection.start): Passage | null {
    const found = passageAt(this.view.state.doc, offset);
    return found && { start: found.start, end: found.end, source: found.by.source, generation: found.by.generation, model: found.by.model };
  }

  offset(position: number): number {
    return offsetOf(this.view.state.doc, position);
  }

  /** Where something hangs that belongs to a position: below its line, from the sheet's corner. */
  beside(position: number): { left: number; top: number } {
    const { left, bottom } = this.view.coordsAtPos(position);
    const box = this.view.dom.getBoundingClientRect();
    return { left: left - box.left, top: bottom - box.top };
  }

  position(offset: number): number {
    return positionOf(this.view.state.doc, offset);
  }

  /** Dispatch a transaction whose splices are known. */
  send(tr: Transaction, splices: Splice[]): void {
    this.exact = splices;
    try {
      this.view.dispatch(tr);
    } finally {
      this.exact = null;
    }
  }

  /** Take over a state whose text is that of the present one. */
  take(state: EditorState): void {
    this.view.updateState(state);
    this.synced = state.doc;
  }

  /** Take over a text that the server has already; it can be undone when it `counts` as the writer's step. */
  accept(state: SceneState, counts: boolean): void {
    const tr = this.view.state.tr;
    const target = documentOf(this.editor.schema, state.text, state.provenance);
    const here = this.text;
    const [prefix, suffix] = common(here, state.text);
    const from = positionOf(target, prefix);
    const slice = target.slice(from, positionOf(target, state.text.length - suffix));
    tr.replace(positionOf(tr.doc, prefix), positionOf(tr.doc, here.length - suffix), slice);
    tr.setMeta("addToHistory", counts).setMeta(HANDS_RIGHT, true);
    this.send(tr, []);
    this.reveal(prefix);
  }

  /** Nothing can be typed, pasted or dropped while a step of the server's is under way: the text for it is about to go. */
  async hold(step: () => Promise<void>): Promise<void> {
    const editable = (can: boolean): void => {
      this.held = !can;
      if (!this.closed) this.view.updateState(this.view.state); // it asks again whether it may be edited
    };
    editable(false);
    await step().finally(() => editable(true));
  }

  /** How the manuscript here differs from a text, as splices on that text. */
  splicesFrom(text: string, kind?: NodeKind): Splice[] {
    const here = this.text;
    const [prefix, suffix] = common(text, here);
    const change = { start: prefix, removed: text.slice(prefix, text.length - suffix), gone: [], come: [] };
    return this.splicesOf({ ...change, inserted: here.slice(prefix, here.length - suffix) }, kind);
  }

  /** The writer's text as a whole, from another source than the keyboard. */
  replace(text: string): void {
    const { tr } = this.view.state;
    const here = this.text;
    const [prefix, suffix] = common(here, text);
    put(tr, this.position(prefix), this.position(here.length - suffix), text.slice(prefix, text.length - suffix), null);
    this.view.dispatch(tr);
  }

  /** Words at the cursor, as if they were pasted. */
  insert(text: string): void {
    const { tr, selection } = this.view.state;
    const end = put(tr, selection.from, selection.to, plain(text), null);
    tr.setMeta(HANDS_RIGHT, false).setMeta("paste", true);
    this.view.dispatch(tr.setSelection(TextSelection.create(tr.doc, end)).scrollIntoView());
    this.view.focus();
  }

  reveal(start: number, end = start): void {
    const { view } = this;
    const [from, to] = [this.position(start), this.position(end)];
    view.dispatch(view.state.tr.setSelection(TextSelection.create(view.state.doc, from, to)).scrollIntoView());
  }

  /** Put the cursor at a position; the page moves only when it is out of sight. */
  show(position: number): void {
    const { view } = this;
    view.dispatch(view.state.tr.setSelection(TextSelection.create(view.state.doc, position)).scrollIntoView());
  }

  /** Whether the writer's cursor rides at a position whose line is on the screen. */
  following(position: number): boolean {
    const { selection } = this.view.state;
    if (!selection.empty || selection.from !== position) return false;
    const box = scrollerOf(this.view.dom).getBoundingClientRect();
    const { top, bottom } = this.view.coordsAtPos(position);
    return bottom > box.top && top < box.bottom;
  }

  keepInSight(position: number): void {
    const scroller = scrollerOf(this.view.dom);
    const margin = 3 * parseFloat(getComputedStyle(this.view.dom).fontSize);
    const below = this.view.coordsAtPos(position).bottom + margin - Math.min(scroller.getBoundingClientRect().bottom, innerHeight);
    if (below > 0) scroller.scrollTop += below;
  }

  /** Who wrote how much, in characters. */
  shares(): Record<Source, number> {
    const shares: Record<Source, number> = { person: 0, model: 0, edited: 0, prompt: 0, import: 0 };
    this.view.state.doc.descendants((node) => {
      if (node.isText) shares[handOf(node)?.source ?? "person"] += node.nodeSize;
      return !node.isText;
    });
    return shares;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.telling);
    void this.saver.flush().catch(() => undefined);
    this.saver.close();
    this.editor.destroy();
  }

  private happened(tr: Transaction): void {
    if (tr.selectionSet && !tr.docChanged) this.onSelection();
    this.sync(tr);
    this.telling ||= window.setTimeout(() => {
      this.telling = 0;
      this.tell();
    }, TELL_AFTER);
  }

  /** Put what changed since the last time on its way. A composition under way is not part of the text yet. */
  private sync(tr: Transaction): void {
    const { doc } = this.view.state;
    if (doc === this.synced || (!this.exact && this.composing)) return;
    const change = changeBetween(this.synced, doc);
    this.synced = doc;
    if (!change) return;
    this.words += this.counter.sum(change.come) - this.counter.sum(change.gone);
    const changed = change.removed !== "" || change.inserted !== "";
    this.saver.add(this.exact ?? (changed ? this.splicesOf(change) : []));
    if (changed) this.onChange(!this.exact && !tr.getMeta("history$"));
  }

  private splicesOf(change: Change, kind?: NodeKind): Splice[] {
    const { start, removed, inserted } = change;
    const pieces = piecesOf(this.view.state.doc, start, start + inserted.length);
    return splicesOf(start, removed.length, pieces, kind);
  }

  private saved(report: SaverReport): void {
    const now = useScene.getState();
    if (report.saving === now.saving && report.head === now.head && report.conflict === undefined && report.refusal === undefined) return;
    useScene.setState({ ...report, ...(report.saving === "saved" ? { savedAt: Date.now() } : {}) });
  }

  private tell(): void {
    if (this.closed) return;
    useScene.setState({ words: this.words, selection: this.selection, passage: this.passage() });
  }

  /** For the panels that count: the length in UTF-16 units. */
  get length(): number {
    return lengthOf(this.view.state.doc);
  }
}
