/** The writer's settings: read once, changed at once on the page, written behind it. */

import { create } from "zustand";
import { api, type WriterSettings } from "../api";

interface SettingsState {
  values: WriterSettings;
  ready: boolean;
  load(): Promise<void>;
  change(values: WriterSettings): Promise<void>;
}

/** What was changed and is not written yet: what is read in the meantime lies under it. */
let unwritten: WriterSettings = {};
/** Changes so far: what began to be read before the last one is out of date. */
let changes = 0;

export const useSettings = create<SettingsState>((set, get) => ({
  values: {},
  ready: false,

  async load() {
    const began = changes;
    const stored = await api.settings.read();
    if (began === changes) set({ values: { ...stored, ...unwritten }, ready: true });
  },

  async change(values) {
    const before = get().values;
    changes += 1;
    unwritten = { ...unwritten, ...values };
    set({ values: { ...before, ...values } });
    try {
      // All of them are written together, so those that were stored must be known.
      while (!get().ready) await get().load();
      set({ values: await api.settings.write(get().values) });
    } catch (error) {
      set({ values: before });
      throw error;
    } finally {
      unwritten = {};
    }
  },
}));
