import { useState } from "react";
import { api, type Id, type ModelContext, type Project } from "../api";
import { manuscript } from "../editor";
import { named, number, useT } from "../i18n";
import { attempt } from "../shell/resource";
import { useGeneration, useScene } from "../state";

/** Exactly what the model was given to read, part by part, what each costs, and why it is there. */
export function Saw({ project, scene }: { project: Project; scene: Id | null }) {
  const t = useT();
  const last = useGeneration((state) => state.context);
  const [asked, setAsked] = useState<{ context: ModelContext; after: ModelContext | null }>();
  // What was looked at by hand counts until the model is asked again.
  const shown = asked && asked.after === last ? asked.context : last;
  const look = async () => {
    if (scene === null) return;
    await manuscript().flush();
    const { head, selection } = useScene.getState();
    if (head === null) return;
    const context = await api.scenes.context(scene, { base: head, mode: "continue", at: selection.end });
    setAsked({ context, after: useGeneration.getState().context });
  };
  return (
    <section className="stack tight">
      <div className="row spread">
        <h3>{t("model.saw")}</h3>
        <button type="button" className="link" onClick={() => void attempt(look())}>
          {t("model.saw.now")}
        </button>
      </div>
      {!shown && <p className="quiet-text">{t("model.saw.none")}</p>}
      {shown && (
        <>
          <p className="quiet-text figure">
            {t("model.saw.total", { used: number(shown.tokens), limit: number(shown.limit) })}
          </p>
          <progress value={shown.tokens} max={shown.limit} aria-label={t("model.saw")} />
          <ul className="parts">
            {shown.parts.map((part, place) => (
              <li key={place}>
                <details>
                  <summary>
                    <span>{named("part", part.name)}</span>
                    <span className="figure quiet-text">{number(part.tokens)}</span>
                  </summary>
                  {part.why && <p className="quiet-text">{part.why}</p>}
                  <p className="part-text" lang={project.language}>
                    {part.text}
                  </p>
                </details>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
