"""How often a masked model finds the word that stood in a blank: against guesses by frequency, on held-out stories.

    python scripts/fill_accuracy.py MODEL --data DIR [--split test] [--blanks 400] [--out FILE]

In each story a few words are hidden, one at a time: words that the train split knows (others no method here can guess; how
many those are is told), drawn evenly over the places of the text, so that common words are hidden as often as they stand
there. What a method guesses is right when it is the very word, case and all. The baselines are counted on the train split:
the commonest word, and the word that is commonest after the one before the blank and before the one after it (their
counts multiplied, each with one of the commonest word added). Intervals: 95 %, bootstrap over works.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storyteller.corpus import read_split
from storyteller.evaluate.bootstrap import ratio_interval, work_of
from storyteller.evaluate.loss_report import choose_stories
from storyteller.models import locate
from storyteller.models.masked import Filler
from storyteller.runs import write_json
from storyteller.runs.console import progress
from storyteller.tokens.lexicon import WORD, count_words
from storyteller.tokens.words import word_spans

SHOWN = 600
"""Characters that are shown on either side of a blank."""


@dataclass(frozen=True)
class Blank:
    """A hidden word, what stands around it, and the words beside it."""

    word: str
    before: str
    after: str
    left: str
    right: str
    work: str


class Neighbours:
    """The words of the train split by the words beside them."""

    def __init__(self, texts: Iterator[str]) -> None:
        self.after: dict[str, Counter[str]] = defaultdict(Counter)
        self.before: dict[str, Counter[str]] = defaultdict(Counter)
        self.all: Counter[str] = Counter()
        for text in texts:
            found = [text[start:end].strip() for start, end in word_spans(text)]
            self.all.update(word for word in found if WORD.fullmatch(word))
            for one, other in itertools.pairwise(found):
                if WORD.fullmatch(other):
                    self.after[one][other] += 1
                if WORD.fullmatch(one):
                    self.before[other][one] += 1
        self.total = sum(self.all.values())

    def guess(self, blank: Blank, top: int) -> list[str]:
        """The words that go best with both neighbours."""
        after, before = self.after[blank.left], self.before[blank.right]

        def fits(word: str) -> float:
            share = self.all[word] / self.total
            return (after[word] + share) * (before[word] + share) / share

        known = {*after, *before, *(word for word, _ in self.all.most_common(50))}
        return sorted(known, key=lambda word: (-fits(word), word))[:top]


def blanks(options: argparse.Namespace, known: dict[str, int]) -> tuple[list[Blank], float]:
    """The hidden words, the same ones for every model of the corpus, and the share of words that the lexicon knows."""
    stories = choose_stories(options.data, options.split, None, None)
    each = max(1, -(-options.blanks // len(stories)))
    found, words, unknown = [], 0, 0
    for story in stories:
        spans = [(start, end, story.text[start:end].strip()) for start, end in word_spans(story.text)]
        places = [number for number, (_, _, word) in enumerate(spans) if WORD.fullmatch(word)]
        words += len(places)
        unknown += sum(spans[place][2] not in known for place in places)
        able = [place for place in places if spans[place][2] in known and 0 < place < len(spans) - 1]
        seed = int.from_bytes(hashlib.sha256(story.id.encode()).digest()[:8], "big")
        for place in np.random.default_rng(seed).permutation(able)[:each].tolist():
            start, end, word = spans[place]
            start = end - len(word)
            left, right = (spans[place + step][2] for step in (-1, 1))
            shown = story.text[max(0, start - SHOWN) : start], story.text[end : end + SHOWN]
            found.append(Blank(word, *shown, left, right, work_of(story)))
    return found[: options.blanks], 1 - unknown / max(1, words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--blanks", type=int, default=400)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    filler = Filler.open(locate(options.model))
    train = Neighbours(story.text for story in read_split(options.data, "train"))
    known = filler.words or count_words(story.text for story in read_split(options.data, "train"))
    hidden, share = blanks(options, known)
    common = [word for word, _ in train.all.most_common(options.top)]
    ways: dict[str, Callable[[Blank], list[str]]] = {
        "masked model": lambda blank: [fill.text for fill in filler.between(blank.before, blank.after, options.top)],
        "commonest word": lambda blank: common,
        "commonest between its neighbours": lambda blank: train.guess(blank, options.top),
    }
    guesses: dict[str, list[list[str]]] = {name: [] for name in ways}
    with progress(len(hidden), "filling") as advance:
        for blank in hidden:
            for name, way in ways.items():
                guesses[name].append(way(blank))
            advance()
    works, one = [blank.work for blank in hidden], [1] * len(hidden)
    report = {
        "model": options.model,
        "blanks": len(hidden),
        "words_known": share,
        "ways": {
            name: {
                f"top_{top}": vars(
                    ratio_interval([b.word in g[:top] for b, g in zip(hidden, told, strict=True)], one, works)
                )
                for top in (1, options.top)
            }
            for name, told in guesses.items()
        },
        "examples": [
            {"before": b.before[-60:], "word": b.word, "after": b.after[:40], "filled": g}
            for b, g in list(zip(hidden, guesses["masked model"], strict=True))[:20]
        ],
    }
    print(json.dumps(report, indent=2, ensure_ascii=False))
    if options.out:
        write_json(options.out, report)


if __name__ == "__main__":
    main()
