/** What two texts share and do not share, as runs of `same`, `gone` and `new`, by words in English and by 字 in Chinese. */
export interface Run {
  kind: "same" | "gone" | "new";
  text: string;
}

const PIECES = /\p{Script=Han}|[\p{L}\p{N}'’]+|\s+|[^\s]/gu;
/** Past this many pieces in the part that differs, the quadratic table is too large: the part is shown as replaced. */
const LARGEST = 3000;

export function difference(before: string, after: string): Run[] {
  const old = before.match(PIECES) ?? [];
  const now = after.match(PIECES) ?? [];
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head++;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
  const runs: Run[] = [];
  add(runs, "same", old.slice(0, head).join(""));
  middle(runs, old.slice(head, old.length - tail), now.slice(head, now.length - tail));
  add(runs, "same", old.slice(old.length - tail).join(""));
  return runs;
}

function add(runs: Run[], kind: Run["kind"], text: string): void {
  if (!text) return;
  const last = runs.at(-1);
  if (last?.kind === kind) last.text += text;
  else runs.push({ kind, text });
}

/** Longest common subsequence by the textbook's table. */
function middle(runs: Run[], old: string[], now: string[]): void {
  if (old.length > LARGEST || now.length > LARGEST || !old.length || !now.length) {
    add(runs, "gone", old.join(""));
    add(runs, "new", now.join(""));
    return;
  }
  const width = now.length + 1;
  const longest = new Uint16Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--)
    for (let j = now.length - 1; j >= 0; j--)
      longest[i * width + j] =
        old[i] === now[j]
          ? longest[(i + 1) * width + j + 1]! + 1
          : Math.max(longest[(i + 1) * width + j]!, longest[i * width + j + 1]!);
  let i = 0;
  let j = 0;
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      add(runs, "same", old[i]!);
      i++;
      j++;
    } else if (j >= now.length || (i < old.length && longest[(i + 1) * width + j]! >= longest[i * width + j + 1]!)) {
      add(runs, "gone", old[i++]!);
    } else add(runs, "new", now[j++]!);
  }
}

/** Only what differs, with a little of what stands around it. */
export function excerpt(runs: Run[], around = 60): Run[] {
  return runs.map((run, place) => {
    if (run.kind !== "same" || run.text.length <= 2 * around) return run;
    const start = place === 0 ? "" : run.text.slice(0, around);
    const end = place === runs.length - 1 ? "" : run.text.slice(-around);
    return { kind: "same", text: `${start} … ${end}` };
  });
}
