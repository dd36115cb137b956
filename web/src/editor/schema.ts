/** The document: paragraphs of plain text; one mark says who wrote a stretch. Markdown's emphasis stays in the text. */

import { Extension, Mark, Node } from "@tiptap/core";
import { baseKeymap } from "@tiptap/pm/commands";
import { history } from "@tiptap/pm/history";
import { keymap } from "@tiptap/pm/keymap";
import { Fragment, Slice } from "@tiptap/pm/model";
import { Plugin } from "@tiptap/pm/state";
import { linesOf } from "./text";

const Document = Node.create({ name: "doc", topNode: true, content: "paragraph+" });

const Paragraph = Node.create({
  name: "paragraph",
  content: "text*",
  marks: "by",
  parseHTML: () => [{ tag: "p" }, { tag: "div" }],
  renderHTML: () => ["p", 0],
});

const Text = Node.create({ name: "text", group: "inline" });

/** Who wrote it. As a mark it moves, is cut, pasted and undone with its words; what has none is the writer's own. */
const ByMark = Mark.create({
  name: "by",
  inclusive: false,
  addAttributes: () => ({
    source: { default: "model" },
    generation: { default: null },
    model: { default: null },
    candidate: { default: null },
  }),
  // Only from our own clipboard, where ProseMirror marks its own slices.
  parseHTML: () => [
    {
      tag: "span[data-by]",
      getAttrs: (element) => {
        const { by, generation, model, candidate } = element.dataset;
        return {
          source: by,
          generation: generation ?? null,
          model: model ?? null,
          candidate: candidate === undefined ? null : Number(candidate),
        };
      },
    },
  ],
  renderHTML: ({ mark: { attrs } }) => [
    "span",
    {
      class: `by by-${attrs.source}`,
      "data-by": attrs.source,
      "data-generation": attrs.generation,
      "data-model": attrs.model,
      "data-candidate": attrs.candidate,
    },
    0,
  ],
});

/** Enter, Backspace and the like, undo, and a clipboard of plain text in which one newline is one paragraph. */
const Writing = Extension.create({
  name: "writing",
  addProseMirrorPlugins() {
    const { schema } = this.editor;
    const slice = (text: string): Slice => new Slice(Fragment.from(linesOf(schema, plain(text), null)), 1, 1);
    return [
      history({ depth: 1000, newGroupDelay: 800 }),
      keymap({ ...baseKeymap, "Shift-Enter": baseKeymap.Enter! }),
      new Plugin({
        props: {
          clipboardTextSerializer: (slice) => slice.content.textBetween(0, slice.content.size, "\n"),
          clipboardTextParser: slice,
          handlePaste(view, event) {
            const data = event.clipboardData;
            const text = data?.getData("text/plain");
            if (!text || data?.getData("text/html").includes("data-pm-slice")) return false;
            // Other programs' formatting is not part of a manuscript. (`view.pasteText` would ask here again, without end.)
            const tr = view.state.tr.replaceSelection(slice(text)).scrollIntoView();
            view.dispatch(tr.setMeta("paste", true).setMeta("uiEvent", "paste"));
            return true;
          },
        },
      }),
    ];
  },
});

/** Line ends of all systems are newlines; what cannot be in a text is left out. */
export const plain = (text: string): string => text.replace(/\r\n?|[\u2028\u2029\u0085\v\f]/g, "\n").replace(/\0/g, "");

export const manuscriptExtensions = [Document, Paragraph, Text, ByMark, Writing];
