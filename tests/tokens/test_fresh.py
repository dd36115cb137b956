"""Trained tokenizers: any text survives them, Chinese characters stay whole, and transformers reads the folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.stories import LAMP, SEAL, story, write_corpus

from storyteller.errors import DataError, ModelError
from storyteller.recipe.pretraining import TokenizerRecipe
from storyteller.tokens import Request, StoryTokenizer, Template
from storyteller.tokens.controls import CONTROL_TOKENS, END, mask_id_of
from storyteller.tokens.fresh import train_tokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stories = [story(SEAL, "a"), story(LAMP, "b", "zh"), story(SEAL.upper(), "c"), story(LAMP * 2, "d", "zh")]
    return write_corpus(tmp_path_factory.mktemp("corpus"), stories)


@pytest.fixture(params=["bytes", "characters"], scope="module")
def trained(request: pytest.FixtureRequest, corpus: Path) -> StoryTokenizer:
    return StoryTokenizer.load(train_tokenizer(corpus, TokenizerRecipe(kind=request.param, vocabulary=400)))


@settings(max_examples=200)
@given(text=st.text() | st.sampled_from([SEAL, LAMP, "▁ ’s 1234😀\r\n\t  x", *CONTROL_TOKENS]))
def test_any_text_survives(trained: StoryTokenizer, text: str) -> None:
    ids = trained.encode(text)
    assert trained.decode(ids) == text
    assert b"".join(map(trained.token_bytes, ids)) == text.encode()
    assert not any(map(trained.is_special, ids))


def test_what_is_trained_fits_the_template(trained: StoryTokenizer) -> None:
    assert [trained.id_of(token) for token in CONTROL_TOKENS] == list(range(len(CONTROL_TOKENS)))
    template = Template.for_tokenizer(trained)
    template.check()
    fable, play = (template.prompt(Request(form=form, about="A seal.")) for form in ("fable", "play"))  # type: ignore[arg-type]
    assert (template.kind, trained.stop_ids, fable[0]) == ("forms", (trained.id_of(END),), trained.id_of(END))
    assert fable[1] == trained.id_of("<|fable|>") != play[1]


def test_transformers_reads_the_folder(corpus: Path) -> None:
    from transformers import AutoTokenizer

    folder = train_tokenizer(corpus, TokenizerRecipe(vocabulary=400), masked=True)
    theirs, ours = AutoTokenizer.from_pretrained(folder), StoryTokenizer.load(folder)
    text = SEAL[:200] + LAMP[:80]
    assert theirs(text, add_special_tokens=False)["input_ids"] == ours.encode(text)
    assert theirs(text)["input_ids"] == [0, *ours.encode(text), 0]
    assert (theirs.mask_token_id, theirs.eos_token_id, theirs.pad_token_id) == (mask_id_of(ours), 0, 0)
    assert theirs.decode(ours.encode(text)) == text


def test_no_merge_reaches_over_a_chinese_word(tmp_path: Path) -> None:
    # The characters on both sides of the seam are the commonest pair of all, but of two words.
    texts = ["海豹说，海豹说，海豹说，海豹说，" * 20, "狐狸说，老人说，孩子说，" * 20]
    corpus = write_corpus(tmp_path, [story(text, str(number), "zh") for number, text in enumerate(texts)])
    tokenizer = StoryTokenizer.load(train_tokenizer(corpus, TokenizerRecipe(vocabulary=288)))
    shown = [tokenizer.decode([index]) for index in tokenizer.encode("海豹说，老人说，")]
    assert shown == ["海豹", "说", "，", "老人", "说", "，"]


def test_what_lies_late_in_a_large_corpus_is_learned_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    english = [story(SEAL * 8, f"e{number}") for number in range(6)]
    corpus = write_corpus(tmp_path, [*english, *(story(LAMP * 8, f"z{number}", "zh") for number in range(6))])
    monkeypatch.setattr("storyteller.tokens.fresh._CHARACTERS", sum(len(told.text) for told in english))
    tokenizer = StoryTokenizer.load(train_tokenizer(corpus, TokenizerRecipe(vocabulary=400)))
    assert len(tokenizer.encode(LAMP)) < 2 * len(LAMP)
    assert len(tokenizer.encode(SEAL)) < len(SEAL) / 1.5


def test_a_tokenizer_is_trained_once(corpus: Path) -> None:
    first = train_tokenizer(corpus, TokenizerRecipe(vocabulary=400))
    before = (first / "tokenizer.json").stat().st_mtime_ns
    assert train_tokenizer(corpus, TokenizerRecipe(vocabulary=400)) == first
    assert (first / "tokenizer.json").stat().st_mtime_ns == before
    assert train_tokenizer(corpus, TokenizerRecipe(vocabulary=380)) != first


def test_too_large_a_vocabulary_is_refused(corpus: Path) -> None:
    with pytest.raises(DataError, match=r"train split gives [\d,]+ tokens, and .*vocabulary asks for 8,192"):
        train_tokenizer(corpus, TokenizerRecipe())
    with pytest.raises(DataError, match="storyteller prepare"):
        train_tokenizer(corpus / "nowhere", TokenizerRecipe())


def test_a_tokenizer_without_a_mask_masks_nothing(tokenizer: StoryTokenizer) -> None:
    with pytest.raises(ModelError, match="no mask token"):
        mask_id_of(tokenizer)
