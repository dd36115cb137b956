import { type KeyboardEvent, useRef } from "react";
import type { Id, Project } from "../api";
import { useT } from "../i18n";
import { Icon } from "../shell/Icon";
import { TABS, useLayout } from "../shell/layout";
import { History } from "./History";
import { Model } from "./Model";
import { People } from "./People";
import { Plan } from "./Plan";
import { Quality } from "./Quality";

/** The one panel beside the manuscript, and its five tabs. */
export function Panel({ project, scene }: { project: Project; scene: Id | null }) {
  const t = useT();
  const { tab, showTab, showSide } = useLayout();
  const tabs = useRef<HTMLDivElement>(null);
  const keys = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || event.altKey) return;
    event.preventDefault();
    const next = TABS[(TABS.indexOf(tab) + by + TABS.length) % TABS.length]!;
    showTab(next);
    tabs.current?.querySelector<HTMLElement>(`#tab-${next}`)?.focus();
  };
  return (
    <aside className="panel" aria-label={t("shell.panel")}>
      <div className="panel-head">
        <div className="tabs" role="tablist" aria-label={t("shell.panel")} ref={tabs} onKeyDown={keys}>
          {TABS.map((one) => (
            <button
              key={one}
              type="button"
              role="tab"
              id={`tab-${one}`}
              aria-selected={one === tab}
              aria-controls="tab-body"
              tabIndex={one === tab ? 0 : -1}
              onClick={() => showTab(one)}
            >
              {t(`tab.${one}`)}
            </button>
          ))}
        </div>
        <button
          type="button"
          className="icon narrow-only"
          aria-label={t("shell.panel.close")}
          onClick={() => showSide("none")}
        >
          <Icon name="close" />
        </button>
      </div>
      <div className="panel-body" role="tabpanel" id="tab-body" aria-labelledby={`tab-${tab}`} tabIndex={0} key={`${project.id} ${tab}`}>
        {tab === "plan" && <Plan project={project} scene={scene} />}
        {tab === "people" && <People project={project} />}
        {tab === "model" && <Model project={project} scene={scene} />}
        {tab === "quality" && <Quality project={project} scene={scene} />}
        {tab === "history" && <History scene={scene} language={project.language} />}
      </div>
    </aside>
  );
}
