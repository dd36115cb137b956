"""The pseudo-likelihood against a model whose answers are known."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.tokens.stories import LAMP, SEAL, story, write_corpus
from torch import Tensor

from storyteller.evaluate.masked import pseudo_costs
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
