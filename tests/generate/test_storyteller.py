from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.generate.scripted import ScriptedEngine

from storyteller.errors import GenerationError
from storyteller.generate import Storyteller
from storyteller.generate.torch_engine import TorchEngine
from storyteller.models import Located, load_model
from storyteller.tokens import Character, Request, StoryTokenizer, Template

PROMPTS = {"en": "The keeper and the seal told a story of the moon.", "zh": "守塔人和海豹的故事。"}


@pytest.fixture(scope="module")
def teller(tiny_llama: Path) -> Storyteller:
    engine = TorchEngine(load_model(Located("tiny", tiny_llama, "tiny")), context=256)
    return Storyteller(engine, Template.load(tiny_llama), name="tiny")


def scripted(folder: Path, script: str, context: int = 1024) -> Storyteller:
    tokenizer = StoryTokenizer.load(folder)
    return Storyteller(ScriptedEngine(tokenizer, script, context), Template.load(folder, tokenizer))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_same_seed_tells_the_same_story(teller: Storyteller, language: str) -> None:
    one, two, other = (teller.tell(PROMPTS[language], seed=seed, max_tokens=60) for seed in (7, 7, 8))
    assert one.text == two.text != other.text
    assert (one.language, one.seed, one.model, one.engine) == (language, 7, "tiny", "torch")


def test_a_drawn_seed_is_reported_and_repeats(teller: Storyteller) -> None:
    first = teller.tell(PROMPTS["en"], max_tokens=40)
    assert teller.tell(PROMPTS["en"], max_tokens=40, seed=first.seed).text == first.text


def test_tokens_make_up_the_text_and_bring_their_probabilities(teller: Storyteller) -> None:
    writing = teller.write(PROMPTS["en"], seed=1, max_tokens=40, alternatives=3)
    tokens = list(writing)
    assert "".join(token.text for token in tokens).rstrip() == writing.told().text
    assert all(token.logprob <= 0 and len(token.alternatives) == 3 for token in tokens)
    assert tokens[0].alternatives[0].probability >= tokens[0].alternatives[1].probability


class Silent(ScriptedEngine):
    """A model that wants one id above all, and its script next."""

    def __init__(self, tokenizer: StoryTokenizer, script: str, loved: int) -> None:
        super().__init__(tokenizer, script, 256)
        self._loved = loved

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        logits = super().feed(ids).copy()
        logits[self._loved] = logits.max() + 5
        return logits


@pytest.mark.parametrize("task", ["write", "continue"])
@pytest.mark.parametrize("loved", ["\n", "the end"])
def test_no_story_is_empty(tiny_llama: Path, task: Literal["write", "continue"], loved: str) -> None:
    template = Template.load(tiny_llama)
    tokenizer = template.tokenizer
    (mark,) = tokenizer.encode(loved) if loved == "\n" else sorted(tokenizer.stop_ids)[:1]
    silent = Storyteller(Silent(tokenizer, "The seal swam.", mark), template)
    before = "There was a seal." if task == "continue" else None
    request = Request(task=task, about="A seal" if task == "write" else None, before=before)
    story = silent.tell(request, temperature=0, dry=False, max_tokens=40)
    assert story.text.strip()
    assert story.doubt != "empty"


@pytest.mark.parametrize(("language", "sentence"), [("en", "The seal swam on. "), ("zh", "海豹游着。")])
def test_a_story_goes_on_beyond_the_context(tiny_llama: Path, language: str, sentence: str) -> None:
    teller = scripted(tiny_llama, sentence * 200, context=256)
    story = teller.tell(PROMPTS[language], words=400, temperature=0, dry=False)
    assert 360 <= story.words <= 520
    assert story.tokens > 256
    assert story.text == (sentence * 200)[: len(story.text)]


def test_a_model_goes_on_beyond_its_context(teller: Storyteller) -> None:
    assert teller.tell(PROMPTS["en"], seed=3, words=600, max_tokens=700).tokens > 300


def test_the_window_keeps_the_conditions_and_whole_sentences(tiny_llama: Path) -> None:
    teller = scripted(tiny_llama, "x")
    request = Request(about="A seal.", characters=(Character("Mara", "a keeper"),))
    writing = teller.write(request)
    text = teller.tokenizer.decode(writing._window("The seal swam. " * 200))
    assert "Mara (a keeper)" in text
    assert "Continue this" in text
    assert "far:\nThe seal swam. The seal" in text


def test_a_long_story_so_far_is_read_from_its_last_part(tiny_llama: Path) -> None:
    teller = scripted(tiny_llama, "She left.", context=256)
    story = teller.tell(Request(task="continue", before="The seal swam. " * 300 + "She slept."), temperature=0)
    assert story.text == " She left."  # joined to what stands before it
    opened = Request(about="A seal.", opening="The seal swam. " * 300 + "She slept.")
    story = scripted(tiny_llama, "She left.", context=256).tell(opened, temperature=0)
    assert story.text == f"{opened.opening} She left."


def test_a_prompt_longer_than_the_context_is_an_error_with_numbers(teller: Storyteller) -> None:
    with pytest.raises(GenerationError, match=r"\d+ tokens long and the model reads 256"):
        teller.write("a very long prompt " * 100)


def test_the_opening_is_forced(tiny_llama: Path) -> None:
    story = scripted(tiny_llama, " in the sea.").tell(
        Request(about="A seal", opening="There was a seal"), temperature=0
    )
    assert story.text == "There was a seal in the sea."


def test_text_of_several_bytes_a_character_is_never_halved(tiny_llama: Path) -> None:
    text = "She said 🌊鲸 and wept — é."
    tokens = list(scripted(tiny_llama, text).write("A seal", temperature=0))
    assert "".join(token.text for token in tokens) == text
    assert not any("\ufffd" in token.text for token in tokens)


def test_a_cancelled_story_is_kept(teller: Storyteller) -> None:
    writing = teller.write(PROMPTS["en"], seed=1)
    shown = [next(writing).text for _ in range(20)]
    told = writing.told()
    assert (told.text, told.finish_reason) == ("".join(shown).rstrip(), "cancelled")


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        (" ", {}, "empty"),
        ("seal", {"language": "fr"}, "en, zh"),
        ("seal", {"form": "opera"}, "screenplay"),
        ("seal", {"words": 0}, "1 or more"),
        ("seal", {"temperature": -1.0}, "temperature"),
        ("seal", {"seed": -1}, "seed"),
    ],
)
def test_mistakes_are_named(teller: Storyteller, prompt: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        teller.write(prompt, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"prompt": "从前有一只海豹"}, {"prompt": "seal", "language": "zh"}])
def test_a_model_that_knows_no_chinese_says_which_one_does(tiny_llama: Path, options: dict[str, str]) -> None:
    engine = TorchEngine(load_model(Located("tiny", tiny_llama, "tiny")))
    english = Storyteller(engine, Template.load(tiny_llama), languages=("en",))
    with pytest.raises(GenerationError, match="models pull gemma3-270m"):
        english.write(**options)  # type: ignore[arg-type]
