import { useRef, useState } from "react";
import { api, type GenerationEvent, type Id, type Plan, type Project } from "../api";
import { manuscript } from "../editor";
import { useT } from "../i18n";
import { notify } from "../shell/notices";
import { attempt } from "../shell/resource";

type Ending = "done" | "stopped" | "failed";

interface DraftProps {
  project: Project;
  scene: Id | null;
  plan: Plan;
  before: () => Promise<void>;
  after: () => void;
}

/** Write the story beat by beat into the open scene; it can be stopped at any time, and begun at any beat. */
export function Draft({ project, scene, plan, before, after }: DraftProps) {
  const t = useT();
  const beats = plan.outline.flatMap((section) => section.beats);
  const [at, setAt] = useState<number | null>(null);
  const [from, setFrom] = useState("");
  const ended = useRef<Ending>("stopped");

  const draft = async () => {
    if (scene === null) return;
    await before();
    const start = from || undefined;
    setAt(Math.max(0, beats.findIndex((beat) => String(beat.id) === start)));
    ended.current = "stopped";
    const wish = { scene, ...(start !== undefined && { from_beat: start }) };
    await attempt(manuscript().draft((signal) => api.plan.draft(project.id, wish, signal), each));
    setAt(null);
    const how = ended.current as Ending;
    if (how !== "failed") notify(t(how === "done" ? "plan.drafted" : "plan.stopped"));
    after();
  };
  const each = (event: GenerationEvent) => {
    if (event.event === "beat") {
      const place = beats.findIndex((beat) => String(beat.id) === String(event.data.id));
      if (place >= 0) setAt(place);
      ended.current = place === beats.length - 1 ? "done" : "stopped";
    } else if (event.event === "failed") {
      ended.current = "failed";
      notify([event.data.message, event.data.next].filter(Boolean).join(" "), { tone: "warn" });
    }
  };
  if (!beats.length) return <p className="quiet-text">{t("plan.draft.needs")}</p>;
  return (
    <section className="stack tight draft">
      <div className="row">
        {at === null ? (
          <button type="button" className="button lead" disabled={scene === null} onClick={() => void draft()}>
            {t(from ? "plan.draft.here" : "plan.draft")}
          </button>
        ) : (
          <button type="button" className="button" onClick={() => manuscript().stop()}>
            {t("do.stop")}
          </button>
        )}
      </div>
      {at === null ? (
        <label className="field">
          <span>{t("plan.draft.from")}</span>
          <select className="select" value={from} onChange={(event) => setFrom(event.target.value)}>
            <option value="">{t("plan.draft.first")}</option>
            {beats.slice(1).map((beat) => (
              <option key={beat.id} value={String(beat.id)}>
                {beat.text.slice(0, 60) || t("plan.beat")}
              </option>
            ))}
          </select>
        </label>
      ) : (
        <>
          <p role="status" className="working quiet-text">
            {t("plan.drafting", { n: at + 1, total: beats.length })}
          </p>
          <progress value={at} max={beats.length} aria-label={t("plan.draft")} />
        </>
      )}
    </section>
  );
}
