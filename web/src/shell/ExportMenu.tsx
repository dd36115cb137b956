import { api, type Project } from "../api";
import { manuscript } from "../editor";
import { type Key, useT } from "../i18n";
import { download } from "./download";
import { attempt } from "./resource";
import { Menu } from "./ui";

const BOOK = ["docx", "epub", "pdf", "md", "txt"] as const;
const SCREEN = ["fountain", "fdx", "twee"] as const;
const PLAY = ["card", "card-v2", "card-png", "lorebook"] as const;
const DATA = ["story", "jsonl", "messages"] as const;

type Kind = (typeof BOOK | typeof SCREEN | typeof PLAY | typeof DATA)[number];

/** Every way in which a book leaves the studio. */
export function ExportMenu({ project }: { project: Project }) {
  const t = useT();
  const group = (title: Key, kinds: readonly Kind[], close: () => void) => (
    <section>
      <h2 className="menu-head">{t(title)}</h2>
      <ul>
        {kinds.map((kind) => (
          <li key={kind}>
            <button
              type="button"
              onClick={() => {
                close();
                void attempt(save(kind));
              }}
            >
              {t(`export.${kind}`)}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
  // What was typed a moment ago belongs into the file, too.
  const save = async (kind: Kind) => {
    await manuscript().flush();
    await download(api.projects.exportUrl(project.id, kind), `${project.title || t("tree.untitled")}.${kind}`);
  };
  return (
    <Menu label={t("shell.export")} icon="export">
      {(close) => (
        <>
          {group("export.book", BOOK, close)}
          {group("export.screen", SCREEN, close)}
          {group("export.play", PLAY, close)}
          {group("export.data", DATA, close)}
          <ul>
            <li>
              <button
                type="button"
                onClick={() => {
                  close();
                  print();
                }}
              >
                {t("export.print")}
              </button>
            </li>
          </ul>
        </>
      )}
    </Menu>
  );
}
