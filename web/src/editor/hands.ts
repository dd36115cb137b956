/**
 * Keeps the marks of authorship true while the writer types.
 *
 * Words typed inside marked ones take over their mark in ProseMirror. They are the writer's: unmarked, or `edited` when
 * one generation's words stand on both sides. The server draws the same line. While an input method composes, nothing is
 * touched, since a changed text node ends the composition; the composed words are set right when it is over.
 */

import { Extension } from "@tiptap/core";
import type { Node } from "@tiptap/pm/model";
import { Plugin, PluginKey, type EditorState, type Transaction } from "@tiptap/pm/state";
import { handOf, type By } from "./text";

/** On a transaction whose marks are right as they are: a generation's words, a state from the server. */
export const HANDS_RIGHT = "hands-right";

const key = new PluginKey<Range | null>("hands");
const AFTER_COMPOSITION = 60; // ProseMirror itself needs 20 ms to end one

interface Range {
  from: number;
  to: number;
  /** Words from a clipboard keep the signature that they came with. */
  pasted?: boolean;
}

export const Hands = Extension.create({
  name: "hands",
  addProseMirrorPlugins() {
    const { editor } = this;
    const settle = (): void => {
      const { view } = editor;
      if (editor.isDestroyed || view.composing) return;
      const range = key.getState(view.state);
      if (!range) return;
      const tr = signed(view.state, range) ?? view.state.tr;
      view.dispatch(tr.setMeta(key, "settled"));
    };
    return [
      new Plugin<Range | null>({
        key,
        state: {
          init: () => null,
          apply(tr, composed) {
            if (tr.getMeta(key) === "settled") return null;
            const range = composed && tr.docChanged ? mapped(composed, tr) : composed;
            return tr.getMeta("composition") === undefined ? range : union(range, changedIn(tr));
          },
        },
        appendTransaction(transactions, _before, state) {
          if (editor.view.composing) return null;
          // One transaction at a time is what typing, pasting and dropping make; their ranges need no mapping.
          const tr = transactions.find(typed);
          const range = tr && changedIn(tr);
          const pasted = tr?.getMeta("paste") || tr?.getMeta("uiEvent") === "drop";
          return range ? signed(state, { ...range, pasted }) : null;
        },
        props: {
          handleDOMEvents: {
            compositionend: () => void setTimeout(settle, AFTER_COMPOSITION),
          },
        },
      }),
    ];
  },
});

/** Whether composed words wait to be set right; they are not saved before. */
export const unsettled = (state: EditorState): boolean => key.getState(state) !== null;

function typed(tr: Transaction): boolean {
  if (!tr.docChanged || tr.getMeta(HANDS_RIGHT) || tr.getMeta("composition") !== undefined) return false;
  return !tr.getMeta("history$") && !tr.getMeta(key);
}

function changedIn(tr: Transaction): Range | null {
  let range: Range | null = null;
  tr.mapping.maps.forEach((map, index) => {
    const rest = tr.mapping.slice(index + 1);
    map.forEach((_start, _end, from, to) => {
      range = union(range, { from: rest.map(from, -1), to: rest.map(to, 1) });
    });
  });
  return range;
}

const union = (one: Range | null, other: Range | null): Range | null =>
  one && other ? { from: Math.min(one.from, other.from), to: Math.max(one.to, other.to) } : (one ?? other);

const mapped = (range: Range, tr: Transaction): Range => ({
  from: tr.mapping.map(range.from, -1),
  to: tr.mapping.map(range.to, 1),
});

/** The transaction that signs the words in a range, or null where they are signed rightly already. */
function signed(state: EditorState, range: Range): Transaction | null {
  const { doc, schema } = state;
  const tr = state.tr;
  const type = schema.marks.by!;
  const around = handAround(doc, range);
  doc.nodesBetween(range.from, range.to, (node, position) => {
    if (!node.isText) return true;
    const by = handOf(node);
    if ((range.pasted && by) || (around ? by?.source === "edited" : by === null)) return false;
    const [from, to] = [Math.max(position, range.from), Math.min(position + node.nodeSize, range.to)];
    tr.removeMark(from, to, type);
    if (around) tr.addMark(from, to, type.create({ ...around, source: "edited" }));
    return false;
  });
  return tr.docChanged ? tr.setMeta(key, "signed") : null;
}

/** The hand that stands on both sides of a range, when it is one generation's. */
function handAround(doc: Node, range: Range): By | null {
  const [before, after] = beside(doc, range);
  return before?.generation && before.generation === after?.generation ? before : null;
}

function beside(doc: Node, { from, to }: Range): [By | null, By | null] {
  const [start, end] = [doc.resolve(from), doc.resolve(to)];
  const before = start.nodeBefore?.isText ? start.nodeBefore : previousText(doc, start.index(0));
  const after = end.nodeAfter?.isText ? end.nodeAfter : nextText(doc, end.index(0));
  return [before && handOf(before), after && handOf(after)];
}

/** At the edge of a paragraph, its neighbour's words are what stands beside. */
const previousText = (doc: Node, index: number): Node | null => (index > 0 ? doc.child(index - 1).lastChild : null);
const nextText = (doc: Node, index: number): Node | null => (index + 1 < doc.childCount ? doc.child(index + 1).firstChild : null);
