import { useEffect, useState } from "react";
import { api, type Project, type Status } from "../api";
import { manuscript } from "../editor";
import { ago, length, number, percent, t as say, useT } from "../i18n";
import { useGeneration, useScene, useSettings } from "../state";
import { useLayout } from "./layout";

/** One quiet line: which model, how fast, how much it read; how much there is, and whether it is on disk. */
export function StatusLine({ project }: { project: Project }) {
  const t = useT();
  const { showTab } = useLayout();
  const status = useStatus();
  const chosen = useSettings((state) => state.values.model);
  const words = useScene((state) => state.words);
  const model = project.settings.model ?? chosen ?? status?.model.name ?? "default";
  return (
    <footer className="status">
      <div className="status-part">
        <button type="button" className="status-model" onClick={() => showTab("model")}>
          <span className="unseen">{t("status.model")}: </span>
          {model}
        </button>
        <Working status={status} />
      </div>
      <div className="status-part">
        <span className="figure">{length(words, project.language)}</span>
        <Saved />
      </div>
    </footer>
  );
}

function useStatus(): Status | undefined {
  const [status, setStatus] = useState<Status>();
  const phase = useGeneration((state) => state.phase);
  useEffect(() => {
    let here = true;
    api.status().then(
      (answer) => here && setStatus(answer),
      () => undefined,
    );
    return () => {
      here = false;
    };
  }, [phase]);
  return status;
}

function Working({ status }: { status: Status | undefined }) {
  const t = useT();
  const now = useGeneration();
  const speed = now.tokensPerSecond
    ? t("status.speed", { n: number(now.tokensPerSecond, { maximumFractionDigits: now.tokensPerSecond < 10 ? 1 : 0 }) })
    : "";
  const seen = now.context && t("status.context", { n: number(now.context.tokens), limit: number(now.context.limit) });
  let doing = "";
  if (now.phase === "queued" && now.position > 0) doing = t("status.queue", { n: number(now.position) });
  else if (now.phase === "asking" || now.phase === "queued") doing = status?.model.loaded ? "" : t("model.waking");
  else if (now.phase === "reading")
    doing = t("status.reading", { share: now.progress?.total ? percent(now.progress.read / now.progress.total) : "" });
  else if (now.phase === "writing") doing = t("status.writing");
  else if (status?.model.loading) doing = t("model.waking");
  return (
    <>
      <span className={doing ? "working" : ""} role="status">
        {doing}
      </span>
      {speed && <span className="figure wide-only">{speed}</span>}
      {seen && <span className="figure wide-only">{seen}</span>}
    </>
  );
}

function Saved() {
  const t = useT();
  const { saving, savedAt, scene } = useScene();
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 30_000);
    return () => clearInterval(timer);
  }, []);
  if (!scene) return null;
  if (saving === "saving" || saving === "unsaved") return <span>{t("state.saving")}</span>;
  if (saving === "saved") return <span>{t("state.saved", { time: ago(savedAt ?? Date.now()) })}</span>;
  return (
    <span className="status-trouble" role="alert">
      {t("state.unsaved")}{" "}
      <button type="button" className="link" onClick={() => manuscript().download()}>
        {say("state.download")}
      </button>
    </span>
  );
}
