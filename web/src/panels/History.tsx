import { useCallback, useEffect, useState } from "react";
import { api, type HistoryNode, type Id } from "../api";
import { manuscript } from "../editor";
import { ago, length, useT } from "../i18n";
import { notify } from "../shell/notices";
import { attempt, useResource } from "../shell/resource";
import { Edit } from "../shell/ui";
import { useScene } from "../state";
import { difference, excerpt } from "./difference";

/** Every moment of the scene. Looking at one costs nothing; restoring one adds to the tree and takes nothing away. */
export function History({ scene, language }: { scene: Id | null; language: string }) {
  const t = useT();
  const head = useScene((state) => state.head);
  const { nodes, more, older, reload } = useNodes(scene, head);
  const branches = useResource(async () => (scene === null ? [] : await api.scenes.branches(scene)), `${scene} ${head}`);
  const [looking, setLooking] = useState<Id | null>(null);
  const renamed = async () => {
    await Promise.all([reload(), branches.reload()]);
  };
  if (scene === null) return <p className="quiet-text">{t("history.none")}</p>;
  return (
    <div className="stack wide">
      <section className="stack tight">
        <h3>{t("history.branches")}</h3>
        {branches.value?.length === 0 && <p className="quiet-text">{t("history.branches.none")}</p>}
        <ul className="branches">
          {branches.value?.map((branch) => (
            <li key={branch.node}>
              <span>{branch.label || t("history.unnamed")}</span>
              <span className="quiet-text figure">{length(branch.words, language)}</span>
              {branch.is_head ? (
                <span className="chip accent">{t("history.here")}</span>
              ) : (
                <button
                  type="button"
                  className="link"
                  onClick={() =>
                    void attempt(
                      manuscript()
                        .goTo(branch.node)
                        .then(() => notify(t("history.gone", { label: branch.label || t("history.unnamed") }))),
                    )
                  }
                >
                  {t("history.go")}
                </button>
              )}
            </li>
          ))}
        </ul>
      </section>
      <section className="stack tight">
        <h3>{t("tab.history")}</h3>
        {nodes.length === 0 && <p className="quiet-text">{t("history.none")}</p>}
        <ol className="moments">
          {nodes.map((node) => (
            <Moment
              key={node.node}
              scene={scene}
              node={node}
              head={head}
              language={language}
              open={looking === node.node}
              onOpen={() => setLooking(looking === node.node ? null : node.node)}
              onNamed={renamed}
            />
          ))}
        </ol>
        {more && (
          <div>
            <button type="button" className="link" onClick={() => void older()}>
              {t("history.older")}
            </button>
          </div>
        )}
      </section>
    </div>
  );
}

/** The newest moments, and older ones as they are asked for. */
function useNodes(scene: Id | null, head: Id | null) {
  const [nodes, setNodes] = useState<HistoryNode[]>([]);
  const [more, setMore] = useState(false);
  const reload = useCallback(async () => {
    const first = scene === null ? [] : ((await attempt(api.scenes.history(scene))) ?? []);
    setNodes(first);
    setMore(first.length >= 20);
  }, [scene]);
  useEffect(() => {
    void reload();
  }, [reload, head]);
  const older = async () => {
    const last = nodes.at(-1);
    if (scene === null || !last) return;
    const next = (await attempt(api.scenes.history(scene, last.node))) ?? [];
    setNodes([...nodes, ...next.filter((node) => !nodes.some((one) => one.node === node.node))]);
    setMore(next.length > 0);
  };
  return { nodes, more, older, reload };
}

interface MomentProps {
  scene: Id;
  node: HistoryNode;
  head: Id | null;
  language: string;
  open: boolean;
  onOpen: () => void;
  onNamed: () => Promise<void>;
}

function Moment({ scene, node, head, language, open, onOpen, onNamed }: MomentProps) {
  const t = useT();
  const now = node.node === head;
  const begun = node.kind === "import" && !node.inserted_words; // the empty page
  const author = node.author === "model" && node.model ? node.model : t(`history.by.${node.author}`);
  const changes = [
    node.inserted_words > 0 && t("history.added", { n: length(node.inserted_words, language) }),
    node.removed_words > 0 && t("history.removed", { n: length(node.removed_words, language) }),
  ].filter(Boolean);
  return (
    <li className={`moment by-${node.author} ${node.on_path ? "" : "aside"}`}>
      <button type="button" className="moment-head" aria-expanded={open} onClick={onOpen}>
        <span className="moment-what">
          {begun ? t("history.begun") : `${t(`history.kind.${node.kind}`)} · ${author}`}
        </span>
        <span className="quiet-text figure">{now ? t("history.now") : ago(node.created)}</span>
        {node.summary && (
          <span className="moment-summary" lang={language}>
            {node.summary}
          </span>
        )}
        <span className="quiet-text figure">
          {changes.join(", ")}
          {!node.on_path && ` · ${t("history.aside")}`}
          {node.children > 1 && ` · ${t("history.forks", { n: node.children - 1 })}`}
        </span>
      </button>
      {node.label && <span className="chip accent">{node.label}</span>}
      {open && <Look scene={scene} node={node} now={now} language={language} onNamed={onNamed} />}
    </li>
  );
}

function Look({ scene, node, now, language, onNamed }: {
  scene: Id;
  node: HistoryNode;
  now: boolean;
  language: string;
  onNamed: () => Promise<void>;
}) {
  const t = useT();
  const [name, setName] = useState(node.label ?? "");
  const { value } = useResource(() => api.scenes.at(scene, node.node), node.node);
  const runs = value && excerpt(difference(value.text, manuscript().text()));
  const same = runs?.every((run) => run.kind === "same");
  const restore = async () => {
    await manuscript().restore(node.node);
    notify(t("history.restored", { time: ago(node.created) }));
  };
  return (
    <div className="stack tight look">
      {runs && !now && (
        <>
          <p className="label">{t("history.compare")}</p>
          {same ? (
            <p className="quiet-text">{t("history.same")}</p>
          ) : (
            <p className="compare serif" lang={language}>
              {runs.map((run, place) =>
                run.kind === "same" ? (
                  <span key={place}>{run.text}</span>
                ) : run.kind === "gone" ? (
                  <ins key={place}>{run.text}</ins>
                ) : (
                  <del key={place}>{run.text}</del>
                ),
              )}
            </p>
          )}
          <div>
            <button type="button" className="button small" disabled={same} onClick={() => void attempt(restore())}>
              {t("history.restore")}
            </button>
          </div>
        </>
      )}
      <form
        className="row"
        onSubmit={(event) => {
          event.preventDefault();
          void attempt(api.scenes.label(node.node, name).then(onNamed));
        }}
      >
        <div className="grow">
          <Edit label={t("history.named")} hint={t("history.name")} hidden value={name} onChange={setName} />
        </div>
        <button type="submit" className="button small">
          {t("do.save")}
        </button>
      </form>
    </div>
  );
}
