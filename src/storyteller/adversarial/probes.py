"""Short-cut probes: what a critic could learn without reading. They must fail before it may learn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storyteller.adversarial.marks import matched
from storyteller.adversarial.reading import Group
from storyteller.errors import DataError
from storyteller.tokens import StoryTokenizer

__all__ = ["probe", "refuse_shortcuts"]

MARKS = ".,;:!?…—-'\"“”‘’()*_\n。，；：！？、「」『』《》"
Features = NDArray[np.float64]


def refuse_shortcuts(groups: Sequence[Group], tokenizer: StoryTokenizer, limit: float) -> dict[str, float]:
    """The AUC of length alone and of punctuation alone on pairs as the critic sees them.

    Raises `DataError` where one is over `limit` by more than chance (three standard errors): then a critic would learn
    the short cut and not the story. Also when there is nothing to compare.
    """
    human, drawn = [], []
    for group in groups:
        for story, mark in zip(group.stories, group.marks, strict=True):
            if mark.ends:
                ours, theirs = matched(group.human.ends, mark.ends)
                human.append((ours[-1], tokenizer.decode(group.prompt.human[: ours[-1]])))
                drawn.append((theirs[-1], tokenizer.decode(story[: theirs[-1]])))
    if not drawn:
        raise DataError(
            "the critic would see one class only: every story that the model drew is empty. Check the model with "
            "`storyteller write`."
        )
    found = {}
    for name, features in (("length", _lengths), ("punctuation", _punctuation)):
        found[name] = probe(features(human), features(drawn))
    allowed = max(limit, 0.5 + 3 * math.sqrt(1 / (6 * len(drawn))))
    for name, value in found.items():
        if value > allowed:
            raise DataError(
                f"{name} alone tells human from drawn stories with an AUC of {value:.2f} (at most {allowed:.2f} is allowed): "
                f"the critic would learn {name}, not stories.{_hint(name, human, drawn)} Or raise "
                "refine.critic.probe_limit, if you know that this is what you want to be learned."
            )
    return found


def probe(human: Features, drawn: Features) -> float:
    """The AUC of a linear discriminant between two sets of pairs [pairs, features], cross-fitted over two halves.

    Fisher 1936, with a ridge; the two texts of a pair are always in one half.
    """
    places = np.arange(len(human))
    wins = ties = total = 0.0
    for half in (0, 1):
        learn, test = places % 2 == half, places % 2 != half
        if not test.any() or not learn.any():
            continue
        mean = human[learn].mean(0) - drawn[learn].mean(0)
        centred = np.concatenate([human[learn] - human[learn].mean(0), drawn[learn] - drawn[learn].mean(0)])
        spread = centred.T @ centred / len(centred)
        ridge = (0.1 * np.trace(spread) / len(mean) + 1e-9) * np.eye(len(mean))
        direction = np.linalg.solve(spread + ridge, mean)
        first, second = human[test] @ direction, drawn[test] @ direction
        wins += float((first[:, None] > second[None, :]).sum())
        ties += float((first[:, None] == second[None, :]).sum())
        total += first.size * second.size
    return (wins + 0.5 * ties) / total if total else 0.5


def _lengths(texts: Sequence[tuple[int, str]]) -> Features:
    return np.array([[tokens, math.log(tokens)] for tokens, _ in texts], dtype=np.float64)


def _punctuation(texts: Sequence[tuple[int, str]]) -> Features:
    """Each mark's share of the characters, in percent."""
    return np.array([[100 * text.count(mark) / max(1, len(text)) for mark in MARKS] for _, text in texts])


def _hint(name: str, human: Sequence[tuple[int, str]], drawn: Sequence[tuple[int, str]]) -> str:
    if name == "length":
        means = [sum(tokens for tokens, _ in texts) / len(texts) for texts in (human, drawn)]
        return (
            f" Human stories have {means[0]:.0f} tokens, drawn ones {means[1]:.0f}: change refine.rollout.new_tokens."
        )
    shares = [_punctuation(texts).mean(0) for texts in (human, drawn)]
    place = int(np.argmax(np.abs(shares[0] - shares[1])))
    return (
        f" The mark {MARKS[place]!r} is {shares[0][place]:.2f} % of human characters and {shares[1][place]:.2f} % of drawn "
        "ones: normalise the corpus and fine-tune again."
    )
