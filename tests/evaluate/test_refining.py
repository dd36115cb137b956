"""The judge of a refinement on texts whose answer is known."""

from __future__ import annotations

import random

import pytest
from tests.evaluate.test_judges import Passages, passages, salad

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.refining import score_refinement

LANGUAGES: tuple[Language, ...] = ("en", "zh")


@pytest.fixture(scope="module", params=LANGUAGES)
def human(request: pytest.FixtureRequest) -> Passages:
    whole = passages(request.param)
    chosen = sorted(random.Random(1).sample(range(len(whole.texts)), 150))
    return Passages(whole.language, [whole.texts[i] for i in chosen], [whole.works[i] for i in chosen])


def figures(human: Passages, drawn: list[str]) -> dict[str, float]:
    return score_refinement(human.texts, drawn, human.works, human.language)


def test_people_are_not_told_from_themselves(human: Passages) -> None:
    told = figures(human, human.texts)
    for name in ("judge_auc", "judge_word", "judge_char", "probe_length", "probe_punctuation"):
        assert told[name] == pytest.approx(0.5), name


def test_words_in_disorder_are_told_and_more_of_them_more_surely(human: Passages) -> None:
    some, all_of_them = (
        figures(human, [salad(text, human.language, share) for text in human.texts]) for share in (0.3, 1)
    )
    assert 0.55 < some["judge_auc"] < all_of_them["judge_auc"]
    assert all_of_them["judge_auc"] > 0.85
    assert all_of_them["judge_auc"] == pytest.approx((all_of_them["judge_word"] + all_of_them["judge_char"]) / 2)
    # Lengths and marks stay where they were: it is the order that was seen.
    assert abs(all_of_them["probe_length"] - 0.5) < 0.05


def test_a_habit_costs_variety(human: Passages) -> None:
    """Every text begins with one sentence: fewer different pairs of words in as many, and more of them in other texts."""
    habit = {
        "en": "That was how it had always been in the house by the sea. ",
        "zh": "海边的那座房子里一直都是这个样子。",
    }
    plain, told = (figures(human, [first + text for text in human.texts]) for first in ("", habit[human.language]))
    assert told["distinct_2"] < 0.9 * plain["distinct_2"]
    assert told["self_bleu"] > plain["self_bleu"] + 0.1
    assert told["judge_auc"] > 0.7


def numbered(first: int, count: int) -> str:
    """A sentence of as many different words."""
    return " ".join(f"w{number}" for number in range(first, first + count)).capitalize() + "."


@pytest.fixture
def plain() -> Passages:
    """Sixty texts of twenty words that come once each."""
    return Passages("en", [numbered(20 * i, 20) for i in range(60)], [f"work {i}" for i in range(60)])


def test_distinct_2_counts_as_many_words_whatever_the_length(plain: Passages) -> None:
    """They are half of people's: what stands after them changes nothing."""
    assert figures(plain, plain.texts)["distinct_2"] == 1
    twice = [f"{text} {numbered(0, 20)}" for text in plain.texts]
    assert figures(plain, twice)["distinct_2"] == 1
    alike = [f"In the end {numbered(20 * i, 17)}" for i in range(60)]
    # Of 630 tokens ten fall to each text and one more to the first thirty: 570 pairs, of which two stand in all texts.
    assert figures(plain, alike)["distinct_2"] == pytest.approx((570 - 2 * 59) / 570)


def test_repeated_4_grams_are_counted_within_each_text(plain: Passages) -> None:
    assert figures(plain, plain.texts)["rep_4"] == 0
    loops = [f"{numbered(20 * i, 4)[:-1]} " * 4 + numbered(20 * i, 4) for i in range(60)]
    # 21 tokens with the mark: 18 4-grams, of which the first four and the one with the mark are new.
    assert figures(plain, loops)["rep_4"] == pytest.approx(1 - 5 / 18)


@pytest.mark.parametrize(
    ("count", "works", "message"),
    [(40, 40, "40 texts a class are too few"), (60, 4, "from 4 works"), (60, 1, "from 1 works")],
)
def test_too_few_texts_or_works_are_told(plain: Passages, count: int, works: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        score_refinement(plain.texts[:count], plain.texts[:count], [f"{i % works}" for i in range(count)], "en")


def test_texts_that_cannot_be_brought_to_one_length_are_told(plain: Passages) -> None:
    with pytest.raises(DataError, match="length of the human one"):
        figures(plain, ["No."] * 60)
