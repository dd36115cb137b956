import { useEffect } from "react";
import type { Id } from "../api";
import { Manuscript, manuscript } from "../editor";
import { useT } from "../i18n";
import { actionOf } from "../keys";
import { Chat } from "../panels/Chat";
import { Panel } from "../panels/Panel";
import { useGeneration, useProject, useScene } from "../state";
import { Fallback } from "./Fallback";
import { Header } from "./Header";
import { narrow, useLayout } from "./layout";
import { notifyFailure } from "./notices";
import { Palette } from "./Palette";
import { go, to } from "./route";
import { StatusLine } from "./StatusLine";
import { Tree } from "./Tree";

/** The place to write: project tree, manuscript, panel; the last two words of it are below. */
export function Studio({ project: id, scene: wanted }: { project: Id; scene: Id | null }) {
  const t = useT();
  const { project, scene, open, choose } = useProject();
  const layout = useLayout();
  const here = project && String(project.id) === String(id) ? project : null;

  useEffect(() => {
    if (String(useProject.getState().project?.id) === String(id)) return;
    open(id, wanted ?? undefined).catch((error: unknown) => {
      notifyFailure(error);
      go(to.start);
    });
  }, [id, open]); // eslint-disable-line -- the scene of the address is followed below
  useEffect(() => {
    const item = here?.tree.find((one) => String(one.id) === String(wanted) && one.kind !== "chapter");
    if (item && item.id !== useProject.getState().scene) choose(item.id);
  }, [here, wanted, choose]);
  useEffect(() => {
    if (here) document.title = `${here.title || t("tree.untitled")} · ${t("app.name")}`;
  }, [here, t]);
  useArrival(id);
  useKeys();

  if (!here) return <main className="page" id="main" aria-busy="true" aria-label={t("state.loading")} />;
  const covered = narrow() && (layout.tree || layout.side !== "none");
  return (
    <div className="studio" data-tree={layout.tree} data-side={layout.side}>
      <Header project={here} />
      {layout.tree && (
        <Fallback>
          <Tree project={here} />
        </Fallback>
      )}
      <main
        className="middle"
        id="main"
        lang={here.language.startsWith("zh") ? "zh-CN" : here.language}
        inert={covered}
        aria-label={t("shell.manuscript")}
      >
        {scene === null ? <p className="empty">{t("shell.nothing")}</p> : <Manuscript key={scene} scene={scene} />}
      </main>
      <Fallback key={layout.side}>
        {layout.side === "panel" && <Panel project={here} scene={scene} />}
        {layout.side === "chat" && <Chat project={here} />}
      </Fallback>
      <StatusLine project={here} />
      {layout.palette && <Palette project={here} />}
    </div>
  );
}

/** Do what the writer asked for on the first screen, once, when the manuscript is on the page. */
function useArrival(id: Id) {
  const arrival = useLayout((state) => state.arrival);
  const loaded = useScene((state) => state.scene !== null && !state.loading);
  useEffect(() => {
    if (!arrival || !loaded || String(arrival.project) !== String(id)) return;
    useLayout.setState({ arrival: null });
    if (arrival.then === "begin") manuscript().generate({ mode: "begin", at: 0 });
    else if (arrival.then === "blank") manuscript().focus();
  }, [arrival, loaded, id]);
}

/** The keys that belong to the whole screen and not to the manuscript. */
function useKeys() {
  const words = useGeneration((state) => state.phase === "done");
  const refresh = useProject((state) => state.refresh);
  useEffect(() => {
    if (words) void refresh().catch(() => undefined);
  }, [words, refresh]);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const layout = useLayout.getState();
      const action = actionOf(event);
      if (action === "palette") useLayout.setState({ palette: !layout.palette });
      else if (action === "shortcuts") go(to.settings);
      else if (action === "stop" && narrow() && (layout.tree || layout.side !== "none") && !event.defaultPrevented) {
        layout.showTree(false);
        layout.showSide("none");
        manuscript().focus();
      } else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

