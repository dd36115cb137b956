from __future__ import annotations

from collections import Counter

import pytest

from storyteller.evaluate.blind.schedule import schedule
from storyteller.evaluate.pairs import choose_pairs
from storyteller.evaluate.texts import Text

PAIRS = choose_pairs([Text(f"{system} {n}", system, str(n)) for system in "abc" for n in range(40)])


def test_every_pair_once_and_a_tenth_again_with_sides_swapped() -> None:
    shown = schedule(PAIRS, "Ada", repeat=0.1)
    first = {showing.pair.id: showing for showing in shown if not showing.repeat}
    again = [showing for showing in shown if showing.repeat]
    assert len(first) == 120
    assert len(again) == 12
    place = {showing.key: index for index, showing in enumerate(shown)}
    for showing in again:
        assert showing.left == first[showing.pair.id].right
        assert place[showing.key] - place[showing.pair.id, False] > 20
    assert not any(showing.repeat for showing in schedule(PAIRS, "Ada", repeat=0))


def test_sides_are_balanced_for_every_two_systems() -> None:
    left = Counter((s.pair.first, s.pair.second, s.swapped) for s in schedule(PAIRS, "Ada", repeat=0))
    assert set(left.values()) == {20}


def test_raters_meet_the_same_pairs_in_orders_of_their_own() -> None:
    ada, bo = schedule(PAIRS, "Ada"), schedule(PAIRS, "小波")
    assert {s.pair.id for s in ada} == {s.pair.id for s in bo}
    assert [s.pair.id for s in ada] != [s.pair.id for s in bo]
    assert ada == schedule(PAIRS, "Ada")
    assert ada != schedule(PAIRS, "Ada", seed=2)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_pairs(count: int) -> None:
    shown = schedule(PAIRS[:count], "Ada", repeat=0.5)
    assert len([s for s in shown if not s.repeat]) == count
