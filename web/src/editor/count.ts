/** How long a text is, counted as the server counts it: words in English; in Chinese 字, and each Latin word as one. */

import type { Node } from "@tiptap/pm/model";

const HAN = /[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{3134f}]/gu;
const WORD = /[\p{L}\p{N}]+(?:[’'‐-][\p{L}\p{N}]+)*/gu;

export function countIn(text: string, language: string): number {
  if (!text) return 0;
  if (!language.startsWith("zh")) return text.match(WORD)?.length ?? 0;
  let han = 0;
  const rest = text.replace(HAN, () => (han++, " "));
  return han + (rest.match(WORD)?.length ?? 0);
}

/** Counts paragraphs, each once: a paragraph never changes, it is replaced by another. */
export class Counter {
  private readonly known = new WeakMap<Node, number>();

  constructor(private readonly language: string) {}

  of(paragraph: Node): number {
    let count = this.known.get(paragraph);
    if (count === undefined) this.known.set(paragraph, (count = countIn(paragraph.textContent, this.language)));
    return count;
  }

  sum(paragraphs: Iterable<Node>): number {
    let sum = 0;
    for (const paragraph of paragraphs) sum += this.of(paragraph);
    return sum;
  }
}
