import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import type { Action } from "../api";
import { type Key, useT } from "../i18n";
import { composing } from "../keys";
import type { Desk } from "./desk";
import { useView } from "./view";

const PLAIN: Action[] = ["rewrite", "expand", "shorten", "describe"];
const CHOICES: [Action, string, string[]][] = [
  ["tone", "editor.tone", ["warmer", "darker", "funnier", "plainer", "tenser", "lyrical"]],
  ["viewpoint", "editor.viewpoint", ["first", "third", "second"]],
  ["translate", "editor.language", ["en", "zh"]],
];

/** Over a selection: what shall become of it. The text can be edited on beside it. */
export function RewriteBar({ desk }: { desk: Desk }) {
  const rewriting = useView((state) => state.rewriting);
  if (rewriting === "nothing" || rewriting === null) return null;
  return <Bar key={`${rewriting.left} ${rewriting.top}`} desk={desk} {...rewriting} />;
}

function Bar({ desk, left, top }: { desk: Desk; left: number; top: number }) {
  const t = useT();
  const box = useRef<HTMLFormElement>(null);
  const [words, setWords] = useState("");
  useEffect(() => {
    const bar = box.current!;
    const room = bar.parentElement!.clientWidth - bar.offsetWidth;
    bar.style.insetInlineStart = `${Math.max(0, Math.min(left - bar.offsetWidth / 2, room))}px`;
    bar.style.top = `${top + 6}px`;
    bar.querySelector("button")?.focus({ preventScroll: true });
    bar.scrollIntoView({ block: "nearest" });
  }, [left, top]);

  const go = (action: Action, value?: string) => {
    const instruction = words.trim();
    desk.rewrite({ action, ...(value && { value }), ...(instruction && { instruction }) });
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || composing(event.nativeEvent)) return;
    event.preventDefault();
    event.stopPropagation();
    desk.closeRewriting();
  };
  return (
    <form
      ref={box}
      className="rewrite-bar"
      aria-label={t("editor.rewrite")}
      onKeyDown={keys}
      onSubmit={(event) => {
        event.preventDefault();
        go("rewrite");
      }}
    >
      <div className="rewrite-row">
        {PLAIN.map((action) => (
          <button key={action} type="button" className="button small" onClick={() => go(action)}>
            {t(`editor.rewrite.${action}` as Key)}
          </button>
        ))}
        {CHOICES.map(([action, prefix, values]) => (
          <select
            key={action}
            className="select small"
            aria-label={t(`editor.rewrite.${action}` as Key)}
            value=""
            onChange={(event) => go(action, event.target.value)}
          >
            <option value="" disabled>
              {t(`editor.rewrite.${action}` as Key)}
            </option>
            {values.map((value) => (
              <option key={value} value={action === "translate" ? value : t(`${prefix}.${value}` as Key)}>
                {t(`${prefix}.${value}` as Key)}
              </option>
            ))}
          </select>
        ))}
      </div>
      <div className="rewrite-row">
        <input
          className="input"
          aria-label={t("editor.rewrite.instruction")}
          placeholder={t("editor.rewrite.instruction")}
          value={words}
          onChange={(event) => setWords(event.target.value)}
          onKeyDown={(event) => event.key === "Enter" && composing(event.nativeEvent) && event.preventDefault()}
        />
        <button type="submit" className="button small lead" disabled={!words.trim()}>
          {t("editor.rewrite.do")}
        </button>
      </div>
    </form>
  );
}
