import { type ReactNode, useState } from "react";
import { difference, excerpt } from "../panels/difference";
import { length, useT } from "../i18n";
import { keyOf, spoken } from "../keys";
import { type SceneInfo, useGeneration, useScene } from "../state";
import { countIn } from "./count";
import type { Desk } from "./desk";
import { useView } from "./view";

/** What stands between the writer's words and the disk, or waits to be decided: above the text, never over it. */
export function Notices({ desk }: { desk: Desk }) {
  const saving = useScene((state) => state.saving);
  return (
    <div className="manuscript-notices">
      {saving === "conflict" ? <Conflict desk={desk} /> : <Trouble desk={desk} saving={saving} />}
      <Failure desk={desk} />
      <LeftOut />
      <Recovered desk={desk} />
      <Remark />
    </div>
  );
}

function Trouble({ desk, saving }: { desk: Desk; saving: SceneInfo["saving"] }) {
  const t = useT();
  const refusal = useScene((state) => state.refusal);
  const said = {
    offline: t("editor.lost"),
    full: t("editor.full"),
    "signed-out": t("editor.signedout"),
    refused: t("editor.refused", { message: [refusal?.message, refusal?.next].filter(Boolean).join(" ") }),
  }[saving as string];
  if (!said) return null;
  return (
    <Notice tone="warn" text={said}>
      <button type="button" className="button small" onClick={() => desk.sheet.saver.retry()}>
        {t("editor.retrynow")}
      </button>
      <button type="button" className="button small" onClick={() => desk.commands.download()}>
        {t("editor.download")}
      </button>
    </Notice>
  );
}

/** Two texts for one scene: both are shown, the writer chooses, the other stays in the history. */
function Conflict({ desk }: { desk: Desk }) {
  const t = useT();
  const theirs = useScene((state) => state.conflict);
  const language = useScene((state) => state.scene?.language ?? "en");
  const [busy, setBusy] = useState(false);
  if (!theirs) return null;
  const runs = excerpt(difference(theirs.text, desk.sheet.text));
  const choose = (step: () => Promise<void>) => {
    setBusy(true);
    void step()
      .catch((error: unknown) => console.warn("conflict", error))
      .finally(() => setBusy(false));
  };
  const side = (kind: "gone" | "new") =>
    runs.some((run) => run.kind === kind || (run.kind === "same" && run.text)) ? (
      runs
        .filter((run) => run.kind === "same" || run.kind === kind)
        .map((run, place) => (run.kind === "same" ? <span key={place}>{run.text}</span> : <mark key={place}>{run.text}</mark>))
    ) : (
      <span className="deck-note">{t("editor.conflict.nothing")}</span>
    );
  return (
    <section className="conflict" role="alert" aria-label={t("editor.conflict")}>
      <h2>{t("editor.conflict")}</h2>
      <p>{t("editor.conflict.hint")}</p>
      <div className="conflict-sides" lang={language}>
        <article>
          <h3>{t("editor.conflict.mine")}</h3>
          <p className="deck-text">{side("new")}</p>
          <button type="button" className="button small" disabled={busy} onClick={() => choose(() => desk.stepping.keepMine())}>
            {t("editor.conflict.keep.mine")}
          </button>
        </article>
        <article>
          <h3>{t("editor.conflict.theirs")}</h3>
          <p className="deck-text">{side("gone")}</p>
          <button type="button" className="button small" disabled={busy} onClick={() => choose(() => desk.stepping.keepTheirs())}>
            {t("editor.conflict.keep.theirs")}
          </button>
        </article>
      </div>
      <button type="button" className="link" onClick={() => desk.commands.download()}>
        {t("editor.download")}
      </button>
    </section>
  );
}

function Failure({ desk }: { desk: Desk }) {
  const t = useT();
  const error = useGeneration((state) => (state.phase === "failed" ? state.error : null));
  if (!error) return null;
  const close = () => useGeneration.setState({ error: null });
  return (
    <Notice tone="warn" text={[t("editor.failed"), error.message, error.next].filter(Boolean).join(" ")}>
      <button type="button" className="button small" onClick={() => (close(), desk.commands.generate())}>
        {t("editor.again")}
      </button>
      <button type="button" className="button small" onClick={close}>
        {t("editor.dismiss")}
      </button>
    </Notice>
  );
}

/** Members of an ensemble whose weights are damaged: the others wrote without them. */
function LeftOut() {
  const t = useT();
  const names = useGeneration((state) => [...new Set(state.candidates.flatMap((each) => each?.left_out ?? []))].join(", "));
  const [read, setRead] = useState("");
  if (!names || names === read) return null;
  return (
    <Notice tone="plain" text={t("editor.leftout", { names })}>
      <button type="button" className="button small" onClick={() => setRead(names)}>
        {t("editor.dismiss")}
      </button>
    </Notice>
  );
}

/** What a crash kept from the manuscript. */
function Recovered({ desk }: { desk: Desk }) {
  const t = useT();
  const recovered = useScene((state) => state.recovered);
  const language = useScene((state) => state.scene?.language ?? "en");
  const decide = (id: (typeof recovered)[number]["id"], wanted: boolean) =>
    void desk.recover(id, wanted).catch((error: unknown) => console.warn("recover", error));
  return recovered.map((generation) => {
    const text = generation.candidates.map((each) => each.text).reduce((one, other) => (other.length > one.length ? other : one), "");
    return (
      <Notice key={generation.id} tone="plain" text={t("editor.recovered", { n: length(countIn(text, language), language) })} quote={text}>
        <button type="button" className="button small lead" onClick={() => decide(generation.id, true)}>
          {t("editor.recovered.insert")}
        </button>
        <button type="button" className="button small" onClick={() => decide(generation.id, false)}>
          {t("editor.recovered.leave")}
        </button>
      </Notice>
    );
  });
}

/** In passing: which version this is, or why nothing happened. */
function Remark() {
  const t = useT();
  const { versions, rewriting, tokenMode, token } = useView();
  const retry = spoken(keyOf("retry"));
  let text = "";
  if (rewriting === "nothing") text = t("editor.rewrite.nothing");
  else if (versions?.of === 0) text = t("editor.version.none");
  else if (versions?.of === 1) text = t("editor.version.one", { key: retry });
  else if (versions) {
    const whose = versions.own ? t("editor.version.own") : versions.model;
    text = [t("editor.version", { at: versions.at, of: versions.of }), whose].filter(Boolean).join(" · ");
  } else if (tokenMode && !token) text = t("editor.tokens.on");
  return (
    <p className={text ? "remark shown" : "remark"} role="status">
      {text}
    </p>
  );
}

function Notice({ tone, text, quote, children }: { tone: "warn" | "plain"; text: string; quote?: string; children: ReactNode }) {
  return (
    <section className={`manuscript-notice ${tone}`} role={tone === "warn" ? "alert" : "status"}>
      <p>{text}</p>
      {quote && <blockquote className="deck-text">{quote}</blockquote>}
      <div className="rewrite-row">{children}</div>
    </section>
  );
}
