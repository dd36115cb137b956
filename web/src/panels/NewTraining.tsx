import { useState } from "react";
import { api, type ModelEntry } from "../api";
import { useT } from "../i18n";
import { attempt, useResource } from "../shell/resource";
import { go, to } from "../shell/route";
import { Drop } from "../shell/ui";

const MINUTES = [3, 10, 30, 60, 180];

/** Stories in, a training out: files, a folder or pasted text, a name, and how long it may take. */
export function NewTraining() {
  const t = useT();
  const models = useResource(() => api.models.list(), "models");
  const bases = (models.value ?? []).filter((one) => one.fetched && (one.kind === "model" || one.kind === "adapter" || one.kind === "run"));
  const [files, setFiles] = useState<File[]>([]);
  const [text, setText] = useState("");
  const [name, setName] = useState("");
  const [minutes, setMinutes] = useState(10);
  const [base, setBase] = useState("");
  const [busy, setBusy] = useState(false);
  const ready = !busy && (files.length > 0 || text.trim() !== "");

  const begin = async () => {
    const body = new FormData();
    body.append("kind", "train");
    body.append("minutes", String(minutes));
    if (name.trim()) body.append("name", name.trim());
    if (text.trim()) body.append("text", text);
    if (base) body.append("base", base);
    for (const file of files) body.append("files", file, file.webkitRelativePath || file.name);
    setBusy(true);
    const job = await attempt(api.jobs.train(body));
    setBusy(false);
    if (job) go(to.job(job.id));
  };
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) void begin();
      }}
    >
      <Drop
        choose={t("train.choose.files")}
        folder={t("train.choose.folder")}
        onFiles={(more) => setFiles((now) => [...now, ...more.filter((file) => !file.name.startsWith("."))])}
      >
        <p>{files.length ? t("count.files", { n: files.length }) : t("train.drop")}</p>
        {files.length > 0 && (
          <button type="button" className="link" onClick={() => setFiles([])}>
            {t("do.remove")}
          </button>
        )}
      </Drop>
      <label className="field">
        <span>{t("train.paste")}</span>
        <textarea
          className="area serif"
          rows={5}
          placeholder={t("train.paste.hint")}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </label>
      <div className="pair">
        <label className="field">
          <span>{t("train.name")}</span>
          <input className="input" value={name} onChange={(event) => setName(event.target.value)} />
        </label>
        <label className="field">
          <span>{t("train.minutes")}</span>
          <select className="select" value={minutes} onChange={(event) => setMinutes(Number(event.target.value))}>
            {MINUTES.map((n) => (
              <option key={n} value={n}>
                {n}
              </option>
            ))}
          </select>
        </label>
        <Base bases={bases} value={base} onChange={setBase} />
      </div>
      <div className="row">
        <button type="submit" className="button lead" disabled={!ready}>
          {t("train.begin")}
        </button>
        {!ready && !busy && <span className="quiet-text">{t("train.needs")}</span>}
      </div>
    </form>
  );
}

function Base({ bases, value, onChange }: { bases: ModelEntry[]; value: string; onChange: (name: string) => void }) {
  const t = useT();
  return (
    <label className="field">
      <span>{t("train.base")}</span>
      <select className="select" value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">{t("train.recipe.none")}</option>
        {bases.map((one) => (
          <option key={one.name} value={one.name}>
            {one.title}
          </option>
        ))}
      </select>
    </label>
  );
}
