import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { api, type Status } from "../api";
import { bytes, language, type Language, useT } from "../i18n";
import { combo, composing, defaultKeys, type KeyAction, spoken } from "../keys";
import { useProject, useSettings } from "../state";
import { download } from "./download";
import { notify } from "./notices";
import { attempt } from "./resource";
import { TopBar } from "./TopBar";
import { Confirm, Segments } from "./ui";

export function Settings() {
  const t = useT();
  const { values, change } = useSettings();
  const [status, setStatus] = useState<Status>();
  useEffect(() => {
    void attempt(api.status()).then((answer) => answer && setStatus(answer));
  }, []);
  const save = (next: typeof values) => void attempt(change(next));
  return (
    <div className="start">
      <TopBar />
      <main className="page" id="main">
        <h1>{t("settings.title")}</h1>
        <section className="stack" aria-labelledby="look">
          <h2 id="look">{t("settings.look")}</h2>
          <Segments<Language>
            label={t("settings.language")}
            value={language()}
            options={[
              ["en", t("language.en")],
              ["zh", t("language.zh")],
            ]}
            onChange={(interface_) => save({ interface: interface_ })}
          />
          <Segments
            label={t("settings.theme")}
            value={values.theme ?? "auto"}
            options={(["auto", "light", "dark"] as const).map((theme) => [theme, t(`settings.theme.${theme}`)] as const)}
            onChange={(theme) => save({ theme })}
          />
        </section>
        <section className="stack" aria-labelledby="writing">
          <h2 id="writing">{t("settings.writing")}</h2>
          <label className="check">
            <input type="checkbox" checked={values.ghost ?? false} onChange={(e) => save({ ghost: e.target.checked })} />
            <span>{t("settings.ghost")}</span>
          </label>
          <label className="check">
            <input
              type="checkbox"
              checked={values.provenance_colours ?? false}
              onChange={(e) => save({ provenance_colours: e.target.checked })}
            />
            <span>{t("settings.colours")}</span>
          </label>
          <Segments
            label={t("settings.safety")}
            value={values.safety ?? "off"}
            options={(["off", "note", "age"] as const).map((safety) => [safety, t(`settings.safety.${safety}`)] as const)}
            onChange={(safety) => save({ safety })}
          />
          <p className="quiet-text">{t("settings.safety.hint")}</p>
        </section>
        <Keys own={values.keys ?? {}} onChange={(keys) => save({ keys })} />
        <Backup />
        {status && (
          <section className="stack tight" aria-labelledby="about">
            <h2 id="about">{t("settings.about")}</h2>
            <p className="quiet-text">
              {t("settings.storage", { path: status.storage.path, free: bytes(status.storage.free_bytes) })}
            </p>
            <p className="quiet-text">{t("settings.version", { version: status.version })}</p>
          </section>
        )}
      </main>
    </div>
  );
}

function Keys({ own, onChange }: { own: Record<string, string>; onChange: (keys: Record<string, string>) => void }) {
  const t = useT();
  const [waiting, setWaiting] = useState<KeyAction | null>(null);
  const bound: Record<string, string> = { ...defaultKeys, ...own };
  const actions = Object.keys(defaultKeys) as KeyAction[];
  const press = (event: KeyboardEvent, action: KeyAction) => {
    if (waiting !== action || composing(event.nativeEvent) || ["Control", "Alt", "Shift", "Meta"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    setWaiting(null);
    if (event.key !== "Escape" || action === "stop") onChange({ ...own, [action]: combo(event.nativeEvent) });
  };
  return (
    <section className="stack tight" aria-labelledby="keys">
      <h2 id="keys">{t("settings.keys")}</h2>
      <p className="quiet-text">{t("settings.keys.hint")}</p>
      <ul className="keys">
        {actions.map((action) => {
          const name = t(`key.${action}`);
          const clash = actions.filter((other) => other !== action && bound[action] && bound[other] === bound[action]);
          const shown = bound[action] ? spoken(bound[action]) : t("settings.keys.none");
          return (
            <li key={action}>
              <span>{name}</span>
              {clash.length > 0 && (
                <span className="chip warn">
                  {t("settings.keys.clash", { action: clash.map((other) => t(`key.${other}`)).join(", ") })}
                </span>
              )}
              <button
                type="button"
                className="button small key"
                aria-label={waiting === action ? t("settings.keys.press") : t("settings.keys.change", { action: name, combo: shown })}
                onClick={() => setWaiting(action)}
                onBlur={() => setWaiting(null)}
                onKeyDown={(event) => press(event, action)}
              >
                {waiting === action ? t("settings.keys.press") : shown}
              </button>
            </li>
          );
        })}
      </ul>
      <div>
        <button type="button" className="link" onClick={() => onChange({})}>
          {t("settings.keys.reset")}
        </button>
      </div>
    </section>
  );
}

function Backup() {
  const t = useT();
  const picker = useRef<HTMLInputElement>(null);
  const [file, setFile] = useState<File | null>(null);
  const restore = async (yes: boolean) => {
    setFile(null);
    if (!yes || !file) return;
    const body = new FormData();
    body.append("file", file);
    const done = await attempt(api.books.restore(body).then(() => true));
    if (!done) return;
    useProject.getState().close();
    await attempt(useSettings.getState().load());
    notify(t("settings.backup.done"));
  };
  return (
    <section className="stack tight" aria-labelledby="backup">
      <h2 id="backup">{t("settings.backup")}</h2>
      <p className="quiet-text">{t("settings.backup.note")}</p>
      <div className="row">
        <button
          type="button"
          className="button"
          onClick={() => void attempt(download(api.books.backupUrl, `${new Date().toISOString().slice(0, 10)}.storyteller`))}
        >
          {t("settings.backup.make")}
        </button>
        <button type="button" className="button" onClick={() => picker.current?.click()}>
          {t("settings.backup.restore")}
        </button>
        <input
          ref={picker}
          type="file"
          hidden
          accept=".storyteller,.zip"
          aria-label={t("settings.backup.restore")}
          onChange={(event) => {
            setFile(event.target.files?.[0] ?? null);
            event.target.value = "";
          }}
        />
      </div>
      {file && (
        <Confirm
          question={t("settings.backup.sure")}
          action={t("settings.backup.restore")}
          onAnswer={(yes) => void restore(yes)}
        />
      )}
    </section>
  );
}
