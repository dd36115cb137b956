import { api, type Id, type Job } from "../api";
import { named, number, percent, timeLeft, useT } from "../i18n";
import { notify } from "../shell/notices";
import { attempt } from "../shell/resource";
import { go, to } from "../shell/route";
import { useSettings } from "../state";
import { Curve } from "./Curve";
import { useJob } from "./Train";

/** One training: what it learns from, how far it is, what it writes by now, and what to do with it. */
export function JobView({ id, onChange }: { id: Id; onChange: () => Promise<void> }) {
  const t = useT();
  const { job, again } = useJob(id);
  if (!job) return <p className="quiet-text">{t("state.loading")}</p>;
  const going = job.state === "queued" || job.state === "running";
  const act = async (work: Promise<Job>) => {
    const next = await attempt(work);
    if (next) again(next);
    await onChange();
  };
  const use = async () => {
    await attempt(useSettings.getState().change({ model: job.model! }));
    notify(t("train.used", { name: job.name }));
    go(to.start);
  };
  return (
    <div className="stack wide">
      <div className="stack tight">
        <h1>{job.name}</h1>
        <p role="status" className={going ? "working" : ""}>
          {[
            t(`train.state.${job.state}`),
            going && job.stage && named("train.stage", job.stage),
            going && job.progress > 0 && percent(job.progress),
            going && job.eta_seconds != null && timeLeft(job.eta_seconds),
          ]
            .filter(Boolean)
            .join(" · ")}
        </p>
        {going && <progress value={job.progress || undefined} max={1} aria-label={job.name} />}
        {job.message && <p className={job.state === "failed" ? "trouble" : "quiet-text"}>{[job.message, job.next].filter(Boolean).join(" ")}</p>}
        <div className="row">
          {job.state === "done" && job.model && (
            <button type="button" className="button lead" onClick={() => void use()}>
              {t("train.use")}
            </button>
          )}
          {going && (
            <button type="button" className="button" onClick={() => void act(api.jobs.cancel(id))}>
              {t("train.cancel")}
            </button>
          )}
          {["failed", "cancelled", "interrupted"].includes(job.state) && (
            <button type="button" className="button lead" onClick={() => void act(api.jobs.resume(id))}>
              {t("train.resume")}
            </button>
          )}
        </div>
      </div>
      <Report report={job.report} />
      {job.curve.length > 1 && (
        <section className="stack tight">
          <h2>{t("train.curve")}</h2>
          <Curve points={job.curve} />
        </section>
      )}
      {job.samples.length > 0 && (
        <section className="stack tight">
          <h2>{t("train.samples")}</h2>
          {[...job.samples].reverse().map((sample, place) => (
            <details key={sample.step} className="sample" open={place === 0}>
              <summary className="quiet-text">{t("train.sample", { n: sample.step })}</summary>
              <p className="serif sample-text">{sample.text}</p>
            </details>
          ))}
        </section>
      )}
    </div>
  );
}

/** The data report's figures, whatever it counted; nested ones are flattened one level. */
function Report({ report }: { report: unknown }) {
  const t = useT();
  if (!report || typeof report !== "object") return null;
  const facts = Object.entries(report).flatMap(([name, value]) => fact(name, value));
  if (!facts.length) return null;
  return (
    <section className="stack tight">
      <h2>{t("train.report")}</h2>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{named("report", name)}</dt>
            <dd className="figure">{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function fact(name: string, value: unknown): [string, string][] {
  if (typeof value === "number") return [[name, number(value, { maximumFractionDigits: 2 })]];
  if (typeof value === "string" && value.length < 80) return [[name, value]];
  if (value && typeof value === "object" && !Array.isArray(value)) {
    const inside = Object.entries(value).filter(([, one]) => typeof one === "number");
    if (inside.length) return [[name, inside.map(([key, one]) => `${key} ${number(one as number)}`).join(", ")]];
  }
  return [];
}
