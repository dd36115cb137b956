"""In which order and on which side one rater meets the pairs: random, balanced, and the same when asked again."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from storyteller.evaluate.pairs import Pair

__all__ = ["Showing", "schedule"]


@dataclass(frozen=True, slots=True)
class Showing:
    """One pair on the page: `swapped` puts the second system's text on the left, `repeat` shows it once more."""

    pair: Pair
    swapped: bool
    repeat: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        """What a judgement of it is filed under."""
        return self.pair.id, self.repeat

    @property
    def left(self) -> tuple[str, str]:
        """The system and the text on the left."""
        pair = self.pair
        return (pair.second, pair.second_text) if self.swapped else (pair.first, pair.first_text)

    @property
    def right(self) -> tuple[str, str]:
        """The system and the text on the right."""
        pair = self.pair
        return (pair.first, pair.first_text) if self.swapped else (pair.second, pair.second_text)


def schedule(pairs: Sequence[Pair], rater: str, seed: int = 1, repeat: float = 0.1) -> list[Showing]:
    """The pairs in an order of the rater's own; of every two systems each stands on the left as often as the other.

    The share `repeat` of the pairs comes a second time with sides swapped: pairs of the first half, somewhere in the
    second, so that they are not remembered.
    """
    chance = random.Random(f"{seed} {rater}")
    meetings: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        meetings[pair.first, pair.second].append(pair)
    order = []
    for met in meetings.values():
        sides = [index % 2 == 0 for index in range(len(met))]
        if len(met) % 2:
            sides[-1] = chance.random() < 0.5
        chance.shuffle(sides)
        order += [Showing(pair, swapped) for pair, swapped in zip(met, sides, strict=True)]
    chance.shuffle(order)
    early, late = order[: len(order) // 2], order[len(order) // 2 :]
    for showing in chance.sample(early, min(len(early), round(repeat * len(order)))):
        again = Showing(showing.pair, not showing.swapped, repeat=True)
        late.insert(chance.randint(len(late) // 2, len(late)), again)
    return early + late
