/** Stretches of the text that something works on: they keep their place while the writer types elsewhere. */

import { Extension } from "@tiptap/core";
import { Plugin, PluginKey, type EditorState, type Transaction } from "@tiptap/pm/state";
import { Decoration, DecorationSet } from "@tiptap/pm/view";

export interface Place {
  from: number;
  to: number;
  /** How it is shown, if at all: a class for its letters. */
  look?: string;
}

type Places = ReadonlyMap<string, Place>;
type Order = { set: Record<string, Place | null> };

const key = new PluginKey<Places>("places");

export const placeOf = (state: EditorState, name: string): Place | undefined => key.getState(state)?.get(name);

/** Set a place, or take it away; positions are those after the transaction. */
export function setPlace(tr: Transaction, name: string, place: Place | null): Transaction {
  const order = (tr.getMeta(key) as Order | undefined) ?? { set: {} };
  return tr.setMeta(key, { set: { ...order.set, [name]: place } });
}

export const Placing = Extension.create({
  name: "places",
  addProseMirrorPlugins: () => [
    new Plugin<Places>({
      key,
      state: {
        init: () => new Map(),
        apply(tr, places) {
          const order = tr.getMeta(key) as Order | undefined;
          if (!order && !(tr.docChanged && places.size)) return places;
          const next = new Map<string, Place>();
          for (const [name, place] of places) next.set(name, tr.docChanged ? moved(place, tr) : place);
          for (const [name, place] of Object.entries(order?.set ?? {})) place ? next.set(name, place) : next.delete(name);
          return next;
        },
      },
      props: {
        decorations(state) {
          const shown = [...key.getState(state)!.values()].filter((place) => place.look && place.from < place.to);
          if (!shown.length) return null;
          return DecorationSet.create(
            state.doc,
            shown.map((place) => Decoration.inline(place.from, place.to, { class: place.look! })),
          );
        },
      },
    }),
  ],
});

/** Words typed at either edge stay outside. */
function moved(place: Place, tr: Transaction): Place {
  const to = tr.mapping.map(place.to, -1);
  return { ...place, from: Math.min(tr.mapping.map(place.from, 1), to), to };
}
