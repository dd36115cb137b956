import { useEffect, useRef, useState } from "react";
import { api, ApiError, type Id } from "../api";
import { useT } from "../i18n";
import { bindKeys, keyOf, spoken } from "../keys";
import { closedScene, useScene, useSettings } from "../state";
import { opened } from "./commands";
import { Deck } from "./Deck";
import { Desk } from "./desk";
import "./editor.css";
import { Findings } from "./Findings";
import { Notices } from "./Notices";
import { RewriteBar } from "./RewriteBar";
import { Said } from "./Said";
import { TokenTable } from "./TokenTable";
import { Toolbar } from "./Toolbar";
import { useView } from "./view";

/** The manuscript of one scene. It fills its parent and scrolls in it. */
export function Manuscript({ scene }: { scene: Id }) {
  const t = useT();
  const host = useRef<HTMLDivElement>(null);
  const desk = useDesk(scene, host);
  // One by one: the whole state changes with every key, and so would everything below be drawn anew.
  const loading = useScene((state) => state.loading);
  const error = useScene((state) => state.error);
  const title = useScene((state) => state.scene?.title);
  const empty = useScene((state) => state.words === 0);
  const colours = useSettings((state) => state.values.provenance_colours !== false);
  const tokenMode = useView((state) => state.tokenMode);
  const keys = useSettings((state) => state.values.keys);
  useEffect(() => bindKeys(keys), [keys]);

  const classes = ["manuscript", colours && "coloured", tokenMode && "tokens-shown"].filter(Boolean).join(" ");
  return (
    <div className={classes} data-manuscript>
      <div className="manuscript-scroll" data-scroller>
        {desk && <Notices desk={desk} />}
        <div className="manuscript-page" onMouseDown={(event) => below(event, desk)}>
          {title && <p className="manuscript-title">{title}</p>}
          <div className="manuscript-sheet">
            <div ref={host} />
            {desk && empty && <Begin desk={desk} hint={t("editor.empty", { key: spoken(keyOf("generate")) })} />}
            {desk && <RewriteBar desk={desk} />}
            {desk && <TokenTable desk={desk} />}
          </div>
          {desk && <Findings />}
          {loading && <p className="manuscript-note">{t("editor.loading")}</p>}
          {error && (
            <p className="manuscript-note" role="alert">
              {t("editor.unreadable")} {error.message} {error.next}
            </p>
          )}
        </div>
      </div>
      {desk && <Deck desk={desk} />}
      {desk && <Toolbar desk={desk} />}
      {desk && <Said />}
    </div>
  );
}

/** A click under the last line goes to its end, as on paper. */
function below(event: React.MouseEvent, desk: Desk | null): void {
  if (!desk || event.target !== event.currentTarget) return;
  if (event.clientY < desk.sheet.view.dom.getBoundingClientRect().bottom) return;
  event.preventDefault();
  desk.commands.reveal(desk.sheet.length);
}

function Begin({ desk, hint }: { desk: Desk; hint: string }) {
  const empty = useScene((state) => state.words === 0) && desk.sheet.length === 0;
  return empty ? (
    <p className="manuscript-hint" aria-hidden="true">
      {hint}
    </p>
  ) : null;
}

/** Reads the scene, lays it on the desk, and clears the desk when another is opened. */
function useDesk(scene: Id, host: React.RefObject<HTMLDivElement | null>): Desk | null {
  const [desk, setDesk] = useState<Desk | null>(null);
  useEffect(() => {
    const leaving = new AbortController();
    let mine: Desk | null = null;
    useScene.setState({ ...closedScene, loading: true });
    api.scenes.read(scene, leaving.signal).then(
      (read) => {
        if (leaving.signal.aborted || !host.current) return;
        mine = new Desk(read, host.current);
        opened(mine.commands);
        setDesk(mine);
      },
      (error: unknown) => {
        if (leaving.signal.aborted) return;
        const told = error instanceof ApiError ? error : new ApiError(String(error), 0, "unknown", "");
        useScene.setState({ ...closedScene, error: told });
      },
    );
    return () => {
      leaving.abort();
      opened(null);
      mine?.close();
      setDesk(null);
    };
  }, [scene, host]);
  useEffect(() => {
    const dom = desk?.sheet.view.dom;
    if (!desk || !dom) return;
    const move = (event: MouseEvent): void => desk.tokens.point(event, false);
    const press = (event: MouseEvent): void => desk.tokens.point(event, true);
    dom.addEventListener("mousemove", move, { passive: true });
    dom.addEventListener("click", press);
    return () => {
      dom.removeEventListener("mousemove", move);
      dom.removeEventListener("click", press);
    };
  }, [desk]);
  return desk;
}
