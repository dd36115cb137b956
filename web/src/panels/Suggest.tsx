import { useState } from "react";
import { api, type Id, type Plan, type PlanEvent, type PlanPart, type Project } from "../api";
import { type Key, number, useT } from "../i18n";
import { notify } from "../shell/notices";
import { useStream } from "../shell/resource";

interface Candidate {
  candidate: number;
  value: unknown;
  score?: number;
  why?: string;
}

interface SuggestProps {
  project: Project;
  part: PlanPart;
  section?: Id | undefined;
  label: Key;
  /** To be done before the storyteller is asked: what was typed must be known to it. */
  before: () => Promise<void>;
  onTake: (value: unknown) => void;
}

/** Several suggestions for one step, shown as they come, each with its score; nothing is taken over by itself. */
export function Suggest({ project, part, section, label, before, onTake }: SuggestProps) {
  const t = useT();
  const stream = useStream<PlanEvent>();
  const [found, setFound] = useState<Candidate[]>([]);
  const ask = async () => {
    setFound([]);
    await before();
    await stream.run(
      (signal) => api.plan.propose(project.id, part, { n: 3, ...(section !== undefined && { part: section }) }, signal),
      (event) => {
        if (event.event === "plan")
          setFound((list) => [...list.filter((one) => one.candidate !== event.data.candidate), event.data]);
        else if (event.event === "failed") notify([event.data.message, event.data.next].filter(Boolean).join(" "), { tone: "warn" });
      },
    );
  };
  const ordered = [...found].sort((a, b) => (b.score ?? 0) - (a.score ?? 0));
  return (
    <div className="stack tight">
      <div className="row">
        <button type="button" className="button small" onClick={() => (stream.running ? stream.stop() : void ask())}>
          {t(stream.running ? "do.stop" : label)}
        </button>
        <span role="status" className={stream.running ? "working quiet-text" : "quiet-text"}>
          {stream.running && t("plan.thinking")}
        </span>
        {found.length > 0 && !stream.running && (
          <button type="button" className="link" onClick={() => setFound([])}>
            {t("do.close")}
          </button>
        )}
      </div>
      {ordered.length > 0 && (
        <ul className="stack tight" aria-label={t("plan.candidates")}>
          {ordered.map((one) => (
            <li key={one.candidate} className="card candidate">
              <Value value={one.value} language={project.language} />
              <div className="row spread">
                {one.score === undefined || one.score === null ? (
                  <span />
                ) : (
                  <span className="quiet-text figure" title={t("plan.score.note")}>
                    {t("plan.score", { n: number(one.score, { maximumFractionDigits: 2 }) })}
                    {one.why && ` · ${one.why}`}
                  </span>
                )}
                <button
                  type="button"
                  className="button small"
                  onClick={() => {
                    stream.stop();
                    setFound([]);
                    onTake(one.value);
                  }}
                >
                  {t("do.use")}
                </button>
              </div>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

type Shown = { name: string; who: string } | Plan["outline"][number] | Plan["outline"][number]["beats"][number];

/** A suggestion as text: a premise, people, an outline with its beats, or beats. */
function Value({ value, language }: { value: unknown; language: string }) {
  if (!Array.isArray(value)) return <p className="serif" lang={language}>{String(value)}</p>;
  return (
    <ul className="value serif" lang={language}>
      {(value as Shown[]).map((one, place) => (
        <li key={place}>
          {"name" in one && (
            <>
              <strong>{one.name}</strong> {one.who}
            </>
          )}
          {"text" in one && one.text}
          {"title" in one && (
            <>
              <strong>{one.title}</strong>
              <ul>
                {one.beats.map((beat) => (
                  <li key={beat.id}>{beat.text}</li>
                ))}
              </ul>
            </>
          )}
        </li>
      ))}
    </ul>
  );
}
