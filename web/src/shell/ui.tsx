import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { useT } from "../i18n";
import { type Drawing, Icon } from "./Icon";

/** A button that opens a small list below itself; Escape and a click elsewhere close it. */
export function Menu({ label, icon, text, children }: {
  label: string;
  icon?: Drawing;
  text?: string;
  children: (close: () => void) => ReactNode;
}) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open) return;
    const outside = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);
  const close = () => {
    setOpen(false);
    box.current?.querySelector("button")?.focus();
  };
  const keys = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape" && open) {
      event.stopPropagation();
      close();
    }
    if (!open || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
    event.preventDefault();
    const stops = [...box.current!.querySelectorAll<HTMLElement>(".menu-list button, .menu-list a")];
    const now = stops.indexOf(document.activeElement as HTMLElement);
    stops[(now + (event.key === "ArrowDown" ? 1 : -1) + stops.length) % stops.length]?.focus();
  };
  return (
    <div className="menu" ref={box} onKeyDown={keys}>
      <button
        type="button"
        className={text ? "button small" : "icon"}
        aria-expanded={open}
        aria-controls={id}
        aria-label={text ? undefined : label}
        title={text ? undefined : label}
        onClick={() => setOpen(!open)}
      >
        {icon && <Icon name={icon} />}
        {text}
      </button>
      <div className="menu-list" id={id} hidden={!open}>
        {open && children(close)}
      </div>
    </div>
  );
}

/** A choice between a few, all in sight: radio buttons that look like one strip. */
export function Segments<V extends string>({ label, value, options, onChange }: {
  label: string;
  value: V;
  options: readonly (readonly [V, string])[];
  onChange: (value: V) => void;
}) {
  const name = useId();
  return (
    <fieldset className="segments">
      <legend className="label">{label}</legend>
      <div className="segments-strip">
        {options.map(([option, text]) => (
          <label key={option} className={option === value ? "on" : ""}>
            <input type="radio" name={name} checked={option === value} onChange={() => onChange(option)} />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** The one modal thing here: a question before something is wiped for good. */
export function Confirm({ question, action, onAnswer }: {
  question: string;
  action: string;
  onAnswer: (yes: boolean) => void;
}) {
  const t = useT();
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} className="confirm" aria-labelledby={id} onClose={() => onAnswer(false)}>
      <p id={id}>{question}</p>
      <div className="row end">
        <button type="button" className="button" autoFocus onClick={() => onAnswer(false)}>
          {t("do.cancel")}
        </button>
        <button type="button" className="button warn" onClick={() => onAnswer(true)}>
          {action}
        </button>
      </div>
    </dialog>
  );
}

interface EditProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  hint?: string;
  lines?: boolean;
  quiet?: boolean;
  hidden?: boolean;
  className?: string;
}

/** A field that keeps what is typed until its pause, so that an answer from the server never takes words away. */
export function Edit({ label, value, onChange, hint, lines, quiet, hidden, className = "" }: EditProps) {
  const [draft, setDraft] = useState(value);
  const typing = useRef(false);
  useEffect(() => {
    if (!typing.current) setDraft(value);
  }, [value]);
  const shared = {
    value: draft,
    placeholder: hint,
    "aria-label": hidden ? label : undefined,
    className: `${lines ? "area" : "input"} ${quiet ? "quiet" : ""} ${className}`,
    onFocus: () => {
      typing.current = true;
    },
    onBlur: () => {
      typing.current = false;
    },
    onChange: (event: { target: { value: string } }) => {
      setDraft(event.target.value);
      onChange(event.target.value);
    },
  };
  const field = lines ? <textarea rows={1} {...shared} /> : <input {...shared} />;
  return hidden ? (
    field
  ) : (
    <label className="field">
      <span>{label}</span>
      {field}
    </label>
  );
}

/** A part of a panel that can be folded away. */
export function Fold({ title, children, open = false, aside }: {
  title: string;
  children: ReactNode;
  open?: boolean;
  aside?: ReactNode;
}) {
  return (
    <details className="fold" open={open}>
      <summary>
        <span>{title}</span>
        {aside}
      </summary>
      <div className="stack fold-body">{children}</div>
    </details>
  );
}

/** Where files may be dropped or chosen. */
export function Drop({ children, onFiles, folder, choose, accept }: {
  children: ReactNode;
  onFiles: (files: File[]) => void;
  choose: string;
  folder?: string;
  accept?: string;
}) {
  const [over, setOver] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const folders = useRef<HTMLInputElement>(null);
  const picked = (input: HTMLInputElement) => {
    if (input.files?.length) onFiles([...input.files]);
    input.value = "";
  };
  return (
    <div
      className={`drop ${over ? "over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void dropped(event.dataTransfer).then((files) => files.length && onFiles(files));
      }}
    >
      {children}
      <div className="row">
        <button type="button" className="button small" onClick={() => picker.current?.click()}>
          {choose}
        </button>
        {folder && (
          <button type="button" className="button small" onClick={() => folders.current?.click()}>
            {folder}
          </button>
        )}
      </div>
      <input ref={picker} type="file" multiple hidden accept={accept} aria-label={choose} onChange={(e) => picked(e.target)} />
      {folder && (
        <input
          ref={(input) => {
            folders.current = input;
            input?.setAttribute("webkitdirectory", "");
          }}
          type="file"
          multiple
          hidden
          aria-label={folder}
          onChange={(e) => picked(e.target)}
        />
      )}
    </div>
  );
}

/** All files of a drop, those in dropped folders too. */
async function dropped(data: DataTransfer): Promise<File[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const files: File[] = [];
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.isFile) {
      files.push(await new Promise<File>((good, bad) => (entry as FileSystemFileEntry).file(good, bad)));
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      const some = await new Promise<FileSystemEntry[]>((good, bad) => reader.readEntries(good, bad));
      if (!some.length) return;
      for (const child of some) await walk(child);
    }
  };
  for (const entry of entries) await walk(entry);
  return files;
}
