import { useState } from "react";
import { api, type ModelEntry, type ServerEvent } from "../api";
import { bytes, useT } from "../i18n";
import { notify } from "../shell/notices";
import { useStream } from "../shell/resource";

/** Bring a known model onto this computer, because the writer asked for it. */
export function Fetch({ model, onDone }: { model: ModelEntry; onDone: () => Promise<void> }) {
  const t = useT();
  const [share, setShare] = useState<number | null>(null);
  const [agreed, setAgreed] = useState(false);
  const stream = useStream<ServerEvent>();
  const fetchIt = () =>
    stream
      .run(
        (signal) => api.models.pull(model.name, agreed, signal) as AsyncIterable<ServerEvent>,
        (event) => {
          const data = event.data as { read?: number; total?: number; message?: string };
          if (event.event === "failed") notify(data.message ?? t("notice.failed"), { tone: "warn" });
          else if (data.total) setShare((data.read ?? 0) / data.total);
        },
      )
      .then(onDone);
  return stream.running ? (
    <div className="stack tight">
      <p className="working">{t("model.fetching", { name: model.name })}</p>
      <progress value={share ?? undefined} aria-label={t("model.fetching", { name: model.name })} />
    </div>
  ) : (
    <div className="stack tight">
      {model.terms && (
        <label className="check">
          <input type="checkbox" checked={agreed} onChange={(event) => setAgreed(event.target.checked)} />
          <span className="terms">{t("model.terms", { terms: model.terms })}</span>
        </label>
      )}
      <div>
        <button type="button" className="button small" disabled={!!model.terms && !agreed} onClick={() => void fetchIt()}>
          {t("model.fetch", { bytes: bytes(model.download ?? model.bytes ?? 0) })}
        </button>
      </div>
    </div>
  );
}
