import type { ReactNode } from "react";
import type { Id, Plan, Project } from "../api";
import { length, t as say, useT } from "../i18n";
import { Edit, Menu } from "../shell/ui";
import type { Change } from "./Plan";

type Section = Plan["outline"][number];
type Beat = Section["beats"][number];

const fresh = (): string => crypto.getRandomValues(new Uint32Array(1))[0]!.toString(36);

function moved<A>(list: A[], from: number, by: number): A[] {
  const next = [...list];
  const [one] = next.splice(from, 1);
  next.splice(from + by, 0, one!);
  return next;
}

/** Parts, and in each the beats that are told one after the other. */
export function Outline({ plan, project, change, suggest }: {
  plan: Plan;
  project: Project;
  change: Change;
  suggest: (section: Id) => ReactNode;
}) {
  const t = useT();
  const write = (outline: Section[]) => change({ outline });
  const part = (place: number, values: Partial<Section>) =>
    write(plan.outline.map((one, n) => (n === place ? { ...one, ...values } : one)));
  return (
    <>
      {plan.outline.length === 0 && <p className="quiet-text">{t("plan.outline.none")}</p>}
      <ol className="outline">
        {plan.outline.map((section, place) => (
          <li key={section.id} className="section">
            <div className="section-head">
              <Edit
                label={t("plan.part")}
                hint={t("plan.part")}
                hidden
                quiet
                value={section.title}
                onChange={(title) => part(place, { title })}
              />
              <Arrange
                label={t("tree.menu", { title: section.title })}
                remove={t("plan.part.remove", { title: section.title })}
                first={place === 0}
                last={place === plan.outline.length - 1}
                onMove={(by) => write(moved(plan.outline, place, by))}
                onRemove={() => write(plan.outline.filter((_, n) => n !== place))}
              />
            </div>
            <Beats section={section} project={project} onChange={(beats) => part(place, { beats })} />
            <div className="section-foot">
              <button
                type="button"
                className="link"
                onClick={() => part(place, { beats: [...section.beats, newBeat()] })}
              >
                {t("plan.beat.add")}
              </button>
              {suggest(section.id)}
            </div>
          </li>
        ))}
      </ol>
      <div>
        <button
          type="button"
          className="link"
          onClick={() => write([...plan.outline, { id: fresh(), title: "", beats: [newBeat()] }])}
        >
          {t("plan.part.add")}
        </button>
      </div>
    </>
  );
}

const newBeat = (): Beat => ({ id: fresh(), text: "", words: 200 });

function Beats({ section, project, onChange }: { section: Section; project: Project; onChange: (beats: Beat[]) => void }) {
  const t = useT();
  const beat = (place: number, values: Partial<Beat>) =>
    onChange(section.beats.map((one, n) => (n === place ? { ...one, ...values } : one)));
  return (
    <>
      <ol className="beats">
        {section.beats.map((one, place) => (
          <li key={one.id}>
            <Edit label={t("plan.beat")} hidden quiet lines value={one.text} hint={t("plan.beat")} onChange={(text) => beat(place, { text })} />
            <label className="beat-words">
              <input
                type="number"
                min={20}
                step={20}
                aria-label={t("plan.beat.words")}
                value={one.words}
                onChange={(event) => beat(place, { words: Math.max(1, Number(event.target.value) || 1) })}
              />
              <span className="unseen">{length(one.words, project.language)}</span>
            </label>
            <Arrange
              label={t("tree.menu", { title: one.text.slice(0, 30) || t("plan.beat") })}
              remove={t("plan.beat.remove")}
              first={place === 0}
              last={place === section.beats.length - 1}
              onMove={(by) => onChange(moved(section.beats, place, by))}
              onRemove={() => onChange(section.beats.filter((_, n) => n !== place))}
            />
          </li>
        ))}
      </ol>
    </>
  );
}

function Arrange({ label, remove, first, last, onMove, onRemove }: {
  label: string;
  remove: string;
  first: boolean;
  last: boolean;
  onMove: (by: number) => void;
  onRemove: () => void;
}) {
  const item = (name: string, run: () => void, close: () => void) => (
    <li>
      <button
        type="button"
        onClick={() => {
          close();
          run();
        }}
      >
        {name}
      </button>
    </li>
  );
  return (
    <Menu label={label} icon="more">
      {(close) => (
        <ul>
          {!first && item(say("do.up"), () => onMove(-1), close)}
          {!last && item(say("do.down"), () => onMove(1), close)}
          {item(remove, onRemove, close)}
        </ul>
      )}
    </Menu>
  );
}
