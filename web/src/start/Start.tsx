import { useEffect, useState } from "react";
import { api, type ProjectSummary } from "../api";
import { ago, length, named, useT } from "../i18n";
import { TopBar } from "../shell/TopBar";
import { Icon } from "../shell/Icon";
import { notify, notifyFailure } from "../shell/notices";
import { attempt } from "../shell/resource";
import { go, to } from "../shell/route";
import { Drop } from "../shell/ui";
import { useProject } from "../state";
import { Ask } from "./Ask";
import { Ideas } from "./Ideas";

/** The first screen: one question, and below it what was begun before. */
export function Start() {
  const t = useT();
  const { list, loadList } = useProject();
  const [idea, setIdea] = useState("");
  useEffect(() => {
    void loadList().catch(notifyFailure);
  }, [loadList]);
  return (
    <div className="start">
      <TopBar />
      <main className="start-main" id="main">
        <Ask key={idea} idea={idea} />
        {list && list.length > 0 && (
          <section aria-labelledby="works">
            <h2 id="works">{t("start.projects")}</h2>
            <ul className="works">
              {list.map((work) => (
                <Work key={work.id} work={work} onChange={loadList} />
              ))}
            </ul>
          </section>
        )}
        <Ideas
          onChoose={(chosen) => {
            setIdea(chosen);
            scrollTo({ top: 0 });
          }}
        />
        <section aria-labelledby="bring">
          <h2 id="bring">{t("start.import")}</h2>
          <Drop choose={t("start.import.choose")} onFiles={(files) => void bring(files)}>
            <p>{t("start.import.hint")}</p>
          </Drop>
        </section>
        {list?.length === 0 && <p className="quiet-text">{t("start.none")}</p>}
      </main>
    </div>
  );

  async function bring(files: File[]) {
    const name = files.map((file) => file.name).join(", ");
    notify(t("start.import.working", { name }));
    const body = new FormData();
    for (const file of files) body.append("file", file);
    const answer = await attempt(api.books.read(body));
    if (!answer) return;
    for (const warning of answer.warnings) notify(warning, { tone: "warn" });
    notify(t("start.imported", { name }));
    go(to.project(answer.project));
  }
}

/** What the studio calls a work that has no title yet; what it is about says more. */
const UNTITLED: ReadonlySet<string> = new Set(["", "Untitled", "无题"]);

function Work({ work, onChange }: { work: ProjectSummary; onChange: () => Promise<void> }) {
  const t = useT();
  const given = UNTITLED.has(work.title) ? work.idea : work.title;
  const title = given || t("tree.untitled");
  const bring = async () => {
    await attempt(api.projects.restore(work.id));
    await attempt(onChange());
  };
  const trash = async () => {
    const gone = await attempt(api.projects.remove(work.id).then(() => true));
    if (!gone) return;
    notify(t("start.deleted", { title }), { action: { name: t("do.undo"), run: () => void bring() } });
    await attempt(onChange());
  };
  return (
    <li>
      <a href={to.project(work.id)}>
        <span className="work-title" lang={work.language}>
          {title}
        </span>
        <span className="work-about">
          {[named("form", work.form), length(work.words, work.language), ago(work.updated)].join(" · ")}
        </span>
      </a>
      <button type="button" className="icon" aria-label={t("start.delete", { title })} onClick={() => void trash()}>
        <Icon name="trash" />
      </button>
    </li>
  );
}
