import { type FormEvent, useState } from "react";
import { api, type Entry, type Project } from "../api";
import { manuscript } from "../editor";
import { useT } from "../i18n";
import { Icon } from "../shell/Icon";
import { notify } from "../shell/notices";
import { attempt, type Resource, useResource, useSaving } from "../shell/resource";
import { Edit } from "../shell/ui";
import { useProject } from "../state";
import { TestBox } from "./TestBox";

const KINDS = ["person", "place", "thing", "other"] as const;
const commas = (text: string) =>
  text
    .split(/[,，、;；]/)
    .map((one) => one.trim())
    .filter(Boolean);

/** What the model is told beside the text: memory, note, and entries that fire by name. */
export function People({ project }: { project: Project }) {
  const t = useT();
  const entries = useResource(() => api.entries.list(project.id), project.id);
  const known = (entries.value ?? []).filter((entry) => !entry.proposed);
  const proposed = (entries.value ?? []).filter((entry) => entry.proposed);
  return (
    <div className="stack wide">
      <section className="stack tight">
        <h3>{t("lore.entries")}</h3>
        {entries.value && known.length === 0 && <p className="quiet-text">{t("lore.none")}</p>}
        <ul className="entries">
          {known.map((entry) => (
            <One key={entry.id} entry={entry} language={project.language} entries={entries} />
          ))}
        </ul>
        <Add project={project} entries={entries} />
      </section>
      <Proposals project={project} proposed={proposed} entries={entries} />
      <TestBox project={project} entries={entries.value ?? []} />
      <Memory project={project} />
    </div>
  );
}

function One({ entry, language, entries }: { entry: Entry; language: string; entries: Resource<Entry[]> }) {
  const t = useT();
  const [open, setOpen] = useState(entry.name === "");
  return (
    <li className={entry.enabled ? "" : "off"}>
      <button type="button" className="entry-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span className="entry-name" lang={language}>
          {entry.name || t("tree.untitled")}
        </span>
        <span className="quiet-text">{t(`lore.kind.${entry.kind}`)}</span>
        {!open && entry.text && (
          <span className="entry-text" lang={language}>
            {entry.text}
          </span>
        )}
      </button>
      {open && <Form entry={entry} language={language} entries={entries} />}
    </li>
  );
}

function Form({ entry, language, entries }: { entry: Entry; language: string; entries: Resource<Entry[]> }) {
  const t = useT();
  const [now, setNow] = useState(entry);
  const saving = useSaving(async ({ id, ...values }: Entry) => {
    const kept = await api.entries.change(id, values);
    entries.set((list) => list.map((one) => (one.id === kept.id ? kept : one)));
  });
  const change = (values: Partial<Entry>) => {
    const next = { ...now, ...values };
    setNow(next);
    saving.later(next);
  };
  const remove = async () => {
    const gone = await attempt(api.entries.remove(entry.id).then(() => true));
    if (!gone) return;
    await entries.reload();
    const back = async () => {
      await attempt(api.entries.restore(entry.id));
      await entries.reload();
    };
    notify(t("lore.deleted", { name: now.name }), { action: { name: t("do.undo"), run: () => void back() } });
  };
  return (
    <div className="stack tight entry-form" lang={language}>
      <div className="pair">
        <Edit label={t("lore.name")} value={now.name} onChange={(name) => change({ name })} />
        <label className="field">
          <span>{t("lore.kind")}</span>
          <select
            className="select"
            value={now.kind}
            onChange={(event) => change({ kind: event.target.value as Entry["kind"] })}
          >
            {KINDS.map((kind) => (
              <option key={kind} value={kind}>
                {t(`lore.kind.${kind}`)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Edit label={t("lore.text")} lines value={now.text} onChange={(text) => change({ text })} />
      <Edit
        label={t("lore.aliases")}
        hint={t("lore.aliases.hint")}
        value={now.aliases.join(", ")}
        onChange={(text) => change({ aliases: commas(text) })}
      />
      <Edit
        label={t("lore.not")}
        hint={t("lore.not.hint")}
        value={now.not.join(", ")}
        onChange={(text) => change({ not: commas(text) })}
      />
      <div className="row spread">
        <label className="check">
          <input type="checkbox" checked={now.enabled} onChange={(event) => change({ enabled: event.target.checked })} />
          <span>{t("lore.enabled")}</span>
        </label>
        <label className="check">
          <input type="checkbox" checked={now.always} onChange={(event) => change({ always: event.target.checked })} />
          <span>{t("lore.always")}</span>
        </label>
        <label className="check">
          <span>{t("lore.priority")}</span>
          <input
            className="input number"
            type="number"
            value={now.priority}
            onChange={(event) => change({ priority: Number(event.target.value) || 0 })}
          />
        </label>
      </div>
      <div>
        <button type="button" className="link warn" onClick={() => void remove()}>
          {t("lore.delete")}
        </button>
      </div>
    </div>
  );
}

function Add({ project, entries }: { project: Project; entries: Resource<Entry[]> }) {
  const t = useT();
  const [name, setName] = useState("");
  const add = async (event: FormEvent) => {
    event.preventDefault();
    if (!name.trim()) return;
    const made = await attempt(api.entries.create(project.id, { kind: "person", name: name.trim() }));
    if (!made) return;
    setName("");
    entries.set((list) => [...list, made]);
  };
  return (
    <form className="row add" onSubmit={(event) => void add(event)}>
      <input
        className="input grow"
        aria-label={t("lore.add")}
        placeholder={t("lore.add")}
        lang={project.language}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <button type="submit" className="button" disabled={!name.trim()}>
        {t("do.add")}
      </button>
    </form>
  );
}

/** What was found in the text: nothing of it is told to a model before the writer keeps it. */
function Proposals({ project, proposed, entries }: { project: Project; proposed: Entry[]; entries: Resource<Entry[]> }) {
  const t = useT();
  const [busy, setBusy] = useState(false);
  const find = async () => {
    setBusy(true);
    await attempt(manuscript().flush());
    const found = await attempt(api.entries.propose(project.id));
    setBusy(false);
    if (found?.length === 0) notify(t("lore.found.none"));
    await entries.reload();
  };
  const keep = async (entry: Entry) => {
    await attempt(api.entries.change(entry.id, { proposed: false }));
    await entries.reload();
  };
  const dismiss = async (entry: Entry) => {
    await attempt(api.entries.remove(entry.id));
    await entries.reload();
  };
  return (
    <section className="stack tight">
      <h3>{t("lore.proposed")}</h3>
      <ul className="proposals">
        {proposed.map((entry) => (
          <li key={entry.id}>
            <span lang={project.language}>{entry.name}</span>
            <span className="quiet-text">{t(`lore.kind.${entry.kind}`)}</span>
            <button
              type="button"
              className="icon"
              aria-label={t("lore.accept", { name: entry.name })}
              title={t("lore.accept", { name: entry.name })}
              onClick={() => void keep(entry)}
            >
              <Icon name="check" />
            </button>
            <button
              type="button"
              className="icon"
              aria-label={t("lore.dismiss", { name: entry.name })}
              title={t("lore.dismiss", { name: entry.name })}
              onClick={() => void dismiss(entry)}
            >
              <Icon name="close" />
            </button>
          </li>
        ))}
      </ul>
      <div>
        <button type="button" className="button small" disabled={busy} onClick={() => void find()}>
          {busy ? <span className="working">{t("lore.finding")}</span> : t("lore.find")}
        </button>
      </div>
    </section>
  );
}

function Memory({ project }: { project: Project }) {
  const t = useT();
  const change = useProject((state) => state.change);
  const memory = useSaving((text: string) => change({ memory: text }));
  const note = useSaving((text: string) => change({ note: text }));
  const depth = useSaving((n: number) => change({ note_depth: n }));
  return (
    <section className="stack" lang={project.language}>
      <Edit label={t("lore.memory")} hint={t("lore.memory.hint")} lines value={project.memory} onChange={memory.later} />
      <Edit label={t("lore.note")} hint={t("lore.note.hint")} lines value={project.note} onChange={note.later} />
      <label className="row spread">
        <span className="label">{t("lore.depth")}</span>
        <input
          className="input number"
          type="number"
          min={0}
          max={20}
          defaultValue={project.note_depth}
          onChange={(event) => depth.later(Number(event.target.value) || 0)}
        />
      </label>
    </section>
  );
}
