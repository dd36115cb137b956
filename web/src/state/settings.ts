/** The writer's settings: read once, changed at once on the page, written behind it. */

import { create } from "zustand";
import { api, type WriterSettings } from "../api";

interface SettingsState {
  values: WriterSettings;
  ready: boolean;
  load(): Promise<void>;
  change(values: WriterSettings): Promise<void>;
}

/** As the server has them. */
let stored: WriterSettings = {};
/** What was changed and is not written yet: what is read in the meantime lies under it. */
let unwritten: WriterSettings = {};
/** The last writing: the next one waits for it, for the server keeps what reaches it last. */
let writing: Promise<void> = Promise.resolve();
/** Changes so far: what began to be read before the last one is out of date. */
let changes = 0;

export const useSettings = create<SettingsState>((set, get) => {
  const show = (): void => set({ values: { ...stored, ...unwritten } });

  const write = async (): Promise<void> => {
    const sent = unwritten;
    if (!Object.keys(sent).length) return; // it went with the one before
    try {
      // All of them are written together, so those that were stored must be known.
      while (!get().ready) await get().load();
      stored = await api.settings.write({ ...stored, ...sent });
    } finally {
      unwritten = Object.fromEntries(Object.entries(unwritten).filter(([name, value]) => value !== sent[name]));
      show();
    }
  };

  return {
    values: {},
    ready: false,

    async load() {
      const began = changes;
      const read = await api.settings.read();
      if (began !== changes) return;
      stored = read;
      show();
      set({ ready: true });
    },

    async change(values) {
      changes += 1;
      unwritten = { ...unwritten, ...values };
      show();
      const mine = writing.then(write);
      writing = mine.catch(() => undefined);
      await mine;
    },
  };
});
