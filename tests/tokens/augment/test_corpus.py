"""Variants in a corpus: in the training split only, marked, counted, and learned from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fake_openai import fake_openai
from tests.tokens.stories import LAMP, SEAL, long_story, story, write_corpus
from typer.testing import CliRunner

from storyteller.cli import app
from storyteller.corpus import read_split
from storyteller.errors import DataError
from storyteller.recipe.models import DataRecipe
from storyteller.recipe.robustness import AugmentRecipe
from storyteller.tokens import StoryTokenizer, tokenize
from storyteller.tokens.augment import Paraphraser, augment_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    train = [story(SEAL, "s"), story(LAMP, "l", "zh"), long_story("long", 6)]
    return write_corpus(tmp_path / "corpus", train, [story(SEAL, "d")])


def test_only_training_stories_have_variants(corpus: Path, tmp_path: Path) -> None:
    told = augment_corpus(corpus, tmp_path / "out", AugmentRecipe(copies=2))
    made = list(read_split(tmp_path / "out", "train"))
    assert [one.id for one in made if one.augmented is None] == ["s", "l", "long"]
    assert sum(one.augmented is not None for one in made) == 6
    assert (tmp_path / "out/dev.jsonl").read_bytes() == (corpus / "dev.jsonl").read_bytes()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["augmented"] == told
    assert sum(told["stories"].values()) == manifest["stories"]["train"] == 9
    with pytest.raises(DataError, match="variants already"):
        augment_corpus(tmp_path / "out", tmp_path / "again", AugmentRecipe())


def test_a_folder_of_somebody_else_is_not_touched(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(DataError, match="no prepared folder"):
        augment_corpus(corpus, tmp_path / "mine", AugmentRecipe())
    assert (tmp_path / "mine/letter.txt").read_text() == "dear"


def test_a_recipe_makes_them_while_tokenizing(corpus: Path, tiny_llama: Path) -> None:
    tokenizer = StoryTokenizer.load(tiny_llama)
    plain = tokenize(corpus, None, tokenizer, DataRecipe(path=corpus, context=256))
    more = tokenize(corpus, None, tokenizer, DataRecipe(path=corpus, context=256, augment=AugmentRecipe(copies=2)))
    assert more.meta["splits"]["train"]["augmented"] == 6
    assert more.meta["splits"]["train"]["stories"] == 9
    assert "augmented" not in plain.meta["splits"]["train"]
    assert more.meta["splits"]["dev"]["tokens"] == plain.meta["splits"]["dev"]["tokens"]
    assert "augment" not in plain.meta["settings"], "shards made before there were variants are still good"


def test_sentences_told_again_are_checked() -> None:
    answers = {
        "Mara kept the lighthouse on the north rock.": "On the north rock, Mara looked after the lighthouse.",
        "In the spring the lantern came back, full of small silver fish.": "I cannot do that.",
        "The seal took it gently and swam away.": "A seal, a seal, a seal took it very gently in its wet mouth, and then it"
        " swam a long way away over the sea.",
    }

    def ask(words: str) -> str:
        return next(
            (told for asked, told in answers.items() if asked in words), "Somebody did something. Twice. Or not."
        )

    paraphraser = Paraphraser(ask, share=1.0)
    made = paraphraser.variant(story(SEAL, "s"), 1)
    assert made is not None
    assert made.augmented == "paraphrase"
    assert made.text == SEAL.replace(*next(iter(answers.items())))
    assert paraphraser.counts["taken"] == 1
    assert paraphraser.counts["refused"] == paraphraser.counts["asked"] - 1 > 1


def test_translating_goes_there_and_back() -> None:
    asked = []

    def ask(words: str) -> str:
        asked.append(words)
        return (
            "守塔人提着灯笼慢慢走到海边去。"
            if "译成中文" in words
            else "He walked slowly down to the sea with the lamp."
        )

    text = "He went down to the water with a lantern in the dark."
    made = Paraphraser(ask, share=1.0, how="translate").variant(story(text), 1)
    assert made is not None
    assert made.text == "He walked slowly down to the sea with the lamp."
    assert len(asked) == 2
    assert "守塔人" in asked[1]


def test_the_command(corpus: Path, tmp_path: Path) -> None:
    with fake_openai(lambda asked: "On the north rock, Mara looked after the lighthouse.", models=("m",)) as server:
        words = ["augment", str(corpus), "--out", str(tmp_path / "out"), "--url", server.url, "--model", "m", "--share",
                 "1", "--json"]  # fmt: skip
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["stories"]["paraphrase"] >= 1
    assert told["sentences"]["asked"] == len(server.asked)
    result = CliRunner().invoke(app, ["augment", str(corpus), "--out", str(tmp_path / "o"), "--copies", "0"])
    assert result.exit_code == 2
