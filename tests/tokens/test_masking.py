"""Masking: whole words in both languages, the asked share, 80/10/10, and the same at the same place of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.stories import LAMP, SEAL, long_story, story, write_corpus

from storyteller.errors import DataError
from storyteller.recipe import DataRecipe
from storyteller.recipe.pretraining import TokenizerRecipe
from storyteller.tokens import StoryTokenizer, Template, tokenize
from storyteller.tokens.documents import DocumentSettings
from storyteller.tokens.fresh import train_tokenizer
from storyteller.tokens.masking import MaskedShards, Masking, mask_row
from storyteller.tokens.words import token_starts, word_spans

VOCABULARY = 50
ORDINARY = np.arange(VOCABULARY) >= 3
MASK = 1


def masking(share: float, whole_words: bool = True) -> Masking:
    return Masking(share, whole_words, MASK, ORDINARY, np.ones(VOCABULARY, np.int64))


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    words = draw(st.lists(st.integers(1, 4), min_size=1, max_size=40))
    ids = np.array(draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=sum(words), max_size=sum(words))))
    starts = np.zeros(len(ids), np.bool_)
    starts[np.cumsum([0, *words[:-1]])] = True
    return ids, starts


@settings(max_examples=200)
@given(row=rows(), share=st.sampled_from([0.15, 0.3, 0.5]), seed=st.integers(0, 99), whole=st.booleans())
def test_what_is_hidden(row: tuple[np.ndarray, np.ndarray], share: float, seed: int, whole: bool) -> None:
    ids, starts = row
    seen, hidden = mask_row(ids, starts, masking(share, whole), np.random.default_rng(seed))
    again = mask_row(ids, starts, masking(share, whole), np.random.default_rng(seed))
    assert np.array_equal(seen, again[0])
    assert np.array_equal(hidden, again[1])
    able = ORDINARY[ids]
    assert not (hidden & ~able).any()
    assert np.array_equal(seen[~hidden], ids[~hidden])
    assert set(seen[hidden].tolist()) <= {MASK, *np.flatnonzero(ORDINARY).tolist()}
    if able.any():
        assert hidden.any()
        # The last word taken may overshoot by half of its length, and one word is always taken.
        assert hidden.sum() <= max(share * able.sum() + (2 if whole else 0.5), 4 if whole else 1)
    if whole:
        for word in np.split(np.arange(len(ids)), np.flatnonzero(starts)[1:]):
            inside = hidden[word][able[word]]
            assert inside.all() or not inside.any()
            masked = (seen[word] == MASK) & able[word]
            assert masked.sum() in (0, able[word].sum())


@pytest.mark.parametrize("share", [0.15, 0.3])
def test_the_shares_are_those_asked_for(share: float) -> None:
    chance = np.random.default_rng(1)
    counts = np.zeros(4)
    for _ in range(400):
        ids = chance.integers(3, VOCABULARY, 256)
        starts = chance.random(256) < 0.6
        starts[0] = True
        seen, hidden = mask_row(ids, starts, masking(share), chance)
        counts += [hidden.sum(), (seen[hidden] == MASK).sum(), (seen[hidden] == ids[hidden]).sum(), 256]
    assert counts[0] / counts[3] == pytest.approx(share, abs=0.005)
    assert counts[1] / counts[0] == pytest.approx(0.8, abs=0.02)
    # Another token is by chance the same one time in 47.
    assert counts[2] / counts[0] == pytest.approx(0.1 + 0.1 / 47, abs=0.015)


@given(text=st.text(alphabet="ab 海豹说从前。,'’\n1", max_size=40))
def test_words_are_gapless(text: str) -> None:
    assert "".join(text[start:end] for start, end in word_spans(text)) == text


def test_words_of_both_languages() -> None:
    def words(text: str) -> list[str]:
        return [text[start:end] for start, end in word_spans(text)]

    assert words("The keeper’s lamp, out.") == ["The", " keeper’s", " lamp", ",", " out", "."]
    assert words("守塔人对海豹说：好。") == ["守塔人", "对", "海豹", "说", "：", "好", "。"]


def test_tokens_that_share_a_word_stay_together() -> None:
    # "keeper" in three tokens; 海豹 in five parts of bytes, of which some have the place of the same character.
    assert token_starts("a keeper", [(0, 1), (1, 4), (4, 6), (6, 8)]).tolist() == [True, True, False, False]
    assert (
        token_starts("对海豹", [(0, 1), (1, 2), (1, 2), (2, 3), (2, 3), (2, 3)]).tolist() == [True, True] + [False] * 4
    )
    # A token over two words joins them.
    assert token_starts("对海豹", [(0, 2), (2, 3)]).tolist() == [True, False]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = [long_story(f"en{i}", 3 + i) for i in range(6)] + [long_story(f"zh{i}", 3 + i, "zh") for i in range(4)]
    return write_corpus(tmp_path_factory.mktemp("corpus"), train, [story(SEAL, "d"), story(LAMP, "e", "zh")])


@pytest.fixture(scope="module")
def template(corpus: Path) -> Template:
    tokenizer = StoryTokenizer.load(train_tokenizer(corpus, TokenizerRecipe(vocabulary=360), masked=True))
    return Template.for_tokenizer(tokenizer)


@pytest.fixture(scope="module")
def shards(corpus: Path, template: Template) -> MaskedShards:
    made = tokenize(
        corpus, None, template.tokenizer, DataRecipe(context=64), template=template,
        documents=DocumentSettings(prompted=0.0, masked=True),
    )  # fmt: skip
    return MaskedShards(made, Masking.of(template, 0.3, whole_words=True))


def test_batches_are_masked_the_same_wherever_a_run_resumes(shards: MaskedShards) -> None:
    whole = shards.batch(1, 3, rows=4, context=64)
    again = shards.batch(1, 3, rows=4, context=64)
    assert np.array_equal(whole.input_ids, again.input_ids)
    # Rows 12 to 15 of the stream, as two processes see them.
    for rank in (0, 1):
        part = shards.batch(1, 3, rows=2, context=64, rank=rank, world=2)
        assert np.array_equal(part.input_ids, whole.input_ids[rank::2])
        assert np.array_equal(part.labels, whole.labels[rank::2])
    plain = super(MaskedShards, shards)._stack("train", [[0]], 64, [(0,)])
    assert (plain.input_ids[0, 0], plain.segment_ids[0, 0]) == (0, 1)
    fixed = [[b.input_ids.tolist() for b in shards.rows(64, 2)] for _ in range(2)]
    assert fixed[0] == fixed[1]


def test_a_row_comes_masked_otherwise_in_the_next_epoch(shards: MaskedShards) -> None:
    steps = shards.steps_per_epoch(1, 64, seed=1)
    seen = [shards.batch(1, step, rows=1, context=64) for step in range(2 * steps)]
    shown: dict[bytes, set[bytes]] = {}
    for batch in seen:
        original = np.where(batch.labels >= 0, batch.labels, batch.input_ids)
        shown.setdefault(original.tobytes(), set()).add(batch.labels.tobytes())
    assert any(len(masks) > 1 for masks in shown.values())


def test_hidden_words_are_whole_in_both_languages(shards: MaskedShards, template: Template) -> None:
    tokenizer = template.tokenizer
    words = 0
    for step in range(20):
        batch = shards.batch(1, step, rows=2, context=64)
        assert batch.targets == (batch.labels >= 0).sum()
        for inputs, labels, segments in zip(batch.input_ids, batch.labels, batch.segment_ids, strict=True):
            original = np.where(labels >= 0, labels, inputs)
            for segment in range(1, int(segments.max()) + 1):
                at = np.flatnonzero(segments == segment)[1:-1]
                text = tokenizer.decode(original[at].tolist())
                ((ids, places),) = tokenizer.encode_places([text])
                if ids != original[at].tolist():
                    continue  # a piece cut within a word is tokenized otherwise
                groups = np.cumsum(token_starts(text, places))
                for group in range(1, groups[-1] + 1):
                    inside = labels[at][groups == group] >= 0
                    assert inside.all() or not inside.any()
                    words += bool(inside.all()) and len(inside) > 1
    assert words > 50  # words of several tokens were hidden, and wholly


def test_shards_of_examples_know_no_words(corpus: Path, template: Template) -> None:
    plain = tokenize(corpus, None, template.tokenizer, DataRecipe(context=64), template=template)
    masked = MaskedShards(plain, Masking.of(template, 0.3, whole_words=True))
    with pytest.raises(DataError, match=r"words\.bin is missing"):
        masked.batch(1, 0, rows=1, context=64)
