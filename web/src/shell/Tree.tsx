import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { api, type Id, type Project, type TreeItem } from "../api";
import { manuscript } from "../editor";
import { length, number, t as say, useT } from "../i18n";
import { composing } from "../keys";
import { useProject, useScene } from "../state";
import { drop, type Move, type Row, rows, step } from "./branches";
import { narrow, useLayout } from "./layout";
import { notify } from "./notices";
import { attempt, useResource } from "./resource";
import { go, to } from "./route";
import { Menu } from "./ui";

const STEPS: Record<string, "up" | "down" | "in" | "out"> = {
  ArrowUp: "up",
  ArrowDown: "down",
  ArrowRight: "in",
  ArrowLeft: "out",
};

const refresh = () => useProject.getState().refresh();
const title = (item: TreeItem) => item.title || say("tree.untitled");

/** The book's chapters, scenes and notes. */
export function Tree({ project }: { project: Project }) {
  const t = useT();
  const scene = useProject((state) => state.scene);
  const { of, total } = useWords(project);
  const [folded, setFolded] = useState<ReadonlySet<Id>>(new Set());
  const [focus, setFocus] = useState<Id | null>(scene);
  const [naming, setNaming] = useState<Id | null>(null);
  const dragged = useRef<TreeItem | null>(null);
  const list = useRef<HTMLUListElement>(null);
  const lines = rows(project.tree, folded);
  const at = Math.max(0, lines.findIndex((line) => line.item.id === focus));
  const act = useActions(project);

  const fold = (id: Id, open: boolean) => {
    const next = new Set(folded);
    if (open) next.delete(id);
    else next.add(id);
    setFolded(next);
  };
  const reach = (place: number) => {
    const line = lines[Math.min(lines.length - 1, Math.max(0, place))];
    if (!line) return;
    setFocus(line.item.id);
    list.current?.querySelector<HTMLElement>(`[data-id="${CSS.escape(String(line.item.id))}"]`)?.focus();
  };
  const keys = (event: KeyboardEvent, line: Row) => {
    if (composing(event.nativeEvent) || event.target !== event.currentTarget) return;
    const { item, open } = line;
    const parent = lines.findIndex((one) => one.item.id === item.parent);
    const doing: Record<string, () => void> = {
      ArrowDown: () => reach(at + 1),
      ArrowUp: () => reach(at - 1),
      Home: () => reach(0),
      End: () => reach(lines.length - 1),
      ArrowRight: () => (open === false ? fold(item.id, true) : reach(at + 1)),
      ArrowLeft: () => (open ? fold(item.id, false) : parent >= 0 && reach(parent)),
      Enter: () => act.open(item),
      " ": () => act.open(item),
      F2: () => setNaming(item.id),
      Delete: () => void act.trash(item),
    };
    const way = event.altKey && STEPS[event.key];
    const does = way ? () => void act.move(item, step(project.tree, item, way)) : doing[event.key];
    if (!does || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  };

  return (
    <nav className="tree" aria-label={t("shell.tree")}>
      <div className="tree-head">
        <h2>{t("shell.tree")}</h2>
        <Menu label={t("tree.add")} icon="add">
          {(close) => (
            <ul>
              {(["scene", "chapter", "note"] as const).map((kind) => (
                <li key={kind}>
                  <button
                    type="button"
                    onClick={() => {
                      close();
                      void act.add(kind, lines[at]?.item).then((id) => id !== undefined && setNaming(id));
                    }}
                  >
                    {t(`tree.${kind}`)}
                  </button>
                </li>
              ))}
            </ul>
          )}
        </Menu>
      </div>
      <p className="unseen" id="tree-help">
        {t("tree.help")}
      </p>
      <ul role="tree" aria-label={t("shell.tree")} aria-describedby="tree-help" ref={list} className="tree-list">
        {lines.map((line) => (
          <li
            key={line.item.id}
            role="treeitem"
            data-id={line.item.id}
            data-kind={line.item.kind}
            tabIndex={line === lines[at] ? 0 : -1}
            aria-level={line.depth + 1}
            aria-posinset={line.place + 1}
            aria-setsize={line.among}
            aria-expanded={line.open ?? undefined}
            aria-selected={line.item.id === scene}
            className={`tree-row depth-${Math.min(line.depth, 4)}`}
            draggable={naming !== line.item.id}
            onFocus={(event) => event.target === event.currentTarget && setFocus(line.item.id)}
            onKeyDown={(event) => keys(event, line)}
            onDragStart={() => {
              dragged.current = line.item;
            }}
            onDragOver={(event) => dragged.current && event.preventDefault()}
            onDrop={(event) => {
              event.preventDefault();
              const item = dragged.current;
              dragged.current = null;
              if (item) void act.move(item, drop(project.tree, item, line.item));
            }}
            onClick={(event) => {
              if ((event.target as Element).closest(".menu, input")) return;
              if (line.open === null) act.open(line.item);
              else fold(line.item.id, !line.open);
            }}
            onDoubleClick={() => setNaming(line.item.id)}
          >
            {naming === line.item.id ? (
              <Naming item={line.item} onDone={() => setNaming(null)} />
            ) : (
              <>
                <span className="tree-title" lang={project.language}>
                  {title(line.item)}
                </span>
                <span className="tree-words" aria-label={length(of(line), project.language)}>
                  {number(of(line))}
                </span>
                <Menu label={t("tree.menu", { title: title(line.item) })} icon="more">
                  {(close) => (
                    <ItemMenu
                      project={project}
                      item={line.item}
                      onRename={() => {
                        close();
                        setNaming(line.item.id);
                      }}
                      onDone={close}
                    />
                  )}
                </Menu>
              </>
            )}
          </li>
        ))}
      </ul>
      <Bin project={project} />
      <p className="tree-total">
        <span>{t("tree.total")}</span>
        <span className="figure">{length(total, project.language)}</span>
      </p>
    </nav>
  );
}

/** Lengths as they are while the writer types: those of the project, and what the open scene has gained since. */
function useWords(project: Project): { of: (line: Row) => number; total: number } {
  const open = useScene((state) => state.scene?.id);
  const words = useScene((state) => state.words);
  const item = project.tree.find((one) => one.id === open);
  const gained = item ? words - item.words : 0;
  const above = new Set<Id>();
  for (let one = item; one; one = project.tree.find((other) => other.id === one?.parent)) above.add(one.id);
  return { of: (line) => line.words + (above.has(line.item.id) ? gained : 0), total: project.written + gained };
}

/** What was thrown away, each to be taken back. */
function Bin({ project }: { project: Project }) {
  const t = useT();
  const gone = useResource(() => api.projects.trash(project.id), `${project.id} ${project.updated} ${project.tree.length}`);
  const [last, setLast] = useState(gone.value);
  if (gone.value && gone.value !== last) setLast(gone.value);
  if (!last?.length) return null;
  const back = async (id: Id) => {
    await attempt(api.items.restore(id));
    await attempt(refresh());
    await gone.reload();
  };
  return (
    <details className="bin">
      <summary>{t("tree.bin")}</summary>
      <ul>
        {last.map((one) => (
          <li key={one.id}>
            <button
              type="button"
              className="ellipsis"
              aria-label={t("tree.bin.restore", { title: one.title || t("tree.untitled") })}
              title={t("tree.bin.restore", { title: one.title || t("tree.untitled") })}
              onClick={() => void back(one.id)}
            >
              {one.title || t("tree.untitled")}
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}

function ItemMenu({ project, item, onRename, onDone }: {
  project: Project;
  item: TreeItem;
  onRename: () => void;
  onDone: () => void;
}) {
  const t = useT();
  const act = useActions(project);
  const ways = [
    ["up", "do.up"],
    ["down", "do.down"],
    ["in", "tree.in"],
    ["out", "tree.out"],
  ] as const;
  return (
    <ul>
      <li>
        <button type="button" onClick={onRename}>
          {t("tree.rename")}
        </button>
      </li>
      {ways.map(([way, name]) => {
        const move = step(project.tree, item, way);
        return (
          move && (
            <li key={way}>
              <button
                type="button"
                onClick={() => {
                  onDone();
                  void act.move(item, move);
                }}
              >
                {t(name)}
              </button>
            </li>
          )
        );
      })}
      <li>
        <button
          type="button"
          onClick={() => {
            onDone();
            void act.trash(item);
          }}
        >
          {t("tree.trash")}
        </button>
      </li>
    </ul>
  );
}

/** The name of an item while it is being changed: Enter keeps it, Escape does not. */
function Naming({ item, onDone }: { item: TreeItem; onDone: () => void }) {
  const t = useT();
  const [text, setText] = useState(item.title);
  const done = useRef(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.select(), []);
  const finish = async (keep: boolean) => {
    if (done.current) return;
    done.current = true;
    if (keep && text !== item.title) {
      await attempt(api.items.change(item.id, { title: text }));
      await attempt(refresh());
    }
    onDone();
  };
  return (
    <input
      ref={input}
      className="input tree-name"
      aria-label={t("tree.rename")}
      value={text}
      onChange={(event) => setText(event.target.value)}
      onBlur={() => void finish(true)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (composing(event.nativeEvent)) return;
        if (event.key === "Enter") void finish(true);
        else if (event.key === "Escape") void finish(false);
      }}
    />
  );
}

function useActions(project: Project) {
  const t = useT();
  return {
    open(item: TreeItem) {
      if (item.kind === "chapter") return;
      if (narrow()) useLayout.getState().showTree(false);
      go(to.project(project.id, item.id));
    },
    async add(kind: TreeItem["kind"], near: TreeItem | undefined): Promise<Id | undefined> {
      const chapter = near?.kind === "chapter" ? near.id : (near?.parent ?? null);
      const parent = kind === "scene" ? chapter : null;
      const made = await attempt(api.items.create(project.id, { kind, title: t(`tree.${kind}`), parent }));
      await attempt(refresh());
      if (made && kind !== "chapter") go(to.project(project.id, made.id));
      return made?.id;
    },
    async move(item: TreeItem, move: Move | null) {
      if (!move) return;
      const moved = await attempt(api.items.change(item.id, move));
      await attempt(refresh());
      if (moved) notify(t("tree.moved", { title: title(item) }));
    },
    async trash(item: TreeItem) {
      await attempt(manuscript().flush());
      const gone = await attempt(api.items.remove(item.id).then(() => true));
      if (!gone) return;
      await attempt(refresh());
      const back = async () => {
        await attempt(api.items.restore(item.id));
        await attempt(refresh());
      };
      notify(t("tree.trashed", { title: title(item) }), { action: { name: t("do.undo"), run: () => void back() } });
    },
  };
}
