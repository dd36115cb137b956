import { language, type Language, useT } from "../i18n";
import { useSettings } from "../state";
import { Icon } from "./Icon";
import { attempt } from "./resource";
import { to } from "./route";

/** The bar of the screens that are not the manuscript. */
export function TopBar() {
  const t = useT();
  const { values, change } = useSettings();
  const dark =
    values.theme === "dark" || (values.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  const other: Language = language() === "zh" ? "en" : "zh";
  return (
    <header className="start-bar">
      <a className="wordmark" href={to.start}>
        <Icon name="book" />
        {t("app.name")}
      </a>
      <nav className="row bar-nav" aria-label={t("shell.settings")}>
        <a className="bar-link" href={to.train}>
          {t("shell.train")}
        </a>
        <a className="bar-link" href={to.settings}>
          {t("shell.settings")}
        </a>
        <button
          type="button"
          className="bar-link"
          lang={other === "zh" ? "zh-CN" : "en"}
          onClick={() => void attempt(change({ interface: other }))}
        >
          {t(other === "zh" ? "language.zh" : "language.en")}
        </button>
        <button
          type="button"
          className="icon"
          aria-label={t(dark ? "settings.theme.light" : "settings.theme.dark")}
          title={t(dark ? "settings.theme.light" : "settings.theme.dark")}
          onClick={() => void attempt(change({ theme: dark ? "light" : "dark" }))}
        >
          <Icon name={dark ? "light" : "dark"} />
        </button>
      </nav>
    </header>
  );
}
