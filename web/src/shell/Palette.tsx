import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import type { Project } from "../api";
import { manuscript } from "../editor";
import { useT } from "../i18n";
import { composing, type KeyAction, keyOf, spoken } from "../keys";
import { TABS, useLayout } from "./layout";
import { attempt } from "./resource";
import { go, to } from "./route";

interface Command {
  id: string;
  name: string;
  key?: string;
  run: () => void;
}

const close = () => useLayout.setState({ palette: false });

/** Every command by its name: type a few letters, Enter. It covers nothing and Escape closes it. */
export function Palette({ project }: { project: Project }) {
  const t = useT();
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const found = useCommands(project).filter((command) => matches(command.name, query));
  const chosen = Math.min(at, found.length - 1);
  useEffect(() => {
    box.current?.querySelector(`#command-${chosen}`)?.scrollIntoView({ block: "nearest" });
  }, [chosen]);

  const run = (command: Command | undefined) => {
    if (!command) return;
    close();
    manuscript().focus();
    command.run();
  };
  const keys = (event: KeyboardEvent) => {
    if (composing(event.nativeEvent)) return;
    if (event.key === "ArrowDown") setAt((chosen + 1) % found.length);
    else if (event.key === "ArrowUp") setAt((chosen - 1 + found.length) % found.length);
    else if (event.key === "Enter") run(found[chosen]);
    else if (event.key === "Escape") {
      close();
      manuscript().focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div
      className="palette"
      ref={box}
      onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && close()}
    >
      <input
        className="input"
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls="commands"
        aria-activedescendant={found.length ? `command-${chosen}` : undefined}
        aria-label={t("shell.palette")}
        placeholder={t("shell.palette")}
        value={query}
        onChange={(event) => {
          setQuery(event.target.value);
          setAt(0);
        }}
        onKeyDown={keys}
      />
      <ul id="commands" role="listbox" aria-label={t("shell.palette")}>
        {found.map((command, place) => (
          <li
            key={command.id}
            id={`command-${place}`}
            role="option"
            aria-selected={place === chosen}
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => run(command)}
          >
            <span>{command.name}</span>
            {command.key && <kbd>{spoken(command.key)}</kbd>}
          </li>
        ))}
      </ul>
      {!found.length && <p className="quiet-text palette-none">{t("shell.palette.none")}</p>}
    </div>
  );
}

/** All letters of the query in this order, wherever they are in the name. */
function matches(name: string, query: string): boolean {
  let from = 0;
  const among = name.toLowerCase();
  for (const letter of query.toLowerCase().replace(/\s+/g, "")) {
    from = among.indexOf(letter, from) + 1;
    if (from === 0) return false;
  }
  return true;
}

function useCommands(project: Project): Command[] {
  const t = useT();
  const layout = useLayout();
  const m = manuscript();
  const keyed = (action: KeyAction, run: () => void): Command => ({
    id: action,
    name: t(`key.${action}`),
    key: keyOf(action),
    run,
  });
  return [
    keyed("generate", () => m.generate()),
    keyed("continue", () => m.continue()),
    keyed("candidates", () => m.generate({ n: 3 })),
    keyed("retry", () => m.retry()),
    keyed("previous", () => m.previous()),
    keyed("next", () => m.next()),
    keyed("rewrite", () => m.rewrite()),
    keyed("tokens", () => m.toggleTokens()),
    keyed("stop", () => m.stop()),
    keyed("undo", () => m.undo()),
    keyed("redo", () => m.redo()),
    keyed("save", () => void attempt(m.flush())),
    ...TABS.map((tab) => ({ id: tab, name: t(`tab.${tab}`), run: () => layout.showTab(tab) })),
    { id: "chat", name: t("shell.chat"), run: () => layout.showSide("chat") },
    { id: "tree", name: t("shell.tree"), run: () => layout.showTree(!layout.tree) },
    { id: "train", name: t("shell.train"), run: () => go(to.train) },
    { id: "settings", name: t("shell.settings"), run: () => go(to.settings) },
    { id: "home", name: t("app.home"), run: () => go(to.start) },
    ...project.tree
      .filter((item) => item.kind !== "chapter")
      .map((item) => ({ id: `item-${item.id}`, name: item.title || t("tree.untitled"), run: () => go(to.project(project.id, item.id)) })),
  ];
}
