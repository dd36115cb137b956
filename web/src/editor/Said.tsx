import { useEffect, useState } from "react";
import { length, useT } from "../i18n";
import { type Phase, useGeneration, useScene } from "../state";
import { countIn } from "./count";

/** What a screen reader hears of a generation: that it reads, writes, has written. Not each word. */
export function Said() {
  const t = useT();
  const phase = useGeneration((state) => state.phase);
  const language = useScene((state) => state.scene?.language ?? "en");
  const [said, say] = useState("");
  useEffect(() => {
    const words = () => useGeneration.getState().candidates.reduce((sum, each) => sum + countIn(each.text, language), 0);
    const phrases: Partial<Record<Phase, () => string>> = {
      reading: () => t("editor.said.reading"),
      writing: () => t("editor.said.writing"),
      done: () => t("editor.said.done", { n: length(words(), language) }),
      stopped: () => t("editor.said.stopped"),
    };
    say(phrases[phase]?.() ?? "");
  }, [phase, language, t]);
  return (
    <p className="unseen" role="status" aria-live="polite">
      {said}
    </p>
  );
}
