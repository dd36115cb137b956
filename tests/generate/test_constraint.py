"""Constraints: what they hold, a model of random weights cannot break."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import tiny_model

from storyteller.corpus import count_words, ends_sentence
from storyteller.generate import Cast, Line, Storyteller, Together
from storyteller.generate.constraint import USUAL, ids_like
from storyteller.generate.torch_engine import TorchEngine
from storyteller.models import load_model, locate
from storyteller.tokens import Request, StoryTokenizer, Template


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Storyteller:
    folder: Path = tiny_model(tmp_path_factory.mktemp("model"))
    tokenizer = StoryTokenizer.load(folder)
    return Storyteller(TorchEngine(load_model(locate(str(folder)))), Template.for_tokenizer(tokenizer))


@pytest.mark.parametrize(("language", "opening"), [("en", "So the seal"), ("zh", "于是小海豹")])
def test_a_line_stays_one_line_without_speech(teller: Storyteller, language: str, opening: str) -> None:
    for seed in range(6):
        line = Line(teller.tokenizer, language, least=4, most=12)  # type: ignore[arg-type]
        request = Request(language=language, opening=opening, words=150)  # type: ignore[arg-type]
        told = teller.tell(request, seed=seed, constraint=line, max_tokens=200, temperature=1.5)
        new = told.text.removeprefix(opening)
        assert not set('\n"*:()') & set(new)
        assert count_words(new, told.language) <= 12 + 4  # the last token may be of several words
        if ends_sentence(new) and told.finish_reason == "stop":
            assert count_words(new, told.language) >= 4


def test_a_cast_admits_known_names_only(teller: Storyteller) -> None:
    cast = Cast(teller.tokenizer, "en", ["the Seal"], ["Tom"])
    first = {word: teller.tokenizer.encode(f" {word}")[0] for word in ("Seal", "The")}
    capitals = ids_like(teller.tokenizer, "^ [A-Z]")
    allowed = capitals - set(cast.banned("and then", ""))
    assert first["Seal"] not in cast.banned("and then", "")
    assert allowed <= {teller.tokenizer.encode(f" {word}")[0] for word in ("Seal", *USUAL)}
    assert not capitals & set(cast.banned("He left. ", ""))  # a sentence may begin with any word


def test_together_they_ban_what_any_bans(teller: Storyteller) -> None:
    line, cast = Line(teller.tokenizer, "en"), Cast(teller.tokenizer, "en", ["Mara"])
    both = Together((line, cast))
    story = "and then"
    assert set(both.banned(story, story)) == set(line.banned(story, story)) | set(cast.banned(story, story))
    assert both.over("It rained on.", "It rained on.")
