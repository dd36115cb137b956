import { type KeyboardEvent, useEffect, useRef } from "react";
import { length, useT } from "../i18n";
import { composing, keyOf, spoken } from "../keys";
import { busy, useGeneration, useScene } from "../state";
import { countIn } from "./count";
import type { Desk } from "./desk";
import { FindingList } from "./Findings";
import { type Deck as DeckInfo, useView } from "./view";

/** Candidates side by side, readable while they are written; a rewriting beside what it would take the place of. */
export function Deck({ desk }: { desk: Desk }) {
  const deck = useView((state) => state.deck);
  return deck && <Cards key={deck.kind} deck={deck} desk={desk} />;
}

function Cards({ deck, desk }: { deck: DeckInfo; desk: Desk }) {
  const t = useT();
  const language = useScene((state) => state.scene?.language ?? "en");
  const candidates = useGeneration((state) => state.candidates);
  const running = useGeneration(busy);
  const box = useRef<HTMLElement>(null);
  const rewrite = deck.kind === "rewrite";
  useEffect(() => {
    // Several versions were asked for in order to choose: the keys go there. A click in the text takes them back.
    box.current?.querySelector<HTMLButtonElement>("[data-take]")?.focus({ preventScroll: true });
  }, []);

  const keys = (event: KeyboardEvent) => {
    if (composing(event.nativeEvent) || event.ctrlKey || event.metaKey || event.altKey) return;
    const takes = [...(box.current?.querySelectorAll<HTMLButtonElement>("[data-take]") ?? [])];
    const at = takes.findIndex((take) => take === document.activeElement);
    const direction = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const digit = /^[1-8]$/.test(event.key) ? Number(event.key) : 0;
    if (direction) takes[(at + direction + takes.length) % takes.length]?.focus();
    else if (digit && digit <= candidates.length) void desk.writer.choose(digit - 1);
    else return;
    event.preventDefault();
  };
  return (
    <section className="deck" ref={box} onKeyDown={keys} aria-label={t(rewrite ? "editor.deck.rewrite" : "editor.deck.candidates")}>
      <header className="deck-head">
        <h2>{t(rewrite ? "editor.deck.rewrite" : "editor.deck.candidates")}</h2>
        {candidates.length > 1 && <span className="deck-hint">{t("editor.deck.hint", { n: candidates.length })}</span>}
        <span className="tools-gap" />
        {running && (
          <button type="button" className="button small" onClick={() => desk.writer.stop()}>
            {t("editor.stop")} <kbd>{spoken(keyOf("stop"))}</kbd>
          </button>
        )}
        <button type="button" className="button small" onClick={deck.again}>
          {t("editor.deck.another")}
        </button>
        <button type="button" className="button small" onClick={() => desk.writer.dismiss()}>
          {t(rewrite ? "editor.deck.keep" : "editor.deck.none")}
        </button>
      </header>
      <div className="deck-cards" lang={language.startsWith("zh") ? "zh-CN" : language}>
        {rewrite && (
          <article className="deck-card old">
            <header>
              <h3>{t("editor.deck.old")}</h3>
              <span className="deck-note">{length(countIn(deck.old, language), language)}</span>
            </header>
            <p className="deck-text">{deck.old}</p>
          </article>
        )}
        {candidates.map((candidate, index) => (
          <article key={index} className="deck-card" aria-busy={candidate.finished === null && running}>
            <header>
              <h3>{rewrite && candidates.length === 1 ? t("editor.deck.new") : t("editor.deck.card", { n: index + 1 })}</h3>
              <span className="deck-note">
                {candidate.text && length(countIn(candidate.text, language), language)}
              </span>
              <button
                type="button"
                className="button small"
                data-take
                aria-disabled={!candidate.text}
                onClick={() => void desk.writer.choose(index)}
              >
                {t(rewrite ? "editor.deck.accept" : "editor.deck.take")}
              </button>
            </header>
            <p className={candidate.finished === null && running ? "deck-text coming" : "deck-text"}>
              {candidate.text.trimStart() || <span className="deck-note">{t("editor.deck.waiting")}</span>}
            </p>
            {candidate.findings && (
              <div className="findings">
                <FindingList of={candidate.findings} />
              </div>
            )}
          </article>
        ))}
      </div>
    </section>
  );
}
