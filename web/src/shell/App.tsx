import { useEffect, useState } from "react";
import { ApiError } from "../api";
import { language, setLanguage, useT } from "../i18n";
import { bindKeys } from "../keys";
import { Train } from "../panels/Train";
import { Start } from "../start/Start";
import { useSettings } from "../state";
import { Fallback } from "./Fallback";
import { Notices, notifyFailure } from "./notices";
import { useRoute } from "./route";
import { Session } from "./Session";
import { Settings } from "./Settings";
import { Studio } from "./Studio";

/** The whole page: it asks for the writer's settings, then shows the screen that the address names. */
export function App() {
  const t = useT();
  const route = useRoute();
  const { values, load } = useSettings();
  const [closed, setClosed] = useState(false);

  useEffect(() => {
    load().catch((error: unknown) => {
      if (error instanceof ApiError && error.signedOut) setClosed(true);
      else notifyFailure(error);
    });
  }, [load]);
  useEffect(() => setLanguage(values.interface ?? language()), [values.interface]);
  useEffect(() => bindKeys(values.keys), [values.keys]);
  useEffect(() => {
    const root = document.documentElement;
    if (values.theme === "light" || values.theme === "dark") root.dataset.theme = values.theme;
    else delete root.dataset.theme;
  }, [values.theme]);
  useEffect(() => {
    if (route.screen !== "project") document.title = t("app.name");
  }, [route, t, values.interface]);

  const enter = () => {
    setClosed(false);
    void load().catch(notifyFailure);
  };
  return (
    <>
      <a className="skip" href="#main" onClick={skip}>
        {t("app.skip")}
      </a>
      <Fallback key={`${closed} ${route.screen}`}>
        {closed ? (
        <Session onEnter={enter} />
      ) : route.screen === "project" ? (
        <Studio project={route.project} scene={route.scene} />
      ) : route.screen === "train" ? (
        <Train job={route.job} />
      ) : route.screen === "settings" ? (
        <Settings />
      ) : (
        <Start />
      )}
      </Fallback>
      <Notices />
    </>
  );
}

/** The address names the screen, so the link to the manuscript may not change it. */
function skip(event: { preventDefault: () => void }) {
  event.preventDefault();
  const main = document.getElementById("main");
  (main?.querySelector<HTMLElement>("[contenteditable], textarea, input, button") ?? main)?.focus();
}
