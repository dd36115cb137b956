import { useEffect, useRef } from "react";
import type { Token } from "../api";
import { number, useT } from "../i18n";
import type { Desk } from "./desk";
import { type TokenChoice, useView } from "./view";

/** The words that the model weighed against the one under the pointer, with their shares and who wanted them. */
export function TokenTable({ desk }: { desk: Desk }) {
  const token = useView((state) => state.token);
  return token && <Table key={`${token.generation} ${token.index}`} choice={token} desk={desk} />;
}

function Table({ choice, desk }: { choice: TokenChoice; desk: Desk }) {
  const t = useT();
  const box = useRef<HTMLElement>(null);
  const { token, left, top } = choice;
  const here = standing(token);
  // A token that was drawn and is none of the likeliest stands below them.
  const drawn = { text: token.text, p: Math.exp(token.logprob), members: token.members };
  const rows = here < 0 && token.alternatives.length > 0 ? [...token.alternatives, drawn] : token.alternatives;
  const members = rows.some((each) => each.members && Object.keys(each.members).length > 0);
  useEffect(() => {
    const table = box.current!;
    const room = table.parentElement!.clientWidth - table.offsetWidth;
    table.style.insetInlineStart = `${Math.max(0, Math.min(left, room))}px`;
    table.style.top = `${top + 6}px`;
  }, [left, top]);

  const shown = (text: string) =>
    text.trim() === "" ? (text.includes("\n") ? t("editor.newline") : t("editor.space")) : text.replaceAll("\n", "↵");
  return (
    <section className="token-table" ref={box} aria-label={t("editor.tokens.title")}>
      {token.alternatives.length === 0 ? (
        <p>{t("editor.tokens.none")}</p>
      ) : (
        <table>
          <caption className="unseen">{t("editor.tokens.title")}</caption>
          <thead>
            <tr>
              <th scope="col">{t("editor.tokens.word")}</th>
              <th scope="col" className="figure">
                {t("editor.tokens.share")}
              </th>
              {members && <th scope="col">{t("editor.tokens.members")}</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map((each, index) => (
              <tr key={index} className={index === here || each === drawn ? "here" : ""}>
                <td>
                  {index === here || each === drawn ? (
                    <span>
                      {shown(each.text)} <small>{t("editor.tokens.here")}</small>
                    </span>
                  ) : (
                    <button
                      type="button"
                      className="link"
                      aria-label={t("editor.tokens.go", { text: shown(each.text) })}
                      onMouseDown={(event) => event.preventDefault()}
                      onClick={() => desk.tokens.choose(index)}
                    >
                      {shown(each.text)}
                    </button>
                  )}
                </td>
                <td className="figure">
                  <span className="share" style={{ inlineSize: `${Math.max(2, each.p * 48)}px` }} />
                  {share(each.p)}
                </td>
                {members && <td>{wantedBy(each.members)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

/** Which of the alternatives is the one that stands there, or -1: known by its id, for what is shown of it may be trimmed. */
function standing(token: Token): number {
  const known = (token.id ?? -1) >= 0 && token.alternatives.some((each) => each.id !== undefined);
  return token.alternatives.findIndex((each) => (known ? each.id === token.id : each.text === token.text));
}

const share = (p: number): string => number(p, { style: "percent", maximumFractionDigits: p < 0.1 ? 1 : 0 });

/** The members that gave it the largest shares. */
function wantedBy(members: Record<string, number> = {}): string {
  return Object.entries(members)
    .sort(([, one], [, other]) => other - one)
    .slice(0, 3)
    .map(([name, p]) => `${name} ${share(p)}`)
    .join(", ");
}
