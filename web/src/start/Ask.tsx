import { type KeyboardEvent, useState } from "react";
import { api, type NewProject, type Person, type Project } from "../api";
import { type Key, language, length, type Language, useT } from "../i18n";
import { composing } from "../keys";
import { Icon } from "../shell/Icon";
import { useLayout } from "../shell/layout";
import { attempt } from "../shell/resource";
import { go, to } from "../shell/route";
import { useProject } from "../state";

const FORMS = ["story", "chapter", "screenplay", "dialogue", "lesson", "fable"] as const;
const AGES = { any: 0, 6: 6, 9: 9, 12: 12, 15: 15, adult: 18 } as const;
const LENGTHS: Record<Language, number[]> = { en: [150, 300, 600, 1200, 2000], zh: [200, 500, 1000, 2000, 4000] };
const HAN = /\p{Script=Han}/u;

interface Wish {
  idea: string;
  form: string;
  step: number;
  age: number;
  language: Language | null;
  theme: string;
  plot: string;
  characters: Person[];
}

const empty: Wish = {
  idea: "",
  form: "story",
  step: 1,
  age: 0,
  language: null,
  theme: "",
  plot: "",
  characters: [{ name: "", who: "" }],
};

/** The box that asks what the story is about, with all that may be said beside it. */
export function Ask({ idea }: { idea: string }) {
  const t = useT();
  const [wish, setWish] = useState({ ...empty, idea });
  const [busy, setBusy] = useState(false);
  const change = (values: Partial<Wish>) => setWish((now) => ({ ...now, ...values }));
  // Who writes Han characters wants a Chinese story, whatever the language of the buttons.
  const tongue: Language = wish.language ?? (wish.idea.trim() ? (HAN.test(wish.idea) ? "zh" : "en") : language());
  const ready = !busy && wish.idea.trim() !== "";

  const make = async (then: "begin" | "plan" | "blank") => {
    setBusy(true);
    const project = await attempt(create(wish, tongue));
    setBusy(false);
    if (!project) return;
    useProject.getState().take(project);
    useLayout.getState().arrive(project.id, then);
    go(to.project(project.id));
  };
  const enter = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key !== "Enter" || event.shiftKey || composing(event.nativeEvent)) return;
    event.preventDefault();
    if (ready) void make("begin");
  };

  return (
    <form
      className="ask"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) void make("begin");
      }}
    >
      <h1>
        <label htmlFor="idea">{t("start.question")}</label>
      </h1>
      <div className="ask-box">
        <textarea
          id="idea"
          autoFocus
          onFocus={(event) => event.target.setSelectionRange(wish.idea.length, wish.idea.length)}
          lang={tongue}
          value={wish.idea}
          placeholder={t("start.placeholder")}
          onChange={(event) => change({ idea: event.target.value })}
          onKeyDown={enter}
        />
        <div className="ask-foot">
          <Choose label="start.form" value={wish.form} onChange={(form) => change({ form })}>
            {FORMS.map((form) => [form, t(`form.${form}`)])}
          </Choose>
          <Choose label="start.length" value={String(wish.step)} onChange={(step) => change({ step: Number(step) })}>
            {LENGTHS[tongue].map((n, step) => [String(step), length(n, tongue)])}
          </Choose>
          <Choose label="start.age" value={String(wish.age)} onChange={(age) => change({ age: Number(age) })}>
            {(Object.keys(AGES) as (keyof typeof AGES)[]).map((age) => [String(AGES[age]), t(`age.${age}`)])}
          </Choose>
          <Choose label="start.language" value={tongue} onChange={(chosen) => change({ language: chosen as Language })}>
            {[
              ["en", t("language.en")],
              ["zh", t("language.zh")],
            ]}
          </Choose>
          <button type="submit" className="button lead" disabled={!ready}>
            {t("start.begin")}
          </button>
        </div>
      </div>
      <div className="ask-under">
        <button type="button" className="link" disabled={!ready} onClick={() => void make("plan")}>
          {t("start.plan")}
        </button>
        <button type="button" className="link" disabled={busy} onClick={() => void make("blank")}>
          {t("start.blank")}
        </button>
      </div>
      <details>
        <summary>{t("start.more")}</summary>
        <More wish={wish} change={change} />
      </details>
    </form>
  );
}

function Choose({ label, value, onChange, children }: {
  label: Key;
  value: string;
  onChange: (value: string) => void;
  children: string[][];
}) {
  const t = useT();
  return (
    <span className="choose">
      <select aria-label={t(label)} title={t(label)} value={value} onChange={(event) => onChange(event.target.value)}>
        {children.map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
    </span>
  );
}

function More({ wish, change }: { wish: Wish; change: (values: Partial<Wish>) => void }) {
  const t = useT();
  const person = (place: number, values: Partial<Person>) =>
    change({ characters: wish.characters.map((one, n) => (n === place ? { ...one, ...values } : one)) });
  return (
    <div className="ask-more">
      <label className="field">
        <span>{t("start.theme")}</span>
        <input
          className="input"
          value={wish.theme}
          placeholder={t("start.theme.hint")}
          onChange={(event) => change({ theme: event.target.value })}
        />
      </label>
      <label className="field">
        <span>{t("start.plot")}</span>
        <textarea
          className="area"
          value={wish.plot}
          placeholder={t("start.plot.hint")}
          onChange={(event) => change({ plot: event.target.value })}
        />
      </label>
      <fieldset className="stack tight">
        <legend className="label">{t("start.characters")}</legend>
        {wish.characters.map((one, place) => (
          <div className="person" key={place}>
            <input
              className="input"
              aria-label={t("start.characters.name")}
              placeholder={t("start.characters.name")}
              value={one.name}
              onChange={(event) => person(place, { name: event.target.value })}
            />
            <input
              className="input"
              aria-label={t("start.characters.who")}
              placeholder={t("start.characters.who")}
              value={one.who}
              onChange={(event) => person(place, { who: event.target.value })}
            />
            <button
              type="button"
              className="icon"
              aria-label={t("start.characters.remove", { name: one.name || String(place + 1) })}
              onClick={() => change({ characters: wish.characters.filter((_, n) => n !== place) })}
            >
              <Icon name="close" />
            </button>
          </div>
        ))}
        <button
          type="button"
          className="link"
          onClick={() => change({ characters: [...wish.characters, { name: "", who: "" }] })}
        >
          {t("start.characters.add")}
        </button>
      </fieldset>
    </div>
  );
}

/** The project, its people known by name, and a model that has learnt its language when there is one on this computer. */
async function create(wish: Wish, tongue: Language): Promise<Project> {
  const people = wish.characters.filter((one) => one.name.trim());
  const made: NewProject = { language: tongue, form: wish.form, words: LENGTHS[tongue][wish.step]! };
  if (wish.idea.trim()) made.idea = wish.idea.trim();
  if (wish.theme.trim()) made.theme = wish.theme.trim();
  if (wish.plot.trim()) made.plot = wish.plot.trim();
  if (people.length) made.characters = people;
  if (wish.age) made.age = wish.age;
  const project = await api.projects.create(made);
  const { model } = await api.status();
  if (model.languages.includes(tongue)) return project;
  const other = (await api.models.list()).find((one) => one.fetched && one.kind === "model" && one.languages.includes(tongue));
  return other ? api.projects.change(project.id, { settings: { ...project.settings, model: other.name } }) : project;
}
