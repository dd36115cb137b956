import { api, type Project } from "../api";
import { useT } from "../i18n";
import { useProject } from "../state";
import { ExportMenu } from "./ExportMenu";
import { Icon } from "./Icon";
import { useLayout } from "./layout";
import { useSaving } from "./resource";
import { to } from "./route";
import { Edit } from "./ui";

export function Header({ project }: { project: Project }) {
  const t = useT();
  const layout = useLayout();
  const title = useSaving(async (text: string) => {
    await api.projects.change(project.id, { title: text });
    await useProject.getState().refresh();
  });
  return (
    <header className="bar">
      <button
        type="button"
        className="icon"
        aria-pressed={layout.tree}
        aria-label={t(layout.tree ? "shell.tree.close" : "shell.tree.open")}
        title={t(layout.tree ? "shell.tree.close" : "shell.tree.open")}
        onClick={() => layout.showTree(!layout.tree)}
      >
        <Icon name="tree" />
      </button>
      <a className="icon" href={to.start} aria-label={t("app.home")} title={t("app.home")}>
        <Icon name="back" />
      </a>
      <h1 className="bar-title" lang={project.language}>
        <Edit label={t("shell.title")} hidden quiet value={project.title} hint={t("tree.untitled")} onChange={title.later} />
      </h1>
      <div className="bar-end">
        <ExportMenu project={project} />
        <a className="icon wide-only" href={to.train} aria-label={t("shell.train")} title={t("shell.train")}>
          <Icon name="train" />
        </a>
        <a className="icon" href={to.settings} aria-label={t("shell.settings")} title={t("shell.settings")}>
          <Icon name="settings" />
        </a>
        <Toggle side="chat" name={t("shell.chat")} icon="chat" />
        <Toggle side="panel" name={t(layout.side === "panel" ? "shell.panel.close" : "shell.panel.open")} icon="panel" />
      </div>
    </header>
  );
}

function Toggle({ side, name, icon }: { side: "chat" | "panel"; name: string; icon: "chat" | "panel" }) {
  const layout = useLayout();
  const on = layout.side === side;
  return (
    <button
      type="button"
      className="icon"
      aria-pressed={on}
      aria-label={name}
      title={name}
      onClick={() => layout.showSide(on ? "none" : side)}
    >
      <Icon name={icon} />
    </button>
  );
}
