from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyteller.errors import DataError
from storyteller.evaluate.pairs import choose_pairs, tidy
from storyteller.evaluate.texts import Text
from storyteller.tokens.request import Request


def told(system: str, prompts: int, samples: int = 1, **more: object) -> list[Text]:
    return [
        Text(f"{system} tells {n}, {k}.", system, f"p{n}", seed=k, **more)  # type: ignore[arg-type]
        for n in range(prompts)
        for k in range(samples)
    ]


def test_typography_does_not_tell_who_wrote_it() -> None:
    printed = "  “It’s late,” she said — and left…\n\n\n   He stayed.  "
    typed = '"It\'s late," she said -- and left. . .\nHe stayed.'
    assert tidy(printed, "en") == tidy(typed, "en") == '"It\'s late," she said—and left...\nHe stayed.'


def test_chinese_typography_too() -> None:
    printed = "　　「晚了，」她說——然後走了……\n\n　　『他』留下了。"
    typed = '"晚了，"她說--然後走了...\n‘他’留下了。'
    assert tidy(printed, "zh") == tidy(typed, "zh") == "“晚了，”她說——然後走了……\n‘他’留下了。"


@pytest.mark.parametrize("language", ["en", "zh"])
@given(text=st.text())
def test_tidying_twice_changes_nothing(text: str, language: str) -> None:
    once = tidy(text, language)  # type: ignore[arg-type]
    assert tidy(once, language) == once  # type: ignore[arg-type]


def test_each_prompt_comes_once_before_any_comes_twice() -> None:
    pairs = choose_pairs(told("a", 10, samples=2) + told("b", 10, samples=2), ["a", "b"])
    assert len(pairs) == 20
    assert len({pair.prompt_id for pair in pairs[:10]}) == 10
    assert {(pair.first, pair.second) for pair in pairs} == {("a", "b")}
    assert len({pair.id for pair in pairs}) == 20


def test_three_systems_meet_equally_often() -> None:
    texts = told("a", 30) + told("b", 30) + told("c", 20)
    met = Counter((pair.first, pair.second) for pair in choose_pairs(texts, count=30))
    assert met == {("a", "b"): 10, ("a", "c"): 10, ("b", "c"): 10}
    assert len(choose_pairs(texts)) == 30 + 20 + 20


def test_the_seed_decides() -> None:
    texts = told("a", 20) + told("b", 20)
    assert choose_pairs(texts, count=5, seed=1) == choose_pairs(texts, count=5, seed=1)
    assert choose_pairs(texts, count=5, seed=1) != choose_pairs(texts, count=5, seed=2)
    more = choose_pairs(texts, count=9, seed=1)
    assert more[:5] == choose_pairs(texts, count=5, seed=1)  # asking for more pairs keeps those judged already
    prompts = [pair.prompt_id for pair in more]
    assert any(one > other for one, other in pairwise(prompts))


def test_languages_do_not_mix_and_the_same_text_is_no_pair() -> None:
    same = [Text("从前。", "a", "1", "zh"), Text(" 从前。\n", "b", "1", "zh")]
    other = [
        Text("从前有海。", "a", "2", "zh"),
        Text("Once.", "b", "2"),
        Text("Then.", "a", "3"),
        Text("Now.", "b", "3"),
    ]
    (pair,) = choose_pairs(same + other)
    assert (pair.prompt_id, pair.language) == ("3", "en")


@pytest.mark.parametrize("before", [None, "守塔人说："])
def test_a_prompt_may_be_a_passage_to_go_on_from(before: str | None) -> None:
    request = Request(language="zh", task="continue" if before else "write", before=before)
    texts = [Text(words, words, "1", "zh", prompt=" 「灯塔」 ", request=request) for words in ("海", "天")]
    (pair,) = choose_pairs(texts)
    assert (pair.prompt, pair.continues) == ("“灯塔”", before is not None)


def test_one_temperature_of_a_system() -> None:
    texts = told("a", 3, temperature=0.8) + told("a", 3, temperature=1.2) + told("b", 3)
    pairs = choose_pairs(texts, ["a@0.8", "a@1.2", "b"])
    assert len(pairs) == 6  # the texts of a are the same at both temperatures here: no pairs among them
    assert {pair.first for pair in pairs} == {"a@0.8", "a@1.2"}


def test_what_cannot_be_paired_is_said() -> None:
    with pytest.raises(DataError, match="only a is there"):
        choose_pairs(told("a", 2))
    with pytest.raises(DataError, match=r"no text is by 'c'\. The systems of the texts: a, b"):
        choose_pairs(told("a", 2) + told("b", 2), ["a", "c"])
    with pytest.raises(DataError, match="no prompt in common"):
        choose_pairs([Text("x", "a", "1"), Text("y", "b", "2")])
