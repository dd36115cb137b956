import { useSyncExternalStore } from "react";
import { editorEn, editorZh } from "./editor";
import { en } from "./en";
import { zh } from "./zh";

export type Key = keyof typeof en | keyof typeof editorEn;
export type Language = "en" | "zh";
type Message = string | { readonly one: string; readonly other: string };
export type Values = Record<string, string | number>;

const catalogues: Record<Language, Record<Key, Message>> = {
  en: { ...en, ...editorEn },
  zh: { ...zh, ...editorZh },
};
const listeners = new Set<() => void>();
let current: Language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";

export function language(): Language {
  return current;
}

/** The interface's language; the document says so, too, for fonts, line breaks and screen readers. */
export function setLanguage(next: Language): void {
  current = next;
  document.documentElement.lang = next === "zh" ? "zh-CN" : "en";
  for (const listener of listeners) listener();
}

/** A message in the interface's language. `values.n` picks the plural; numbers are written as the language writes them. */
export function t(key: Key, values: Values = {}): string {
  const message = catalogues[current][key];
  const singular = new Intl.PluralRules(current).select(Number(values.n ?? 0)) === "one";
  const text = typeof message === "string" ? message : singular ? message.one : message.other;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === "number" ? number(value) : value;
  });
}

/** `t` that makes its component draw again when the language changes. */
export function useT(): typeof t {
  useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, language);
  return t;
}

/** A message whose key is made of data (a form, a part of the context); what the catalogue lacks is said as it is. */
export function named(prefix: string, name: string): string {
  const key = `${prefix}.${name}`;
  return key in catalogues.en ? t(key as Key) : name.replaceAll("_", " ");
}

export function number(value: number, options?: Intl.NumberFormatOptions): string {
  return new Intl.NumberFormat(current === "zh" ? "zh-CN" : "en", options).format(value);
}

export function percent(share: number): string {
  return number(share, { style: "percent", maximumFractionDigits: 0 });
}

/** The length of a text in the units of its own language: words, or 字. */
export function length(n: number, of: string): string {
  return t(of.startsWith("zh") ? "count.characters" : "count.words", { n });
}

export function bytes(n: number): string {
  const power = n < 1e6 ? 1 : n < 1e9 ? 2 : 3;
  const shown = number(n / 1000 ** power, { maximumFractionDigits: power > 2 ? 1 : 0 });
  return `${shown} ${["kB", "kB", "MB", "GB"][power]}`;
}

/** How long ago a moment was, in plain words; older than a week, its date. */
export function ago(moment: string | number): string {
  const then = new Date(moment);
  const seconds = (Date.now() - then.getTime()) / 1000;
  if (seconds < 60) return t("time.now");
  if (seconds < 3600) return t("time.minutes", { n: Math.floor(seconds / 60) });
  if (seconds < 86400) return t("time.hours", { n: Math.floor(seconds / 3600) });
  if (seconds < 7 * 86400) return t("time.days", { n: Math.floor(seconds / 86400) });
  return new Intl.DateTimeFormat(current === "zh" ? "zh-CN" : "en", { dateStyle: "medium" }).format(then);
}

export function timeLeft(seconds: number): string {
  if (seconds < 90) return t("time.left.seconds", { n: Math.max(1, Math.round(seconds)) });
  if (seconds < 5400) return t("time.left.minutes", { n: Math.round(seconds / 60) });
  return t("time.left.hours", { n: Math.round(seconds / 3600) });
}
