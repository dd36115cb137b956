import { useEffect, useRef, useState } from "react";
import { api, type Id, type Numbers as Read, type PassageNumber, type Project } from "../api";
import { manuscript } from "../editor";
import { type Key, number, useT } from "../i18n";
import { notifyFailure } from "../shell/notices";
import { useScene } from "../state";

/** Letters before the cursor that make a passage, about 200 words; it begins with a paragraph. */
const PASSAGE = 1200;

interface Answer {
  read: Read;
  /** Where in the manuscript of `head` the passage begins. */
  start: number;
  head: Id | null;
}

/** Two numbers for a passage, when the writer asks; what was asked of a text that has changed is asked no more. */
export function Numbers({ project, scene }: { project: Project; scene: Id | null }) {
  const t = useT();
  const head = useScene((state) => state.head);
  const changed = useScene((state) => state.saving === "unsaved");
  const selected = useScene((state) => state.selection.start !== state.selection.end);
  const [answer, setAnswer] = useState<Answer>();
  const [reading, setReading] = useState<Id | null>();
  const asking = useRef<AbortController>(undefined);
  const stop = () => {
    asking.current?.abort();
    setReading(undefined);
  };
  useEffect(() => () => asking.current?.abort(), []);
  useEffect(() => {
    if (reading !== undefined && (changed || head !== reading)) stop();
  }, [changed, head, reading]);

  const ask = async () => {
    asking.current?.abort();
    const mine = new AbortController();
    asking.current = mine;
    try {
      await manuscript().flush();
      const text = manuscript().text();
      const selection = manuscript().selection();
      const start = beginning(text, selection);
      const of = useScene.getState().head;
      setReading(of);
      const read = await api.numbers({ text: text.slice(start, Math.max(start, selection.end)), language: project.language }, mine.signal);
      if (!mine.signal.aborted) setAnswer({ read, start, head: of });
    } catch (failure) {
      if (!mine.signal.aborted) notifyFailure(failure);
    }
    if (asking.current === mine) setReading(undefined);
  };

  const earlier = answer !== undefined && (changed || answer.head !== head);
  return (
    <section className="stack tight numbers">
      <h3>{t("numbers.title")}</h3>
      <p className="quiet-text">{t("numbers.note")}</p>
      <div className="row">
        {reading === undefined ? (
          <button type="button" className="button small" disabled={scene === null} onClick={() => void ask()}>
            {t(selected ? "numbers.ask.selection" : "numbers.ask.passage")}
          </button>
        ) : (
          <>
            <span role="status">{t("numbers.reading")}</span>
            <button type="button" className="link" onClick={stop}>
              {t("do.stop")}
            </button>
          </>
        )}
      </div>
      {answer && (
        <>
          <p className="quiet-text">
            {t("numbers.words", { n: answer.read.words })}
            {earlier && ` ${t("numbers.earlier")}`}
          </p>
          <Told read={answer.read} />
          <Sentences answer={answer} language={project.language} earlier={earlier} />
        </>
      )}
    </section>
  );
}

/** The selection as it is, or the paragraphs that end at the cursor; never with a space before its first word. */
function beginning(text: string, { start, end }: { start: number; end: number }): number {
  let from = start;
  if (start === end) {
    from = text.lastIndexOf("\n", Math.max(0, end - PASSAGE)) + 1;
    if (end <= PASSAGE) from = 0;
  }
  return from + (/^\s*/.exec(text.slice(from, end))?.[0].length ?? 0);
}

function Told({ read }: { read: Read }) {
  const t = useT();
  const said = (told: PassageNumber, key: Key) =>
    told.value === null ? t(`numbers.none.${told.reason || "kind"}` as Key) : t(key, { value: Math.round(told.value) });
  // Where both have the same reason, it is said once.
  const same = read.likeness.value === null && read.coherence.value === null && read.likeness.reason === read.coherence.reason;
  if (same) return <p>{said(read.likeness, "numbers.likeness.value")}</p>;
  return (
    <dl className="measures">
      <div>
        <dt>{t("numbers.likeness")}</dt>
        <dd className="figure">
          {said(read.likeness, "numbers.likeness.value")}
          <span className="measure-note">{t("numbers.likeness.note")}</span>
        </dd>
      </div>
      <div>
        <dt>{t("numbers.coherence")}</dt>
        <dd className="figure">
          {said(read.coherence, "numbers.coherence.value")}
          <span className="measure-note">{t("numbers.coherence.note")}</span>
        </dd>
      </div>
    </dl>
  );
}

/** What each sentence adds to the likeness; a click goes there, while the text is still the one that was read. */
function Sentences({ answer, language, earlier }: { answer: Answer; language: string; earlier: boolean }) {
  const t = useT();
  if (!answer.read.sentences.some((one) => one.likeness !== null)) return null;
  let at = answer.start;
  return (
    <details className="sentences">
      <summary>{t("numbers.sentences")}</summary>
      <p className="quiet-text">{t("numbers.sentences.note")}</p>
      <ol>
        {answer.read.sentences.map((one, place) => {
          const start = at;
          at += one.text.length;
          if (one.likeness === null || !one.text.trim()) return null;
          const points = number(one.likeness, { signDisplay: "exceptZero", maximumFractionDigits: 0 });
          return (
            <li key={place}>
              <button
                type="button"
                lang={language}
                disabled={earlier}
                onClick={() => manuscript().reveal(start, start + one.text.trimEnd().length)}
              >
                {one.text.trim()}
              </button>
              <span className="figure">{points}</span>
            </li>
          );
        })}
      </ol>
    </details>
  );
}
