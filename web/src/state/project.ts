/** Which project and which scene are open. The tree itself is the server's; the page reads it again after a change. */

import { create } from "zustand";
import { api, type Id, type Project, type ProjectSummary } from "../api";

interface ProjectState {
  list: ProjectSummary[] | null;
  project: Project | null;
  /** The scene whose manuscript is in the middle. */
  scene: Id | null;
  loadList(): Promise<void>;
  open(project: Id, scene?: Id): Promise<void>;
  /** Take a project that was just made or read, without asking for it again. */
  take(project: Project, scene?: Id): void;
  refresh(): Promise<void>;
  change(values: Partial<Project>): Promise<void>;
  choose(scene: Id): void;
  close(): void;
}

const firstScene = (project: Project): Id | null => project.tree.find((item) => item.kind === "scene")?.id ?? null;

export const useProject = create<ProjectState>((set, get) => ({
  list: null,
  project: null,
  scene: null,

  async loadList() {
    set({ list: await api.projects.list() });
  },

  async open(id, scene) {
    get().take(await api.projects.read(id), scene);
  },

  take(project, scene) {
    set({ project, scene: scene ?? firstScene(project) });
  },

  async refresh() {
    const open = get().project;
    if (!open) return;
    const project = await api.projects.read(open.id);
    if (get().project?.id !== project.id) return;
    const still = project.tree.some((item) => item.id === get().scene);
    set({ project, scene: still ? get().scene : firstScene(project) });
  },

  async change(values) {
    const open = get().project;
    if (!open) return;
    // The answer may come when another project is open.
    const put = (project: Project): void => void (get().project?.id === open.id && set({ project }));
    put({ ...open, ...values });
    try {
      put(await api.projects.change(open.id, values));
    } catch (error) {
      put(open);
      throw error;
    }
  },

  choose(scene) {
    set({ scene });
  },

  close() {
    set({ project: null, scene: null });
  },
}));
