/**
 * Markdown's emphasis, shown where it stands: `*so*` slanted, `**so**` bold, with the stars themselves pale.
 *
 * Decorations are made for the paragraphs on the screen alone. ProseMirror looks a set through for every paragraph of the
 * document, so a set for all of 5000 paragraphs would cost more than the keystroke.
 */

import { Extension } from "@tiptap/core";
import type { Node } from "@tiptap/pm/model";
import { Plugin, PluginKey } from "@tiptap/pm/state";
import { Decoration, DecorationSet, type EditorView } from "@tiptap/pm/view";

const key = new PluginKey<Window>("emphasis");

/** Indices of the first and the last paragraph on the screen. */
interface Window {
  first: number;
  last: number;
}

const AROUND = 40;

type Stretch = [from: number, to: number, look: string];

const EMPHASIS = /(\*{1,3}|(?<![\p{L}\p{N}_])_{1,3})(?=\S)((?:(?!\1).)*?\S)(\1)(?!\*)(?![\p{L}\p{N}_](?<=_.))/gsu;

const known = new WeakMap<Node, Stretch[]>();

/** The stretches of a paragraph's text to be shown otherwise. */
export function emphasisIn(text: string): Stretch[] {
  const found: Stretch[] = [];
  if (!text.includes("*") && !text.includes("_")) return found;
  for (const match of text.matchAll(EMPHASIS)) {
    const [whole, mark] = match as unknown as [string, string];
    const start = match.index;
    const end = start + whole.length;
    const look = ["em", "strong", "em strong"][mark.length - 1]!;
    found.push([start, end, look], [start, start + mark.length, "mark"], [end - mark.length, end, "mark"]);
  }
  return found;
}

function emphasisOf(paragraph: Node): Stretch[] {
  let stretches = known.get(paragraph);
  if (!stretches) known.set(paragraph, (stretches = emphasisIn(paragraph.textContent)));
  return stretches;
}

export const Emphasis = Extension.create({
  name: "emphasis",
  addProseMirrorPlugins: () => {
    let last: { doc: Node; window: Window; set: DecorationSet } | null = null;
    return [
      new Plugin<Window>({
        key,
        state: {
          init: () => ({ first: 0, last: 2 * AROUND }),
          apply: (tr, window) => (tr.getMeta(key) as Window | undefined) ?? window,
        },
        props: {
          decorations(state) {
            const window = key.getState(state)!;
            if (last?.doc === state.doc && last.window === window) return last.set;
            const set = decorate(state.doc, window);
            last = { doc: state.doc, window, set };
            return set;
          },
        },
        view: (view) => {
          const scroller = scrollerOf(view.dom);
          let due = 0;
          const look = (): void => {
            due = 0;
            const { first, last: end } = key.getState(view.state)!;
            const seen = visible(view, scroller);
            if (seen && (seen.first < first || seen.last > end)) {
              const window = { first: Math.max(0, seen.first - AROUND), last: seen.last + AROUND };
              view.dispatch(view.state.tr.setMeta(key, window).setMeta("addToHistory", false));
            }
          };
          const later = (): void => void (due ||= requestAnimationFrame(look));
          scroller.addEventListener("scroll", later, { passive: true });
          return {
            destroy: () => {
              cancelAnimationFrame(due);
              scroller.removeEventListener("scroll", later);
            },
          };
        },
      }),
    ];
  },
});

function decorate(doc: Node, { first, last }: Window): DecorationSet {
  const decorations: Decoration[] = [];
  let position = 1;
  for (let index = 0; index <= last && index < doc.childCount; index++) {
    const paragraph = doc.child(index);
    if (index >= first)
      for (const [from, to, look] of emphasisOf(paragraph))
        decorations.push(Decoration.inline(position + from, position + to, { class: look }));
    position += paragraph.nodeSize;
  }
  return decorations.length ? DecorationSet.create(doc, decorations) : DecorationSet.empty;
}

/** The element that scrolls the manuscript. */
export function scrollerOf(element: HTMLElement): HTMLElement {
  return element.closest<HTMLElement>("[data-scroller]") ?? document.documentElement;
}

function visible(view: EditorView, scroller: HTMLElement): Window | null {
  const box = scroller.getBoundingClientRect();
  const inside = view.dom.getBoundingClientRect();
  const left = inside.left + inside.width / 2;
  const at = (top: number): number | null => {
    const found = view.posAtCoords({ left, top });
    return found && view.state.doc.resolve(found.pos).index(0);
  };
  const first = at(Math.max(box.top, inside.top) + 4);
  const last = at(Math.min(box.bottom, inside.bottom, innerHeight) - 4);
  return first === null || last === null ? null : { first, last };
}
