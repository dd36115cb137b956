import type { Finding } from "../api";
import { language, useT } from "../i18n";
import { useGeneration } from "../state";

/** Under the text: what the content check found in the words that came last, and which words made it say so. */
export function Findings() {
  const t = useT();
  const findings = useGeneration((state) => state.findings);
  if (!findings.length) return null;
  return (
    <section className="findings" role="status" aria-label={t("editor.findings")}>
      <FindingList of={findings} />
      <button type="button" className="button small" onClick={() => useGeneration.setState({ findings: [] })}>
        {t("editor.dismiss")}
      </button>
    </section>
  );
}

/** One sentence for each thing that was found; the same words are told once. */
export function FindingList({ of: findings }: { of: Finding[] }) {
  const said = [...new Set(findings.map(({ why }) => why[language()]))];
  return (
    <ul>
      {said.map((each) => (
        <li key={each}>{each}</li>
      ))}
    </ul>
  );
}
