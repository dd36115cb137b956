from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.corpus.story import Language, Story
from storyteller.errors import DataError
from storyteller.evaluate.copying import CopyIndex, suffix_array
from storyteller.evaluate.ngrams import words

CORPUS = {
    "en": [
        "The old keeper climbed the stairs and lit the lamp before the storm came.",
        "Nobody knew why the river ran backwards on the first day of May.",
    ],
    "zh": ["从前有一个老人住在海边的灯塔里，每天晚上点亮灯火。", "谁也不知道那条河为什么在五月的第一天倒流。"],
}


def _stories(texts: list[str], language: Language = "en") -> list[Story]:
    return [Story(f"s{i}", text, language, "story", len(text.split())) for i, text in enumerate(texts)]


def _brute(corpus: list[str], text: str, least: int) -> tuple[int, int, str, float]:
    """Tokens of the longest span, its first token, its first story, and the share of tokens in long ones: by trying all."""
    own, best, covered = words(text), (0, 0, ""), set()
    for i in range(len(own)):
        for number, other in enumerate(map(words, corpus)):
            for j in range(len(other)):
                length = 0
                while i + length < len(own) and j + length < len(other) and own[i + length] == other[j + length]:
                    length += 1
                if length > best[0]:
                    best = (length, i, f"s{number}")
                if length >= least:
                    covered.update(range(i, i + length))
    return *best, len(covered) / max(1, len(own))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_the_suffix_array_is_the_sorted_suffixes(ids: list[int]) -> None:
    wanted = sorted(range(len(ids)), key=lambda place: ids[place:])
    assert suffix_array(np.array(ids, np.int32)).tolist() == wanted


SPOKEN = st.lists(st.sampled_from("abc"), max_size=12).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(SPOKEN, min_size=1, max_size=4).filter(lambda texts: any(texts)),
    st.lists(st.lists(st.sampled_from("abcd"), max_size=12).map(" ".join), min_size=1, max_size=3),
)
def test_matches_are_what_trying_all_places_finds(
    tmp_path_factory: pytest.TempPathFactory, corpus: list[str], texts: list[str]
) -> None:
    index = CopyIndex.build(_stories(corpus), tmp_path_factory.getbasetemp() / "copying")
    for text, match in zip(texts, index.longest_matches(texts, least=3), strict=True):
        length, first, source, share = _brute(corpus, text, 3)
        assert (match.tokens, match.source, match.copied) == (length, source, pytest.approx(share))
        assert match.start == (2 * first if length else 0)
        assert text[match.start :].startswith(match.span)
        assert words(match.span) == words(text)[first : first + length]


@pytest.mark.parametrize(
    ("language", "text", "span", "source"),
    [
        (
            "en",
            "In the tale, the OLD keeper climbed the\nstairs and lit the lamp — then he slept.",
            "the OLD keeper climbed the\nstairs and lit the lamp",
            "s0",
        ),
        ("zh", "她说：那条河为什么在五月的第一天倒流了？", "那条河为什么在五月的第一天倒流", "s1"),
    ],
)
def test_a_copied_span_is_found_with_its_source(
    tmp_path: Path, language: Language, text: str, span: str, source: str
) -> None:
    index = CopyIndex.build(_stories(CORPUS[language], language), tmp_path)
    own, other, empty = index.longest_matches([text, "Zebras! Quagga?", ""])
    assert (own.span, own.source, own.start) == (span, source, text.index(span))
    assert own.tokens == len(words(span))
    assert own.copied == len(words(span)) / len(words(text))
    assert (other.tokens, other.copied, other.source) == (0, 0, "")
    assert (empty.tokens, empty.span) == (0, "")


def test_a_match_does_not_cross_from_one_story_into_the_next(tmp_path: Path) -> None:
    index = CopyIndex.build(_stories(["one two", "three four"]), tmp_path)
    assert index.longest_matches(["one two three four"])[0].tokens == 2


def test_the_index_is_made_once_for_the_same_texts(tmp_path: Path) -> None:
    stories = _stories(CORPUS["en"])
    CopyIndex.build(stories, tmp_path)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    CopyIndex.build(stories, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == made
    CopyIndex.build(stories[:1], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_empty_corpus_and_a_damaged_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text"):
        CopyIndex.build(_stories([" "]), tmp_path)
    CopyIndex.build(_stories(["one two"]), tmp_path)
    next(tmp_path.rglob("suffixes.npy")).write_bytes(b"nothing")
    with pytest.raises(DataError, match="delete the folder"):
        CopyIndex.build(_stories(["one two"]), tmp_path)
