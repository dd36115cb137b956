import { api, type Plan, type PlanVersion, type Project } from "../api";
import { ago, useT } from "../i18n";
import { attempt, type Resource, useResource } from "../shell/resource";
import { Fold } from "../shell/ui";

/** Earlier states of the plan. Going back to one makes it the newest; the others stay. */
export function Versions({ project, saved, onBack }: { project: Project; saved: number; onBack: Resource<Plan> }) {
  const t = useT();
  const versions = useResource(() => api.plan.versions(project.id), `${project.id} ${saved}`);
  const back = async (version: PlanVersion) => {
    const older = await attempt(api.plan.read(project.id, version.version));
    const plan = older && (await attempt(api.plan.write(project.id, older)));
    if (plan) onBack.set(plan);
    await versions.reload();
  };
  const older = versions.value?.slice(1) ?? [];
  return (
    <Fold title={t("plan.versions")}>
      {older.length === 0 && <p className="quiet-text">{t("plan.versions.none")}</p>}
      <ul className="proposals">
        {older.map((version) => (
          <li key={version.version}>
            <span className="ellipsis" lang={project.language}>
              {version.premise || "–"}
            </span>
            <span className="quiet-text">{ago(version.created)}</span>
            <button type="button" className="link" onClick={() => void back(version)}>
              {t("plan.version.back")}
            </button>
          </li>
        ))}
      </ul>
    </Fold>
  );
}
