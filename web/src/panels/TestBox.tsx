import { useEffect, useState } from "react";
import { api, type Entry, type FiredEntry, type Project } from "../api";
import { useT } from "../i18n";
import { attempt } from "../shell/resource";

/** A sentence goes in; out come the entries that it fires, where, and why. */
export function TestBox({ project, entries }: { project: Project; entries: Entry[] }) {
  const t = useT();
  const [text, setText] = useState("");
  const [tested, setTested] = useState<{ text: string; fired: FiredEntry[] } | null>(null);
  useEffect(() => {
    if (!text.trim()) return setTested(null);
    const timer = setTimeout(() => {
      void attempt(api.entries.test(project.id, text)).then((fired) => fired && setTested({ text, fired }));
    }, 250);
    return () => clearTimeout(timer);
  }, [text, project.id, entries]);
  const name = (id: FiredEntry["entry"]) => entries.find((entry) => entry.id === id)?.name ?? "";
  return (
    <section className="stack tight">
      <label className="field">
        <h3>{t("lore.test")}</h3>
        <textarea
          className="area"
          rows={2}
          lang={project.language}
          placeholder={t("lore.test.hint")}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </label>
      <div aria-live="polite" className="stack tight">
        {tested?.fired.length === 0 && <p className="quiet-text">{t("lore.test.none")}</p>}
        {tested && tested.fired.length > 0 && (
          <>
            <p className="fired-text serif" lang={project.language}>
              {marked(tested.text, tested.fired)}
            </p>
            <ul className="fired">
              {tested.fired.map((one, place) => (
                <li key={place}>
                  {one.start < one.end ? t("lore.fires", { entry: name(one.entry), key: one.key }) : name(one.entry)}
                  {one.why && <span className="quiet-text"> {one.why}</span>}
                </li>
              ))}
            </ul>
          </>
        )}
      </div>
    </section>
  );
}

/** The text with each stretch that fired marked once, left to right. */
function marked(text: string, fired: FiredEntry[]) {
  const pieces = [];
  let from = 0;
  for (const { start, end } of [...fired].sort((a, b) => a.start - b.start)) {
    if (start < from || end <= start) continue;
    pieces.push(text.slice(from, start), <mark key={start}>{text.slice(start, end)}</mark>);
    from = end;
  }
  return [...pieces, text.slice(from)];
}
