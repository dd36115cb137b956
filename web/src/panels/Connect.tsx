import { type FormEvent, useState } from "react";
import { api, type ModelEntry } from "../api";
import { useT } from "../i18n";
import { Icon } from "../shell/Icon";
import { attempt, type Resource, useResource } from "../shell/resource";
import { Fold } from "../shell/ui";

const host = (address: string): string => {
  try {
    return new URL(address).host;
  } catch {
    return address;
  }
};

/** Another model on another server: Test, then Use. Its key goes to our server and never comes back. */
export function Connect({ models, onChoose }: { models: Resource<ModelEntry[]>; onChoose: (name: string) => void }) {
  const t = useT();
  const connections = useResource(() => api.connections.list(), "connections");
  const [url, setUrl] = useState("http://127.0.0.1:8080/v1");
  const [key, setKey] = useState("");
  const [offered, setOffered] = useState<string[] | null>(null);
  const [model, setModel] = useState("");
  const [busy, setBusy] = useState(false);

  const test = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setOffered(null);
    const answer = await attempt(api.connections.test(url, key || undefined));
    setBusy(false);
    if (!answer) return;
    setOffered(answer.models);
    setModel(answer.models[0] ?? "");
  };
  const use = async () => {
    const name = model.split("/").at(-1) || host(url);
    const made = await attempt(api.connections.create({ name, url, model, ...(key && { key }) }));
    if (!made) return;
    setKey("");
    setOffered(null);
    await Promise.all([connections.reload(), models.reload()]);
    onChoose(`remote:${made.id}`);
  };
  const cut = async (id: string | number) => {
    await attempt(api.connections.remove(id));
    await Promise.all([connections.reload(), models.reload()]);
  };
  return (
    <Fold title={t("model.connect")}>
      <p className="quiet-text">{t("model.connect.hint")}</p>
      <ul className="proposals">
        {connections.value?.map((one) => (
          <li key={one.id}>
            <span>{one.name}</span>
            <span className="quiet-text">{host(one.url)}</span>
            <button
              type="button"
              className="icon"
              aria-label={t("model.disconnect", { name: one.name })}
              onClick={() => void cut(one.id)}
            >
              <Icon name="close" />
            </button>
          </li>
        ))}
      </ul>
      <form className="stack tight" onSubmit={(event) => void test(event)}>
        <label className="field">
          <span>{t("model.connect.url")}</span>
          <input className="input" inputMode="url" required value={url} onChange={(event) => setUrl(event.target.value)} />
        </label>
        <label className="field">
          <span>{t("model.connect.key")}</span>
          <input
            className="input"
            type="password"
            autoComplete="off"
            value={key}
            onChange={(event) => setKey(event.target.value)}
          />
          <small className="quiet-text">{t("model.connect.key.kept")}</small>
        </label>
        <div className="row">
          <button type="submit" className="button small" disabled={busy || !url}>
            {t("model.connect.test")}
          </button>
          <span role="status" className={busy ? "working quiet-text" : "quiet-text"}>
            {busy ? t("model.connect.testing") : offered ? t("model.connect.works") : ""}
          </span>
        </div>
      </form>
      {offered && (
        <div className="stack tight">
          <label className="field">
            <span>{t("model.connect.which")}</span>
            <select className="select" value={model} onChange={(event) => setModel(event.target.value)}>
              {offered.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
          <p className="quiet-text">{t("model.connect.away", { host: host(url) })}</p>
          <div>
            <button type="button" className="button small lead" onClick={() => void use()}>
              {t("do.use")}
            </button>
          </div>
        </div>
      )}
    </Fold>
  );
}
