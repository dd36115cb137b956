import { useState } from "react";
import { api, type Id, type Plan as Planned, type PlanPart, type Project } from "../api";
import { useT } from "../i18n";
import { type Resource, useResource, useSaving } from "../shell/resource";
import { Edit } from "../shell/ui";
import { Draft } from "./Draft";
import { Outline } from "./Outline";
import { Suggest } from "./Suggest";
import { Versions } from "./Versions";

export type Change = (values: Partial<Planned>) => void;
/** Where a suggestion goes once the writer takes it. */
export type Take = (part: PlanPart, value: unknown, section?: Id) => void;

/** From premise to beats. Each step can be written by hand, suggested, and changed afterwards. */
export function Plan({ project, scene }: { project: Project; scene: Id | null }) {
  const t = useT();
  const plan = useResource(() => api.plan.read(project.id), project.id);
  const saving = useSaving((values: Planned) => api.plan.write(project.id, values));
  const [saved, setSaved] = useState(0);
  if (!plan.value) return <p className="quiet-text">{t("state.loading")}</p>;
  const now = plan.value;
  const change: Change = (values) => {
    const next = { ...now, ...values };
    plan.set(next);
    saving.later(next);
  };
  const take: Take = (part, value, section) => {
    change(taken(now, part, value, section));
    void saving.flush().then(() => setSaved((n) => n + 1));
  };
  const suggest = (part: PlanPart, section?: Id) => (
    <Suggest
      key={`${part} ${section ?? ""}`}
      project={project}
      part={part}
      section={section}
      label={`plan.suggest.${part}`}
      before={saving.flush}
      onTake={(value) => take(part, value, section)}
    />
  );
  return (
    <div className="stack wide" lang={project.language}>
      <section className="stack tight">
        <h3>{t("plan.premise")}</h3>
        <Edit
          label={t("plan.premise")}
          hint={t("plan.premise.hint")}
          hidden
          lines
          value={now.premise}
          onChange={(premise) => change({ premise })}
        />
        {suggest("premise")}
      </section>
      <section className="stack tight">
        <h3>{t("plan.people")}</h3>
        <Cast plan={now} change={change} />
        {suggest("people")}
      </section>
      <section className="stack tight">
        <h3>{t("plan.outline")}</h3>
        <Outline plan={now} change={change} suggest={(section) => suggest("beats", section)} project={project} />
        {suggest("outline")}
      </section>
      <Draft project={project} scene={scene} plan={now} before={saving.flush} after={() => void plan.reload()} />
      {now.summary && (
        <section className="stack tight">
          <Edit
            label={t("plan.summary")}
            hint={t("plan.summary.hint")}
            lines
            value={now.summary}
            onChange={(summary) => change({ summary })}
          />
        </section>
      )}
      <Versions project={project} saved={saved} onBack={plan as Resource<Planned>} />
      <p className="quiet-text">{t("plan.free")}</p>
    </div>
  );
}

function taken(plan: Planned, part: PlanPart, value: unknown, section?: Id): Partial<Planned> {
  if (part === "premise") return { premise: String(value) };
  if (part === "people") return { people: value as Planned["people"] };
  if (part === "outline") return { outline: value as Planned["outline"] };
  const beats = value as Planned["outline"][number]["beats"];
  return { outline: plan.outline.map((one) => (one.id === section ? { ...one, beats } : one)) };
}

function Cast({ plan, change }: { plan: Planned; change: Change }) {
  const t = useT();
  const person = (place: number, values: Partial<Planned["people"][number]>) =>
    change({ people: plan.people.map((one, n) => (n === place ? { ...one, ...values } : one)) });
  return (
    <>
      <ul className="stack tight">
        {plan.people.map((one, place) => (
          <li key={place} className="cast">
            <Edit
              label={t("start.characters.name")}
              hint={t("start.characters.name")}
              hidden
              value={one.name}
              onChange={(name) => person(place, { name })}
            />
            <Edit
              label={t("start.characters.who")}
              hint={t("start.characters.who")}
              hidden
              lines
              value={one.who}
              onChange={(who) => person(place, { who })}
            />
            <button
              type="button"
              className="link warn"
              onClick={() => change({ people: plan.people.filter((_, n) => n !== place) })}
              aria-label={t("start.characters.remove", { name: one.name || String(place + 1) })}
            >
              {t("do.remove")}
            </button>
          </li>
        ))}
      </ul>
      <div>
        <button type="button" className="link" onClick={() => change({ people: [...plan.people, { name: "", who: "" }] })}>
          {t("start.characters.add")}
        </button>
      </div>
    </>
  );
}
