import { useEffect, useState } from "react";
import { api, type Id, type ModelEntry, type Preset, type Project, type ProjectSettings, type Sampling } from "../api";
import { bytes, language, number, useT } from "../i18n";
import { attempt, type Resource, useResource, useSaving } from "../shell/resource";
import { Fold } from "../shell/ui";
import { useProject, useSettings } from "../state";
import { Connect } from "./Connect";
import { Fetch } from "./Fetch";
import { Measure } from "./Quality";
import { Saw } from "./Saw";

const KINDS = ["model", "adapter", "ensemble", "run", "remote"] as const;

/** Who writes, in which temper, and what it is given to read. */
export function Model({ project, scene }: { project: Project; scene: Id | null }) {
  const models = useResource(() => api.models.list(), "models");
  const usual = useSettings((state) => state.values.model) ?? "default";
  const name = project.settings.model ?? usual;
  const chosen = models.value?.find((model) => model.name === name);
  const save = useSettingsOf(project);
  const choose = (model: string) => {
    save({ model, members: {} });
    void attempt(useSettings.getState().change({ model }));
  };
  const weigh = (members: Record<string, number>) => {
    // The weights are this model's and kept with its name; those that come when another one is chosen are not for that.
    if ((useProject.getState().project?.settings.model ?? usual) === name) save({ model: name, members });
  };
  return (
    <div className="stack wide">
      <section className="stack">
        <Choice models={models} name={name} onChoose={choose} />
        {chosen && <About model={chosen} project={project} models={models} />}
        {chosen?.members && (
          <Members
            key={chosen.name}
            own={chosen.members}
            now={project.settings.members ?? {}}
            contrasts={chosen.rule === "contrastive"}
            onChange={weigh}
          />
        )}
      </section>
      <Temper project={project} save={save} />
      <Saw project={project} scene={scene} />
      <Connect models={models} onChoose={choose} />
    </div>
  );
}

type Save = (values: Partial<ProjectSettings>) => void;

/** The project's own choice of model and temper; the page shows it at once. */
function useSettingsOf(project: Project): Save {
  return (values) => {
    const settings = { ...useProject.getState().project!.settings, ...values };
    void attempt(useProject.getState().change({ settings }));
    void project;
  };
}

function Choice({ models, name, onChoose }: { models: Resource<ModelEntry[]>; name: string; onChoose: (name: string) => void }) {
  const t = useT();
  const list = models.value ?? [];
  return (
    <label className="field">
      <h3>{t("model.using")}</h3>
      <select className="select" value={name} onChange={(event) => onChoose(event.target.value)}>
        {!list.some((model) => model.name === name) && <option value={name}>{name}</option>}
        {KINDS.map((kind) => {
          const some = list.filter((model) => model.kind === kind);
          return (
            some.length > 0 && (
              <optgroup key={kind} label={t(`model.kind.${kind}`)}>
                {some.map((model) => (
                  <option key={model.name} value={model.name}>
                    {model.title}
                  </option>
                ))}
              </optgroup>
            )
          );
        })}
      </select>
    </label>
  );
}

/** The honest label: how large, what it can read, what was measured of it. */
function About({ model, project, models }: { model: ModelEntry; project: Project; models: Resource<ModelEntry[]> }) {
  const t = useT();
  const small = model.parameters !== null && model.parameters < 1e9;
  const strange = model.languages.length > 0 && !model.languages.some((one) => project.language.startsWith(one));
  const facts = [
    model.parameters !== null &&
      model.bytes !== null &&
      t("model.size", { parameters: number(Math.round(model.parameters / 1e6)), bytes: bytes(model.bytes) }),
    model.languages.length > 0 && `${t("model.reads")}: ${model.languages.map((one) => spelled(one)).join(", ")}`,
    model.licence && `${t("model.licence")}: ${model.licence}`,
  ].filter(Boolean);
  return (
    <div className="stack tight about">
      {strange && <p className="chip warn">{t("model.wrong.language")}</p>}
      <ul className="quiet-text">
        {facts.map((fact) => (
          <li key={String(fact)}>{fact}</li>
        ))}
      </ul>
      {model.note && <p className="quiet-text">{model.note}</p>}
      {small && <p className="quiet-text">{t("model.small")}</p>}
      {model.kind !== "remote" && !model.fetched && <Fetch model={model} onDone={models.reload} />}
      {model.figures.length > 0 && (
        <Fold title={t("model.figures")}>
          <dl className="measures">
            {model.figures.map((figure) => (
              <Measure key={figure.name} measure={figure} />
            ))}
          </dl>
        </Fold>
      )}
    </div>
  );
}

function spelled(code: string): string {
  return new Intl.DisplayNames([language() === "zh" ? "zh-CN" : "en"], { type: "language" }).of(code) ?? code;
}

/** The project's weights where they are for these members, of whom those that it does not name have none; else the file's. */
function weightsOf(own: Record<string, number>, now: Record<string, number>): Record<string, number> {
  const names = Object.keys(now);
  if (names.length === 0 || names.some((name) => !(name in own))) return own;
  return Object.fromEntries(Object.keys(own).map((name) => [name, now[name] ?? 0]));
}

const sum = (weights: Record<string, number>): number => Object.values(weights).reduce((total, weight) => total + weight, 0);

/** How much each member counts. Where they contrast, the first is the expert: what the others take away, it gets. */
function Members({ own, now, contrasts, onChange }: {
  own: Record<string, number>;
  now: Record<string, number>;
  contrasts: boolean;
  onChange: (members: Record<string, number>) => void;
}) {
  const t = useT();
  const step = 0.05;
  const [weights, setWeights] = useState(() => weightsOf(own, now));
  const saving = useSaving(async (next: Record<string, number>) => onChange(next), 200);
  const total = sum(weights) || 1;
  const expert = contrasts ? Object.keys(own)[0] : undefined;
  const bounds = (name: string, weight: number): [least: number, most: number] => {
    if (!contrasts) return [weight === total ? step : 0, 1]; // the last one cannot be silenced
    return name === expert ? [0, Object.keys(own).length] : [-1, Math.max(0, own[name] ?? 0)];
  };
  const change = (name: string, value: number) => {
    const next = { ...weights, [name]: value };
    if (expert !== undefined) next[expert] = 1 - sum({ ...next, [expert]: 0 });
    setWeights(next);
    saving.later(next);
  };
  return (
    <fieldset className="stack tight">
      <legend>
        <h3>{t("model.members")}</h3>
      </legend>
      <p className="quiet-text">
        {t("model.members.hint")} {contrasts && t("model.members.contrast")}
      </p>
      {Object.entries(weights).map(([name, weight]) => (
        <Slider
          key={name}
          label={name}
          value={weight}
          bounds={bounds(name, weight)}
          step={step}
          fixed={name === expert}
          shown={number(weight / total, { style: "percent" })}
          onChange={(value) => change(name, value)}
        />
      ))}
    </fieldset>
  );
}

function Slider({ label, value, bounds: [min, max], step, fixed = false, shown, onChange }: {
  label: string;
  value: number;
  bounds: [least: number, most: number];
  step: number;
  /** It only shows what follows from others. */
  fixed?: boolean;
  shown: string;
  onChange: (value: number) => void;
}) {
  return (
    <label className="slider">
      <span>{label}</span>
      <span className="figure quiet-text">{shown}</span>
      <input
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        disabled={fixed}
        aria-valuetext={shown}
        onChange={(event) => onChange(Number(event.target.value))}
      />
    </label>
  );
}

/** Least, most and step of each sampler. */
const SAMPLERS = {
  temperature: [0, 2, 0.05],
  min_p: [0, 0.5, 0.01],
  top_p: [0, 1, 0.01],
  top_k: [0, 200, 1],
  repetition_penalty: [1, 1.5, 0.01],
  dry_multiplier: [0, 2, 0.05],
  dry_base: [1, 4, 0.05],
  dry_allowed: [1, 16, 1],
  dry_range: [0, 8192, 64],
} as const;
type Sampler = keyof typeof SAMPLERS;
/** What a sampler stands at when neither the writer nor the preset sets it: where it does nothing, or as it comes. */
const STANDARD: Partial<Record<Sampler, number>> = { top_p: 1, top_k: 0, repetition_penalty: 1, dry_base: 1.75, dry_allowed: 2, dry_range: 2048 };

function Temper({ project, save }: { project: Project; save: Save }) {
  const t = useT();
  const { value: presets = [] } = useResource(() => api.models.presets(), "presets");
  const usual = useSettings((state) => state.values.preset);
  const id = project.settings.preset ?? usual ?? presets[Math.floor(presets.length / 2)]?.id;
  const place = Math.max(0, presets.findIndex((preset) => preset.id === id));
  const preset: Preset | undefined = presets[place];
  if (!preset) return null;
  return (
    <section className="stack tight">
      <h3>{t("model.preset")}</h3>
      <label className="temper">
        <input
          type="range"
          aria-label={t("model.preset")}
          min={0}
          max={presets.length - 1}
          step={1}
          value={place}
          aria-valuetext={preset.name[language()]}
          onChange={(event) => save({ preset: presets[Number(event.target.value)]!.id, sampling: {} })}
        />
        <span className="temper-names" aria-hidden="true">
          {presets.map((one) => (
            <span key={one.id} className={one.id === preset.id ? "on" : ""}>
              {one.name[language()]}
            </span>
          ))}
        </span>
      </label>
      <p className="quiet-text">{preset.about[language()]}</p>
      <Samplers preset={preset} own={project.settings.sampling ?? {}} onChange={(sampling) => save({ preset: preset.id, sampling })} />
    </section>
  );
}

function Samplers({ preset, own, onChange }: { preset: Preset; own: Sampling; onChange: (own: Sampling) => void }) {
  const t = useT();
  const [now, setNow] = useState(own);
  const saving = useSaving(async (next: Sampling) => onChange(next), 300);
  useEffect(() => setNow(own), [JSON.stringify(own)]); // eslint-disable-line -- by value, not by identity
  const change = (next: Sampling) => {
    setNow(next);
    saving.later(next);
  };
  return (
    <Fold title={t("model.samplers")}>
      {(Object.keys(SAMPLERS) as Sampler[]).map((name) => {
        const [min, max, step] = SAMPLERS[name];
        const value = Number(now[name] ?? preset.sampling[name] ?? STANDARD[name] ?? 0);
        return (
          <Slider
            key={name}
            label={t(`sampling.${name}`)}
            value={value}
            bounds={[min, max]}
            step={step}
            shown={number(value, { maximumFractionDigits: 2 })}
            onChange={(next) => change(set(now, name, next))}
          />
        );
      })}
      <div>
        <button type="button" className="link" onClick={() => change({})}>
          {t("model.samplers.reset")}
        </button>
      </div>
    </Fold>
  );
}

/** Off is said by leaving a sampler out. */
function set(now: Sampling, name: Sampler, value: number): Sampling {
  const { [name]: _, ...rest } = now;
  return value === 0 && (name === "top_k" || name === "top_p") ? rest : { ...rest, [name]: value };
}
