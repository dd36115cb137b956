import { create } from "zustand";
import type { Id } from "../api";

export type Tab = "plan" | "people" | "model" | "quality" | "history";
export const TABS: readonly Tab[] = ["plan", "people", "model", "quality", "history"];
export type Side = "none" | "panel" | "chat";
/** What the writer asked for on the first screen: to be done once, when the manuscript is there. */
export type Arrival = "begin" | "plan" | "blank";

interface Layout {
  tree: boolean;
  side: Side;
  tab: Tab;
  arrival: { project: Id; then: Arrival } | null;
  palette: boolean;
  showTree(open: boolean): void;
  showSide(side: Side): void;
  showTab(tab: Tab): void;
  arrive(project: Id, then: Arrival): void;
}

/** Narrower than this, the tree and the panel are sheets over the manuscript, one at a time. */
export const NARROW = "(max-width: 60rem)";
export const narrow = (): boolean => matchMedia(NARROW).matches;

export const useLayout = create<Layout>((set, get) => ({
  tree: !narrow(),
  side: narrow() ? "none" : "panel",
  tab: "plan",
  arrival: null,
  palette: false,
  showTree(open) {
    set({ tree: open, side: open && narrow() ? "none" : get().side });
  },
  showSide(side) {
    set({ side, tree: side !== "none" && narrow() ? false : get().tree });
  },
  showTab(tab) {
    set({ tab });
    get().showSide("panel");
  },
  arrive(project, then) {
    set({ arrival: { project, then } });
    if (then === "plan") get().showTab("plan");
  },
}));
