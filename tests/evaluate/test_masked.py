"""The pseudo-likelihood against a model whose answers are known."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from tests.tokens.stories import LAMP, SEAL, story, write_corpus
from torch import Tensor

from storyteller.evaluate.masked import pseudo_costs
from storyteller.models.masked import Filler, logits_at
from storyteller.recipe.pretraining import TokenizerRecipe
from storyteller.tokens import StoryTokenizer
from storyteller.tokens.fresh import train_tokenizer
from storyteller.tokens.words import token_starts


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> StoryTokenizer:
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"), [story(SEAL, "a"), story(LAMP, "b", "zh")])
    return StoryTokenizer.load(train_tokenizer(corpus, TokenizerRecipe(vocabulary=290), masked=True))


class Copying:
    """Says of every place what it sees there: right where nothing is hidden, else that it is the mask."""

    device = torch.device("cpu")

    def __init__(self, vocabulary: int, positions: int) -> None:
        self.config = SimpleNamespace(max_position_embeddings=positions)
        self.vocabulary = vocabulary
        self.seen: list[Tensor] = []

    def model(self, input_ids: Tensor) -> Any:
        self.seen.append(input_ids)
        return SimpleNamespace(last_hidden_state=torch.nn.functional.one_hot(input_ids, self.vocabulary).float())

    def head(self, hidden: Tensor) -> Tensor:
        return hidden

    def decoder(self, hidden: Tensor) -> Tensor:
        return hidden * 0


@pytest.mark.parametrize("kind", ["Bert", "Roberta", "ModernBert"])
def test_any_kind_of_masked_model_fills_blanks(tokenizer: StoryTokenizer, kind: str) -> None:
    """Their parts have other names; what they say at a place is the same as with all logits made."""
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=tokenizer.vocabulary_size, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=0, eos_token_id=0,
        cls_token_id=0, sep_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        model = getattr(transformers, f"{kind}ForMaskedLM")(config).eval()
    rows = torch.tensor([tokenizer.encode("Mara saw")[:5], tokenizer.encode("海豹")[:5]])
    with torch.inference_mode():
        assert torch.allclose(
            logits_at(model, rows, torch.tensor([1, 3])), model(input_ids=rows).logits[[0, 1], [1, 3]], atol=1e-5
        )
    filler = Filler(model, tokenizer)
    assert [len(filler.fill(text)) for text in ("Mara saw a ___.", "海豹想要[空]。")] == [1, 1]


@pytest.mark.parametrize("positions", [12, 512])
def test_each_token_is_hidden_once_with_the_rest_of_its_word(tokenizer: StoryTokenizer, positions: int) -> None:
    text = "Mara carried the lantern. 海豹想要那盏灯笼。"
    model = Copying(tokenizer.vocabulary_size, positions)
    (cost,) = pseudo_costs(model, tokenizer, [text])
    ((ids, places),) = tokenizer.encode_places([text])
    assert (cost.tokens, cost.bytes) == (len(ids), len(text.encode()))
    assert cost.nats == pytest.approx(len(ids) * math.log(tokenizer.vocabulary_size), rel=1e-5)
    rows = [row for batch in model.seen for row in batch.tolist()]
    assert len(rows) == len(ids)
    starts = token_starts(text, places).tolist()
    for token, row in enumerate(rows):
        first = token - token % (positions - 2)
        hidden = [first + place - 1 for place, index in enumerate(row) if index == 1]
        assert hidden[0] == token
        assert not any(starts[place] for place in hidden[1:])
        after = hidden[-1] + 1
        assert after == min(len(ids), first + positions - 2) or starts[after]


def test_only_the_beginning_can_be_measured(tokenizer: StoryTokenizer, tmp_path: Path) -> None:
    (cost,) = pseudo_costs(Copying(tokenizer.vocabulary_size, 64), tokenizer, [SEAL], max_tokens=7)
    assert cost.tokens == 7
    assert cost.bytes == len(tokenizer.decode(tokenizer.encode(SEAL)[:7]).encode())


class Piecemeal(Copying):
    """Says at a mask what it is told to, by the number of masks that are left in the row."""

    def __init__(self, tokenizer: StoryTokenizer, told: dict[int, list[str]]) -> None:
        super().__init__(tokenizer.vocabulary_size, 64)
        self.training = False
        self.wanted = {masks: [tokenizer.encode(text)[0] for text in texts] for masks, texts in told.items()}

    def eval(self) -> None: ...

    def train(self, mode: bool) -> None: ...

    def model(self, input_ids: Tensor) -> Any:
        logits = torch.zeros(*input_ids.shape, self.vocabulary)
        for row, ids in enumerate(input_ids):
            for place, index in enumerate(self.wanted.get(int(ids.eq(1).sum()), [])):
                logits[row, :, index] = 9.0 - place
        return SimpleNamespace(last_hidden_state=logits)

    def decoder(self, hidden: Tensor) -> Tensor:
        return hidden


def test_a_piece_fills_no_blank(tokenizer: StoryTokenizer) -> None:
    """A model that likes the beginning of a word best puts in the next best whole word, or all of the word."""
    beginning = tokenizer.decode(tokenizer.encode(" lantern")[:1])
    assert beginning != " lantern"
    words = {"lantern": 5, "a": 10, "seal": 7}
    model = Piecemeal(tokenizer, {1: [beginning, " a"]})
    filler = Filler(model, tokenizer, words=words, longest=9)
    found = filler.between("Mara carried ", " away.")
    assert {fill.text for fill in found} <= words.keys()
    assert found[0].text == "a"
    assert Filler(model, tokenizer, longest=1).between("Mara carried ", " away.")[0].text == beginning.strip()


def test_the_lengths_of_words_are_weighed_as_in_the_corpus(tokenizer: StoryTokenizer) -> None:
    """Of a model that knows nothing remains the share of words of so many tokens."""
    words = {"a": 2, "seal": 98}
    lengths = [len(tokenizer.encode(f" {word}")) for word in words]
    length = lengths[1]
    assert lengths[0] == 1 < length
    filler = Filler(Piecemeal(tokenizer, {}), tokenizer, words=words, longest=length)
    found = {fill.text: fill.probability for fill in filler.between("The ", " sang.")}
    vocabulary = tokenizer.vocabulary_size
    assert found["seal"] == pytest.approx(0.98 / vocabulary**length, rel=1e-4)
    assert found["a"] == pytest.approx(0.02 / vocabulary, rel=1e-4)
