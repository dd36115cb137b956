import type { ReactNode } from "react";
import { type Key, useT } from "../i18n";
import { type KeyAction, keyOf, spoken } from "../keys";
import { Icon } from "../shell/Icon";
import { busy, useGeneration, useScene } from "../state";
import type { Desk } from "./desk";
import { useView } from "./view";

/** What the keys do, for the mouse and the thumb. It never takes the cursor out of the text. */
export function Toolbar({ desk }: { desk: Desk }) {
  const t = useT();
  const running = useGeneration(busy);
  const tokenMode = useView((state) => state.tokenMode);
  const selected = useScene((state) => state.selection.start !== state.selection.end);
  const written = useScene((state) => state.passage !== null);
  const { commands } = desk;
  return (
    <div className="tools" role="toolbar" aria-label={t("editor.tools")}>
      {running ? (
        <Tool name="editor.stop" action="stop" lead run={commands.stop}>
          <Icon name="stop" />
          <span>{t("editor.stop")}</span>
        </Tool>
      ) : (
        <Tool name="editor.generate" action="generate" lead run={() => commands.generate()}>
          <Icon name="write" />
          <span>{t("editor.generate")}</span>
        </Tool>
      )}
      <Tool name="editor.candidates" action="candidates" run={() => commands.generate({ n: 3 })}>
        <span>{t("editor.candidates")}</span>
      </Tool>
      <Tool name="editor.retry" action="retry" disabled={!written} run={commands.retry}>
        <span>{t("editor.retry")}</span>
      </Tool>
      <Tool name="editor.previous" action="previous" disabled={!written} run={commands.previous}>
        <Icon name="back" />
      </Tool>
      <Tool name="editor.next" action="next" disabled={!written} run={commands.next}>
        <Icon name="right" />
      </Tool>
      <Tool name="editor.rewrite" action="rewrite" disabled={!selected} run={commands.rewrite}>
        <span>{t("editor.rewrite")}</span>
      </Tool>
      <Tool name="editor.tokens" action="tokens" pressed={tokenMode} run={commands.toggleTokens}>
        <span>{t("editor.tokens")}</span>
      </Tool>
      <span className="tools-gap" />
      <Tool name="editor.undo" action="undo" run={commands.undo}>
        <Turn d="M7.5 4.5L4 8l3.5 3.5M4 8h8a4 4 0 010 8H8" />
      </Tool>
      <Tool name="editor.redo" action="redo" run={commands.redo}>
        <Turn d="M12.5 4.5L16 8l-3.5 3.5M16 8H8a4 4 0 000 8h4" />
      </Tool>
    </div>
  );
}

interface ToolProps {
  name: Key;
  action: KeyAction;
  run: () => void;
  lead?: boolean;
  disabled?: boolean;
  pressed?: boolean;
  children: ReactNode;
}

function Tool({ name, action, run, lead, disabled, pressed, children }: ToolProps) {
  const t = useT();
  const key = keyOf(action);
  return (
    <button
      type="button"
      className={lead ? "tool lead" : "tool"}
      aria-label={t(name)}
      aria-pressed={pressed}
      aria-keyshortcuts={key.replaceAll("Mod", "Control") || undefined}
      title={key ? `${t(name)} (${spoken(key)})` : t(name)}
      disabled={disabled}
      onPointerDown={(event) => event.preventDefault()} // the text keeps its cursor and its selection
      onMouseDown={(event) => event.preventDefault()}
      onClick={run}
    >
      {children}
    </button>
  );
}

function Turn({ d }: { d: string }) {
  return (
    <svg width="20" height="20" viewBox="0 0 20 20" fill="none" aria-hidden="true" focusable="false">
      <path d={d} stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
