"""Passages of tales, plays and science fiction for `style_transfer.py` and its judges.

    python scripts/style_passages.py CORPORA --out DATA --apart JUDGES

Cuts passages of 50 to 100 words from folk and fairy tales, plays, and science fiction of the 1930s to 60s. Works are parted
(books of tales, plays, authors): DATA holds what is trained on and the test's sources, JUDGES what judges alone see.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storyteller.corpus.language import count_words, split_sentences

STYLES = ("tale", "play", "future")
PAIRS = (("tale", "play"), ("tale", "future"))
TEST, TRAIN, JUDGED = 100, 1100, 600

#: Where each style's works go: what is in neither set is trained on.
TALES = {
    "test": ("Indian Fairy Tales", "English Fairy Tales"),
    "apart": ("The Yellow Fairy Book", "The Fairy Tales of Charles Perrault", "The Tales of Mother Goose"),
    "train": ("Household Tales", "The Blue Fairy Book", "Philippine Folk Tales"),
}
PLAYS = {
    "test": ("The Merchant of Venice", "The Tragedy of Julius Caesar"),
    "apart": ("The Tragedy of Othello, the Moor of Venice", "A Midsummer Night's Dream", "The Importance of Being Earnest",
              "The Tragedy of Hamlet, Prince of Denmark"),
    "train": ("The Tragedy of Antony and Cleopatra", "The Tragedy of Macbeth", "The Tragedy of Romeo and Juliet",
              "Pygmalion"),
}  # fmt: skip
_FUTURE = re.compile(
    r"\b(space|spaceships?|planets?|rockets?|robots?|Mars|Martians?|Venus|Earth|orbit|galax\w+|aliens?|atomic|androids?)\b"
)
Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--apart", type=Path, required=True)
    asked = parser.parse_args()
    make_data(asked.corpora, asked.out, asked.apart)


def make_data(corpora: Path, out: Path, apart: Path) -> None:
    """Passages by style and split; `out` gets train and test, `apart` what only judges see."""
    tales = [(r, r["title"], r["collection"], "tale") for r in read_lines(corpora / "folk_and_fairy_tales.jsonl.xz")]
    plays = [(r, r["title"], r["collection"], "play") for r in read_lines(corpora / "pd_plays.jsonl.xz")]
    stories = [r for r in read_lines(corpora / "gutenberg_short_stories.jsonl.xz")
               if len(_FUTURE.findall(r["text"])) >= 0.004 * len(r["text"].split())]  # fmt: skip
    authors = sorted({r["author"] for r in stories})
    random.Random(1).shuffle(authors)
    where = {name: ("test", "apart", "train", "train", "train")[i % 5] for i, name in enumerate(authors)}
    future = [(r, f"{r['author']}: {r['title']}", where[r["author"]], "future") for r in stories]
    split: dict[str, list[Record]] = defaultdict(list)
    for style, pieces, places in (("tale", tales, TALES), ("play", plays, PLAYS), ("future", future, None)):
        for name, most in (("train", TRAIN), ("apart", JUDGED), ("test", TEST)):
            chosen = [piece for piece in pieces if piece[2] == name or (places and piece[2] in places[name])]
            found = [list(passages(record["text"], style, work)) for record, work, _, _ in chosen]
            split[name] += dealt([each for each in found if each], most)
    for name, records in split.items():
        folder = apart if name == "apart" else out
        folder.mkdir(parents=True, exist_ok=True)
        with lzma.open(folder / f"{name}.jsonl.xz", "wt", encoding="utf-8", preset=9) as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        for style in STYLES:
            own = [record for record in records if record["style"] == style]
            print(name, style, len(own), "passages of", len({record["work"] for record in own}), "works")


def passages(text: str, style: str, work: str) -> Iterator[Record]:
    """Runs of whole paragraphs or speeches of 50 to 100 words; a longer paragraph is cut at sentence ends."""
    parts: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in block.split("\n") if line.strip()]
        if not lines:
            continue
        speaks = style == "play" and len(lines) > 1 and lines[0].upper() == lines[0]
        told = " ".join(lines[1:] if speaks else lines)
        head = f"{lines[0]}\n" if speaks else ""
        parts += [head + piece for piece in cut(told)] if count_words(told, "en") > 100 else [head + told]
    held: list[str] = []
    for part in parts:
        total = sum(count_words(each, "en") for each in held)
        if held and total + count_words(part, "en") > 100:
            held, total = [], 0
        held.append(part)
        if 50 <= total + count_words(part, "en") <= 100:
            whole = "\n\n".join(held)
            if len(whole) <= 560 and sum(map(str.isalpha, whole)) > 0.6 * len(whole):  # 140 tokens
                yield {"text": whole, "style": style, "work": work}
            held = []


def cut(text: str) -> list[str]:
    """Sentences joined to pieces of at most 90 words."""
    pieces, held = [], ""
    for sentence in split_sentences(text, "en"):
        if held and count_words(held + sentence, "en") > 90:
            pieces.append(held.strip())
            held = ""
        held += sentence
    return [*pieces, held.strip()]


def dealt(works: list[list[Record]], most: int) -> list[Record]:
    """`most` passages, as evenly over the works as can be, none of them a work's first (titles, casts)."""
    chance = random.Random(2)
    piles = [chance.sample(work[1:], len(work) - 1) for work in works if len(work) > 1]
    chance.shuffle(piles)
    chosen: list[Record] = []
    while len(chosen) < most and any(piles):
        for pile in piles:
            if pile and len(chosen) < most:
                chosen.append(pile.pop())
    return chosen


def read_lines(path: Path) -> list[Record]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
