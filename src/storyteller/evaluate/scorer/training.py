"""Training without human labels: stories against versions of themselves that have a known fault."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storyteller.corpus import Story, count_words
from storyteller.corpus.corruption import FAULTS, Fault, corrupt
from storyteller.evaluate.scorer.normalise import normalise
from storyteller.evaluate.scorer.windows import WINDOW_WORDS, windows_of
from storyteller.tokens.names import characters

__all__ = ["FAULT_WEIGHTS", "Example", "examples_of", "story_windows"]

FAULT_WEIGHTS: dict[Fault, float] = dict.fromkeys(FAULTS, 1.0) | {
    "replace": 1.5,
    "words": 1.2,
    "swap": 0.7,
    "loop": 0.6,
    "negate": 0.5,
    "drop": 0.25,
}
SECOND: tuple[Fault, ...] = ("swap", "replace", "words", "repeat")
SHORTEST, FEWEST = 25, 4
"""A window has at least so many words and sentences, so that there is something to cohere."""


@dataclass(frozen=True, slots=True)
class Example:
    """A window of a story, in `group` with its faulty versions; `fault` is None for the story's own text."""

    text: str
    group: int
    story: str
    fault: str | None


def story_windows(stories: Sequence[Story], most: int, rng: random.Random) -> list[tuple[str, str]]:
    """Up to `most` (story id, window) pairs, drawn over the stories in turn; windows with many quotation marks are rare.

    Windows with capitals in a row, brackets, numbers or an open quotation are left out: headings, notes and pieces.
    """
    order = list(stories)
    rng.shuffle(order)
    pools = []
    for story in order:
        windows = ["".join(window).strip() for window in windows_of(normalise(story.text[:30_000]))]
        usable = [window for window in windows if _usable(window, rng)]
        rng.shuffle(usable)
        pools.append((story.id, usable))
    drawn: list[tuple[str, str]] = []
    for turn in range(6):
        drawn += [(name, pool[turn]) for name, pool in pools if turn < len(pool)]
        if len(drawn) >= most:
            break
    return drawn[:most]


def _usable(window: str, rng: random.Random) -> bool:
    quotes = window.count('"')
    plain = not any(mark in window for mark in "[]{}|<>=\\") and not any(map(str.isdigit, window))
    shouting = any(word.isupper() and len(word) > 3 for word in window.split())
    long_enough = count_words(window, "en") >= SHORTEST and len(windows_of(window, WINDOW_WORDS)[0]) >= FEWEST
    return plain and not shouting and long_enough and quotes % 2 == 0 and quotes <= (2 if rng.random() < 0.7 else 8)


def examples_of(
    windows: Sequence[tuple[str, str]], faults: int, rng: random.Random, first_group: int = 0
) -> Iterator[Example]:
    """Every window with `faults` faulty versions of it, each with another fault, a fifth of them with a second one."""
    for group, (story, window) in enumerate(windows, first_group):
        yield Example(window, group, story, None)
        people = [who.name for who in characters(Story(story, window, "en", "story", count_words(window, "en")))]
        kinds = dict(FAULT_WEIGHTS)
        made = 0
        while kinds and made < faults:
            fault = rng.choices(list(kinds), list(kinds.values()))[0]
            del kinds[fault]
            other = next(text for text in iter(lambda: rng.choice(windows)[1], None) if text != window)
            done = corrupt(window, fault, seed=rng.getrandbits(32), other=other, names=people)
            if done is None:
                continue
            text = done.text
            if rng.random() < 0.2:
                again = corrupt(text, rng.choice(SECOND), seed=rng.getrandbits(32), other=other)
                text = again.text if again else text
            made += 1
            yield Example(text, group, story, fault)
