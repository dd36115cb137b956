import { useCallback, useEffect, useState } from "react";
import { api, type Id, type Job } from "../api";
import { ago, useT } from "../i18n";
import { Icon } from "../shell/Icon";
import { notifyFailure } from "../shell/notices";
import { attempt } from "../shell/resource";
import { go, to } from "../shell/route";
import { TopBar } from "../shell/TopBar";
import { JobView } from "./JobView";
import { NewTraining } from "./NewTraining";

/** Make a storyteller of one's own. A training goes on when this page is closed; its address brings it back. */
export function Train({ job }: { job: Id | null }) {
  const t = useT();
  const [jobs, setJobs] = useState<Job[] | null>(null);
  const reload = useCallback(async () => {
    const list = await attempt(api.jobs.list());
    if (list) setJobs(list);
  }, []);
  useEffect(() => void reload(), [reload, job]);
  return (
    <div className="start">
      <TopBar />
      <main className="page" id="main">
        {job === null ? (
          <>
            <h1>{t("train.title")}</h1>
            <p className="lead-text">{t("train.lead")}</p>
            <NewTraining />
          </>
        ) : (
          <JobView key={job} id={job} onChange={reload} />
        )}
        <section className="stack tight" aria-labelledby="jobs">
          <h2 id="jobs">{t("train.jobs")}</h2>
          {jobs?.length === 0 && <p className="quiet-text">{t("train.jobs.none")}</p>}
          <ul className="works">
            {jobs?.map((one) => (
              <li key={one.id}>
                <a href={to.job(one.id)} aria-current={String(one.id) === String(job) ? "page" : undefined}>
                  <span className="work-title">{one.name}</span>
                  <span className="work-about">
                    {t(`train.state.${one.state}`)}
                    {one.created != null && ` · ${ago(one.created * 1000)}`}
                  </span>
                </a>
                {!["queued", "running"].includes(one.state) && (
                  <button type="button" className="icon" aria-label={`${t("train.forget")}: ${one.name}`} onClick={() => void forget(one)}>
                    <Icon name="trash" />
                  </button>
                )}
              </li>
            ))}
          </ul>
          {job !== null && (
            <div>
              <a className="button small" href={to.train}>
                {t("train.another")}
              </a>
            </div>
          )}
        </section>
      </main>
    </div>
  );

  async function forget(one: Job) {
    const gone = await attempt(api.jobs.remove(one.id).then(() => true));
    if (!gone) return;
    if (String(one.id) === String(job)) go(to.train);
    await reload();
  }
}

/** The job as it stands now and whenever it changes, for as long as it runs. */
export function useJob(id: Id) {
  const [job, setJob] = useState<Job>();
  const [round, setRound] = useState(0);
  useEffect(() => {
    const leaving = new AbortController();
    const follow = async () => {
      const now = await api.jobs.read(id);
      setJob(now);
      if (now.state !== "queued" && now.state !== "running") return;
      for await (const event of api.jobs.events(id, leaving.signal))
        if (event.event === "job") setJob((known) => ({ ...known, ...(event.data as Job) }));
      // The end of the stream is the end of the training, or of the connection: ask.
      setJob(await api.jobs.read(id));
    };
    follow().catch((error: unknown) => {
      if (leaving.signal.aborted) return;
      notifyFailure(error);
      setTimeout(() => !leaving.signal.aborted && setRound((n) => n + 1), 3000);
    });
    return () => leaving.abort();
  }, [id, round]);
  const again = (next: Job) => {
    setJob((known) => ({ ...known, ...next }));
    setRound((n) => n + 1);
  };
  return { job, again };
}

