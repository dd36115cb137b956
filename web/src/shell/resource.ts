import { useCallback, useEffect, useRef, useState } from "react";
import { notifyFailure } from "./notices";

export interface Resource<A> {
  value: A | undefined;
  loading: boolean;
  error: unknown;
  set: (next: A | ((now: A) => A)) => void;
  reload: () => Promise<void>;
}

/** What the server knows, read when `key` changes; an answer that comes too late is dropped. */
export function useResource<A>(load: () => Promise<A>, key: unknown): Resource<A> {
  const [value, setValue] = useState<A>();
  const [loading, setLoading] = useState(true);
  const [error, setError] = useState<unknown>();
  const latest = useRef(0);
  const loader = useRef(load);
  loader.current = load;

  const reload = useCallback(async () => {
    const asked = ++latest.current;
    setLoading(true);
    try {
      const answer = await loader.current();
      if (asked !== latest.current) return;
      setValue(answer);
      setError(undefined);
    } catch (failure) {
      if (asked !== latest.current) return;
      setError(failure);
      notifyFailure(failure);
    }
    if (asked === latest.current) setLoading(false);
  }, []);

  useEffect(() => {
    setValue(undefined);
    void reload();
    return () => {
      latest.current++;
    };
  }, [key, reload]);

  const set = useCallback((next: A | ((now: A) => A)) => {
    setValue((now) => (typeof next === "function" ? (now === undefined ? now : (next as (now: A) => A)(now)) : next));
  }, []);
  return { value, loading, error, set, reload };
}

/** Do something that may fail, and say so when it does. The answer is `undefined` then. */
export async function attempt<A>(work: Promise<A>): Promise<A | undefined> {
  try {
    return await work;
  } catch (error) {
    notifyFailure(error);
    return undefined;
  }
}

/** Save `value` a little after the last change, and at once when the writer leaves the field or the page. */
export function useSaving<A>(save: (value: A) => Promise<unknown>, pause = 600) {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const waiting = useRef<{ value: A } | null>(null);
  const saver = useRef(save);
  saver.current = save;

  const flush = useCallback(async () => {
    clearTimeout(timer.current);
    const held = waiting.current;
    waiting.current = null;
    if (held) await attempt(saver.current(held.value));
  }, []);
  const later = useCallback(
    (value: A) => {
      waiting.current = { value };
      clearTimeout(timer.current);
      timer.current = setTimeout(() => void flush(), pause);
    },
    [flush, pause],
  );
  useEffect(() => {
    const leave = () => void flush();
    addEventListener("pagehide", leave);
    return () => {
      removeEventListener("pagehide", leave);
      void flush();
    };
  }, [flush]);
  return { later, flush };
}

/** A stream of events that is read by a component: begun, stopped, and stopped by itself when the component goes. */
export function useStream<E>() {
  const controller = useRef<AbortController>(undefined);
  const [running, setRunning] = useState(false);
  const stop = useCallback(() => controller.current?.abort(), []);
  useEffect(() => stop, [stop]);
  const run = useCallback(async (open: (signal: AbortSignal) => AsyncIterable<E>, each: (event: E) => void) => {
    controller.current?.abort();
    const mine = new AbortController();
    controller.current = mine;
    setRunning(true);
    try {
      for await (const event of open(mine.signal)) each(event);
    } catch (error) {
      if (!mine.signal.aborted) notifyFailure(error);
    }
    if (controller.current === mine) setRunning(false);
  }, []);
  return { run, stop, running };
}
