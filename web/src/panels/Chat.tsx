import { type FormEvent, type KeyboardEvent, useEffect, useRef, useState } from "react";
import { api, type ChatMessage, type Entry, type GenerationEvent, type Id, type Project } from "../api";
import { manuscript } from "../editor";
import { useT } from "../i18n";
import { composing } from "../keys";
import { Icon } from "../shell/Icon";
import { useLayout } from "../shell/layout";
import { notify } from "../shell/notices";
import { useResource, useStream } from "../shell/resource";

/** Talk beside the manuscript: with the storyteller, or with somebody of the story. */
export function Chat({ project }: { project: Project }) {
  const t = useT();
  const said = useResource(() => api.chat.list(project.id), project.id);
  const entries = useResource(() => api.entries.list(project.id), project.id);
  const people = (entries.value ?? []).filter((entry) => entry.kind === "person" && !entry.proposed);
  const [whom, setWhom] = useState("");
  const [coming, setComing] = useState<{ asked: string; answer: string } | null>(null);
  const stream = useStream<GenerationEvent>();
  const end = useRef<HTMLDivElement>(null);
  const name = people.find((one) => String(one.id) === whom)?.name ?? t("chat.storyteller");

  useEffect(() => {
    end.current?.scrollIntoView({ block: "end" });
  }, [said.value, coming]);

  const send = async (text: string) => {
    setComing({ asked: text, answer: "" });
    await stream.run(
      (signal) => api.chat.say(project.id, text, whom || undefined, signal),
      (event) => {
        if (event.event === "text") setComing((now) => now && { ...now, answer: now.answer + event.data.text });
        else if (event.event === "failed") notify([event.data.message, event.data.next].filter(Boolean).join(" "), { tone: "warn" });
      },
    );
    await said.reload();
    setComing(null);
  };
  return (
    <aside className="panel chat" aria-label={t("shell.chat")}>
      <div className="panel-head">
        <label className="row chat-whom">
          <span className="label">{t("chat.with")}</span>
          <select className="select" value={whom} onChange={(event) => setWhom(event.target.value)}>
            <option value="">{t("chat.storyteller")}</option>
            {people.map((one) => (
              <option key={one.id} value={String(one.id)}>
                {one.name}
              </option>
            ))}
          </select>
        </label>
        <button
          type="button"
          className="icon"
          aria-label={t("do.close")}
          onClick={() => useLayout.getState().showSide("none")}
        >
          <Icon name="close" />
        </button>
      </div>
      <div className="panel-body" role="log" aria-label={t("chat.messages")} tabIndex={0}>
        {said.value?.length === 0 && !coming && <p className="quiet-text">{t("chat.none")}</p>}
        <ol className="messages" lang={project.language}>
          {said.value?.map((message) => (
            <Message key={message.id} message={message} people={people} />
          ))}
          {coming && (
            <>
              <Bubble who={t("chat.you")} own text={coming.asked} />
              <Bubble who={name} text={coming.answer} working />
            </>
          )}
        </ol>
        <div ref={end} />
      </div>
      <Say name={name} language={project.language} busy={stream.running} onSend={(text) => void send(text)} onStop={stream.stop} />
    </aside>
  );
}

function Message({ message, people }: { message: ChatMessage; people: Entry[] }) {
  const t = useT();
  const own = message.role === "person" || message.role === "user";
  const character = people.find((one) => String(one.id) === String(message.character satisfies Id | null | undefined));
  return (
    <Bubble who={own ? t("chat.you") : (character?.name ?? t("chat.storyteller"))} own={own} text={message.text}>
      {!own && (
        <button type="button" className="link" onClick={() => manuscript().insert(message.text)}>
          {t("chat.insert")}
        </button>
      )}
    </Bubble>
  );
}

function Bubble({ who, text, own, working, children }: {
  who: string;
  text: string;
  own?: boolean;
  working?: boolean;
  children?: React.ReactNode;
}) {
  const t = useT();
  return (
    <li className={own ? "message own" : "message"}>
      <p className="label">{who}</p>
      <p className={`message-text serif ${working && !text ? "working" : ""}`}>
        {text || (working && t("chat.thinking", { name: who }))}
      </p>
      {children}
    </li>
  );
}

function Say({ name, language, busy, onSend, onStop }: {
  name: string;
  language: string;
  busy: boolean;
  onSend: (text: string) => void;
  onStop: () => void;
}) {
  const t = useT();
  const [text, setText] = useState("");
  const send = (event?: FormEvent) => {
    event?.preventDefault();
    if (!text.trim() || busy) return;
    onSend(text.trim());
    setText("");
  };
  const keys = (event: KeyboardEvent) => {
    if (composing(event.nativeEvent)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape" && busy) {
      event.stopPropagation();
      onStop();
    }
  };
  return (
    <form className="say" onSubmit={send}>
      <textarea
        className="area"
        rows={2}
        lang={language}
        aria-label={t("chat.placeholder", { name })}
        placeholder={t("chat.placeholder", { name })}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={keys}
      />
      {busy ? (
        <button type="button" className="button" onClick={onStop}>
          {t("do.stop")}
        </button>
      ) : (
        <button type="submit" className="button lead" disabled={!text.trim()}>
          {t("chat.send")}
        </button>
      )}
    </form>
  );
}
