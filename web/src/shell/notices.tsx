import { create } from "zustand";
import { ApiError } from "../api";
import { t, useT } from "../i18n";
import { Icon } from "./Icon";

export interface Notice {
  id: number;
  text: string;
  tone: "plain" | "warn";
  action?: { name: string; run: () => void };
}

interface NoticeState {
  list: Notice[];
  count: number;
}

const useNotices = create<NoticeState>(() => ({ list: [], count: 0 }));
const STAYS = 7000;

export function dismiss(id: number): void {
  useNotices.setState((state) => ({ list: state.list.filter((notice) => notice.id !== id) }));
}

/** Say something in passing. A warning, and what offers an action, stays until it is dismissed or twice as long. */
export function notify(text: string, rest: Partial<Pick<Notice, "tone" | "action">> = {}): void {
  const { count, list } = useNotices.getState();
  const id = count + 1;
  const others = list.filter((notice) => notice.text !== text);
  useNotices.setState({ count: id, list: [...others, { id, text, tone: "plain" as const, ...rest }].slice(-4) });
  if (rest.tone !== "warn") setTimeout(() => dismiss(id), rest.action ? 2 * STAYS : STAYS);
}

/** Say that something failed: in the server's words, with what to do next. */
export function notifyFailure(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof ApiError && error.status === 0) return notify(t("state.offline"), { tone: "warn" });
  const said = error instanceof ApiError ? [error.message, error.next].filter(Boolean).join(" ") : "";
  notify(said || t("notice.failed"), { tone: "warn" });
}

/** The live region in which notices appear: read out, never in the way, never modal. */
export function Notices() {
  const t = useT();
  const list = useNotices((state) => state.list);
  return (
    <section className="notices" aria-label={t("shell.notices")} aria-live="polite" aria-relevant="additions">
      {list.map((notice) => (
        <div key={notice.id} className={`notice ${notice.tone}`}>
          <p>{notice.text}</p>
          {notice.action && (
            <button
              type="button"
              className="link"
              onClick={() => {
                notice.action!.run();
                dismiss(notice.id);
              }}
            >
              {notice.action.name}
            </button>
          )}
          <button type="button" className="icon" onClick={() => dismiss(notice.id)} aria-label={t("shell.dismiss")}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </section>
  );
}
