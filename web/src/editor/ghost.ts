/** Grey words after the cursor: what the model would say next. They are not in the text until they are taken. */

import { Extension } from "@tiptap/core";
import { Plugin, PluginKey, type EditorState, type Transaction } from "@tiptap/pm/state";
import { Decoration, DecorationSet } from "@tiptap/pm/view";
import type { Id } from "../api";

export interface GhostWords {
  at: number;
  text: string;
  generation: Id;
  model: string | null;
}

const key = new PluginKey<GhostWords | null>("ghost");

export const ghostOf = (state: EditorState): GhostWords | null => key.getState(state) ?? null;

export const setGhost = (tr: Transaction, ghost: GhostWords | null): Transaction => tr.setMeta(key, { ghost });

export const Ghost = Extension.create({
  name: "ghost",
  addProseMirrorPlugins: () => [
    new Plugin<GhostWords | null>({
      key,
      state: {
        init: () => null,
        apply(tr, ghost) {
          const order = tr.getMeta(key) as { ghost: GhostWords | null } | undefined;
          if (order) return order.ghost;
          if (!ghost || (!tr.docChanged && !tr.selectionSet)) return ghost;
          const { empty, head } = tr.selection;
          if (!empty || head < ghost.at) return null;
          // The writer types what the ghost says: the rest of it stays.
          const typed = tr.doc.textBetween(ghost.at, Math.min(head, tr.doc.content.size), "\n");
          return ghost.text.startsWith(typed) && typed.length < ghost.text.length
            ? { ...ghost, at: head, text: ghost.text.slice(typed.length) }
            : null;
        },
      },
      props: {
        decorations(state) {
          const ghost = ghostOf(state);
          if (!ghost) return null;
          const words = (): HTMLElement => {
            const span = document.createElement("span");
            span.className = "ghost";
            span.textContent = ghost.text;
            span.setAttribute("aria-hidden", "true"); // read out from the status line, not inside the writer's sentence
            return span;
          };
          return DecorationSet.create(state.doc, [
            Decoration.widget(ghost.at, words, { side: 1, key: `ghost ${ghost.text}`, ignoreSelection: true }),
          ]);
        },
      },
    }),
  ],
});

/** The next word of a text with what stands before it; in Chinese the next word too, not the next character. */
export function firstWord(text: string, language: string): string {
  let end = 0;
  for (const { segment, isWordLike } of new Intl.Segmenter(language, { granularity: "word" }).segment(text)) {
    if (isWordLike && end > 0 && /[\p{L}\p{N}]/u.test(text.slice(0, end))) break;
    end += segment.length;
    if (isWordLike) {
      // Punctuation that hangs on the word comes with it.
      const tail = /^[^\s\p{L}\p{N}]*/u.exec(text.slice(end))![0];
      return text.slice(0, end + tail.length);
    }
  }
  return text;
}
