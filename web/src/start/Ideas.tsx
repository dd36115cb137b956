import { useState } from "react";
import { language, useT } from "../i18n";
import { ideas } from "./ideas";

const SHOWN = 4;

/** A few beginnings; others on asking. */
export function Ideas({ onChoose }: { onChoose: (idea: string) => void }) {
  const t = useT();
  const [from, setFrom] = useState(0);
  const all = ideas[language()];
  return (
    <section aria-labelledby="ideas">
      <div className="row spread">
        <h2 id="ideas">{t("start.ideas")}</h2>
        <button type="button" className="link quiet-text" onClick={() => setFrom((from + SHOWN) % all.length)}>
          {t("start.ideas.more")}
        </button>
      </div>
      <ul className="ideas">
        {all.slice(from, from + SHOWN).map((idea) => (
          <li key={idea}>
            <button type="button" onClick={() => onChoose(idea)}>
              {idea}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
