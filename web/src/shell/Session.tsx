import { type FormEvent, useState } from "react";
import { api, ApiError, setToken } from "../api";
import { useT } from "../i18n";
import { notify, notifyFailure } from "./notices";

/** The door of a studio that asks who comes: a token, or a name and a password. */
export function Session({ onEnter }: { onEnter: () => void }) {
  const t = useT();
  const [token, setTyped] = useState("");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const enter = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await api.session.open(token ? { token } : { name, password });
      setToken(null);
      onEnter();
    } catch (error) {
      if (error instanceof ApiError && error.status < 500 && error.status > 0) notify(t("settings.session.wrong"), { tone: "warn" });
      else notifyFailure(error);
    }
  };
  return (
    <main className="page narrow" id="main">
      <h1>{t("app.name")}</h1>
      <p>{t("settings.session.lead")}</p>
      <form className="stack" onSubmit={(event) => void enter(event)}>
        <Secret label={t("settings.session.token")} value={token} onChange={setTyped} />
        <label className="field">
          <span>{t("settings.session.name")}</span>
          <input className="input" autoComplete="username" value={name} onChange={(e) => setName(e.target.value)} />
        </label>
        <Secret label={t("settings.session.password")} value={password} onChange={setPassword} />
        <div>
          <button type="submit" className="button lead">
            {t("settings.session.enter")}
          </button>
        </div>
      </form>
    </main>
  );
}

function Secret({ label, value, onChange }: { label: string; value: string; onChange: (value: string) => void }) {
  return (
    <label className="field">
      <span>{label}</span>
      <input
        className="input"
        type="password"
        autoComplete="current-password"
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  );
}
