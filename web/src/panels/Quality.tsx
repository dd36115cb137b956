import { useEffect, useState } from "react";
import { api, type Figure, type Id, type Project, type Quality as Figures, type Source } from "../api";
import { language, named, number, percent, t as say, useT } from "../i18n";
import { download, save } from "../shell/download";
import { notify } from "../shell/notices";
import { attempt, useResource } from "../shell/resource";
import { Confirm } from "../shell/ui";
import { useScene } from "../state";
import { Numbers } from "./Numbers";

const SOURCES: readonly Source[] = ["person", "edited", "model", "prompt", "import"];

/** How much of the model's text was kept, and who wrote the book. */
export function Quality({ project, scene }: { project: Project; scene: Id | null }) {
  const t = useT();
  const saved = useScene((state) => state.savedAt);
  const { value, reload } = useResource(() => api.quality(project.id), `${project.id} ${saved}`);
  const measuring = value?.state === "measuring";
  useEffect(() => {
    if (!measuring) return;
    const again = setTimeout(() => void reload(), 1000);
    return () => clearTimeout(again);
  }, [measuring, value, reload]);
  // While it is counted anew the last figures stay in sight.
  const [last, setLast] = useState<Figures>();
  if (value && value !== last) setLast(value);
  const shown = value ?? last;
  if (!shown) return <p className="quiet-text">{t("state.loading")}</p>;
  return (
    <div className="stack wide">
      <Kept kept={shown.kept} />
      <Shares shares={shown.provenance} />
      <Disclosure line={shown.disclosure} title={project.title} />
      {shown.measures.length > 0 && (
        <section className="stack tight">
          <h3>{t("quality.measures")}</h3>
          <p className="quiet-text">{t("quality.measures.note")}</p>
          <dl className="measures">
            {shown.measures.map((measure) => (
              <Measure key={measure.name} measure={measure} />
            ))}
          </dl>
        </section>
      )}
      <Numbers project={project} scene={scene} />
      <Edits />
    </div>
  );
}

function Kept({ kept }: { kept: Figures["kept"] }) {
  const t = useT();
  return (
    <section className="stack tight">
      <h3>{t("quality.kept")}</h3>
      {kept.length === 0 && <p className="quiet-text">{t("quality.kept.none")}</p>}
      {kept.map((one) => (
        <div key={one.model} className="kept">
          <p className="kept-share figure">{percent(one.share)}</p>
          <div className="kept-about">
            <p>{one.model}</p>
            {one.low !== null && one.high !== null ? (
              <>
                <Interval low={one.low} high={one.high} at={one.share} />
                <p className="quiet-text figure">
                  {t("quality.interval", {
                    low: percent(one.low),
                    high: percent(one.high),
                    passages: t("count.passages", { n: one.n }),
                  })}
                </p>
              </>
            ) : (
              <p className="quiet-text figure">{t("quality.few", { passages: t("count.passages", { n: one.n }) })}</p>
            )}
          </div>
        </div>
      ))}
      {kept.length > 0 && <p className="quiet-text">{t("quality.kept.note")}</p>}
    </section>
  );
}

function Interval({ low, high, at }: { low: number; high: number; at: number }) {
  return (
    <svg className="interval" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect x="0" y="2.5" width="100" height="1" />
      <rect className="between" x={100 * low} y="1.5" width={Math.max(0.5, 100 * (high - low))} height="3" />
      <rect className="at" x={Math.min(99, 100 * at)} y="0" width="1" height="6" />
    </svg>
  );
}

function Shares({ shares }: { shares: Record<Source, number> }) {
  const t = useT();
  const total = SOURCES.reduce((sum, source) => sum + (shares[source] ?? 0), 0) || 1;
  const present = SOURCES.filter((source) => (shares[source] ?? 0) > 0);
  let from = 0;
  return (
    <section className="stack tight">
      <h3>{t("quality.who")}</h3>
      <svg className="shares" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        {present.map((source) => {
          const share = (100 * shares[source]) / total;
          from += share;
          return <rect key={source} className={`by-${source}`} x={from - share} y="0" width={share} height="4" />;
        })}
      </svg>
      <ul className="shares-names">
        {present.map((source) => (
          <li key={source} className={`by-${source}`}>
            <span>{t(`quality.${source}`)}</span>
            <span className="figure">{percent(shares[source] / total)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Disclosure({ line, title }: { line: string; title: string }) {
  const t = useT();
  if (!line) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(line);
    notify(t("do.copied"));
  };
  return (
    <section className="stack tight">
      <h3>{t("quality.disclosure")}</h3>
      <blockquote className="disclosure">{line}</blockquote>
      <div className="row">
        <button type="button" className="button small" onClick={() => void attempt(copy())}>
          {t("do.copy")}
        </button>
        <button
          type="button"
          className="button small"
          onClick={() => save(new Blob([`${line}\n`], { type: "text/plain" }), `${title || "disclosure"}.txt`)}
        >
          {t("do.download")}
        </button>
      </div>
    </section>
  );
}

const figure = (value: number | string) =>
  typeof value === "number" ? number(value, { maximumSignificantDigits: 3 }) : named("measure", value.replaceAll(" ", "_"));

export function Measure({ measure }: { measure: Figure }) {
  const { name, value, low, high, baseline } = measure;
  const note = typeof measure.note === "object" ? measure.note[language()] : measure.note;
  return (
    <div>
      <dt>{named("measure", name.replaceAll(" ", "_"))}</dt>
      <dd className="figure">
        {figure(value)}
        {low != null && high != null && ` [${figure(low)}, ${figure(high)}]`}
        {baseline != null && (
          <span className="quiet-text"> {say("quality.baseline", { value: figure(baseline) })}</span>
        )}
        {note && <span className="measure-note">{note}</span>}
      </dd>
    </div>
  );
}

function Edits() {
  const t = useT();
  const { value, reload } = useResource(() => api.edits.summary(), "edits");
  const [sure, setSure] = useState(false);
  const count = countOf(value);
  const answer = async (yes: boolean) => {
    setSure(false);
    if (!yes) return;
    const wiped = await attempt(api.edits.wipe().then(() => true));
    if (wiped) notify(t("quality.edits.wiped"));
    await reload();
  };
  return (
    <section className="stack tight">
      <h3>{t("quality.edits")}</h3>
      <p className="quiet-text">{t("quality.edits.note")}</p>
      <p className="figure">{t("quality.edits.count", { choices: t("count.choices", { n: count }) })}</p>
      <div className="row">
        {(["pairs", "dpo"] as const).map((kind) => (
          <button
            key={kind}
            type="button"
            className="button small"
            disabled={count === 0}
            onClick={() => void attempt(download(api.edits.exportUrl(kind), `${kind}.jsonl`))}
          >
            {t(`quality.edits.${kind}`)}
          </button>
        ))}
        <button type="button" className="button small warn" disabled={count === 0} onClick={() => setSure(true)}>
          {t("quality.edits.wipe")}
        </button>
      </div>
      {sure && <Confirm question={t("quality.edits.sure")} action={t("quality.edits.wipe")} onAnswer={(yes) => void answer(yes)} />}
    </section>
  );
}

/** How many choices were noted: the server's `total`, or the sum of its counts by kind. */
function countOf(summary: Record<string, unknown> | undefined): number {
  if (!summary) return 0;
  for (const key of ["total", "count", "n"]) if (typeof summary[key] === "number") return summary[key];
  return Object.values(summary).reduce<number>((sum, one) => sum + (typeof one === "number" ? one : 0), 0);
}
