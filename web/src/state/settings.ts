/** The writer's settings: read once, changed at once on the page, written behind it. */

import { create } from "zustand";
import { api, type WriterSettings } from "../api";

interface SettingsState {
  values: WriterSettings;
  ready: boolean;
  load(): Promise<void>;
  change(values: WriterSettings): Promise<void>;
}

export const useSettings = create<SettingsState>((set, get) => ({
  values: {},
  ready: false,

  async load() {
    set({ values: await api.settings.read(), ready: true });
  },

  async change(values) {
    const before = get().values;
    set({ values: { ...before, ...values } });
    try {
      set({ values: await api.settings.write({ ...before, ...values }) });
    } catch (error) {
      set({ values: before });
      throw error;
    }
  },
}));
