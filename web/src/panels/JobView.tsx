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
        <Ending job={job} />
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
      <Report job={job} />
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

/** What was read and kept, what was left out and why, and what that means for the result. */
function Report({ job }: { job: Job }) {
  const t = useT();
  const { report, estimate } = job;
  if (!report) return null;
  const counts = (["files", "read", "kept", "words"] as const).map((name): [string, string] => [name, number(report[name])]);
  const kinds = (["languages", "forms", "splits"] as const).map((name): [string, string] => [
    name,
    Object.entries(report[name]).map(([kind, n]) => `${kind} ${number(n)}`).join(", "),
  ]);
  return (
    <section className="stack tight">
      <h2>{t("train.report")}</h2>
      {report.warnings.map(({ code, text }) => (
        <p key={code}>{worded(`warning.${code}`, text)}</p>
      ))}
      <dl className="facts">
        {[...counts, ...kinds].map(([name, value]) => (
          <div key={name}>
            <dt>{named("report", name)}</dt>
            <dd className="figure">{value}</dd>
          </div>
        ))}
      </dl>
      {report.dropped.length > 0 && (
        <details>
          <summary>{t("report.dropped")}</summary>
          <ul>
            {report.dropped.map(({ reason, count, example, begins }) => (
              <li key={reason}>
                {number(count)} × {reason}
                {example && <span className="quiet-text"> · {[example, begins].filter(Boolean).join(": ")}</span>}
              </li>
            ))}
          </ul>
        </details>
      )}
      {estimate && (
        <p className="quiet-text">
          {t("report.estimate", {
            steps: number(estimate.steps),
            minutes: number(Math.max(1, Math.round(estimate.seconds / 60))),
            memory: number(estimate.memory / 1e9, { maximumFractionDigits: 1 }),
          })}
        </p>
      )}
    </section>
  );
}

/** A sentence of ours for something that the server has a name for, or the server's own. */
function worded(name: string, text: string): string {
  const said = named("report", name);
  return said === name.replaceAll("_", " ") ? text : said;
}

/** How it ended, in the writer's language where we have words for it. */
function Ending({ job }: { job: Job }) {
  const t = useT();
  const { base, best } = job.figures ?? {};
  const bits = (value: number) => number(value, { maximumFractionDigits: 3 });
  if (job.state === "done" && base != null && best != null)
    return <p className="quiet-text">{best < base ? t("report.better", { base: bits(base), best: bits(best) }) : t("report.worse", { base: bits(base) })}</p>;
  if (job.state === "cancelled" && job.step) return <p className="quiet-text">{t("report.stopped", { step: number(job.step) })}</p>;
  if (!job.message || job.state === "done") return null;
  return <p className={job.state === "failed" ? "trouble" : "quiet-text"}>{[job.message, job.next].filter(Boolean).join(" ")}</p>;
}
