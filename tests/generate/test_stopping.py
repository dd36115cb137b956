from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generate.scripted import ScriptedEngine

from storyteller.corpus.story import Language
from storyteller.errors import GenerationError
from storyteller.generate import Storyteller, Told
from storyteller.generate.stopping import ByteDecoder
from storyteller.tokens import StoryTokenizer, Template

EN = "The seal sat on the old wet rock. "
ZH = "海豹坐在旧石头上。"


def told(folder: Path, script: str, words: int | None, language: Language = "en", **options: int) -> Told:
    tokenizer = StoryTokenizer.load(folder)
    teller = Storyteller(ScriptedEngine(tokenizer, script), Template.load(folder, tokenizer))
    return teller.tell("A seal", language=language, words=words, temperature=0, dry=False, **options)


def test_no_tokens_are_no_story(tiny_llama: Path) -> None:
    with pytest.raises(GenerationError, match="max_tokens is 0; it must be 1 or more"):
        told(tiny_llama, EN, words=50, max_tokens=0)


@given(text=st.text(min_size=1), cuts=st.lists(st.integers(0, 400)))
def test_pieces_are_whole_characters(text: str, cuts: list[int]) -> None:
    data, decoder = text.encode(), ByteDecoder()
    ends = [*sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [decoder.feed(data[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


@pytest.mark.parametrize(("language", "sentence", "length"), [("en", EN, 8), ("zh", ZH, 8)])
def test_stops_at_the_first_sentence_end_near_the_wish(
    tiny_llama: Path, language: Language, sentence: str, length: int
) -> None:
    story = told(tiny_llama, sentence * 20, words=50, language=language)
    assert story.text == (sentence * 6).strip()  # 48 of 50; 40 would be under 90 %
    assert (story.words, story.finish_reason) == (6 * length, "stop")


@pytest.mark.parametrize(
    ("language", "script", "words", "end"),
    [
        ("en", EN * 4 + '"The sea is wide. It is deep." She left. ', 38, 'It is deep."'),
        ("zh", ZH * 4 + "她说：“海很大。海很深。”她走了。", 40, "海很深。”"),
    ],
)
def test_an_open_quote_is_closed_first(tiny_llama: Path, language: Language, script: str, words: int, end: str) -> None:
    assert told(tiny_llama, script, words=words, language=language).text.endswith(end)


@pytest.mark.parametrize(("language", "sentence"), [("en", EN), ("zh", ZH)])
def test_the_models_end_counts_only_after_most_of_the_story(
    tiny_llama: Path, language: Language, sentence: str
) -> None:
    early = told(
        tiny_llama, sentence, words=20, language=language
    )  # its end at 8 of 20 is too early, that at 16 is not
    assert (early.words, early.finish_reason) == (16, "stop")
    free = told(tiny_llama, sentence, words=None, language=language)
    assert (free.words, free.finish_reason) == (8, "stop")


@pytest.mark.parametrize(("language", "sentence", "noise"), [("en", EN, "and on "), ("zh", ZH, "又说")])
def test_a_story_without_an_end_is_cut_back_to_its_last_sentence(
    tiny_llama: Path, language: Language, sentence: str, noise: str
) -> None:
    story = told(tiny_llama, sentence * 5 + noise * 50, words=50, language=language)
    assert story.finish_reason == "length"
    assert story.text == (sentence * 5).strip()


def test_tokens_are_bounded_without_a_wish(tiny_llama: Path) -> None:
    story = told(tiny_llama, "on and on " * 50, words=None, max_tokens=40)
    assert story.finish_reason == "length"
    assert 0 < story.tokens <= 40


def test_abbreviations_numbers_and_speakers_are_no_end(tiny_llama: Path) -> None:
    script = EN * 4 + "It was the time of the tide and Dr. Moon took 3.5 cups of tea.\n\nMARA\n\nWe go now. Then"
    assert told(tiny_llama, script, words=42).text.endswith("cups of tea.")
    assert told(tiny_llama, script, words=55).text.endswith("MARA\n\nWe go now.")
