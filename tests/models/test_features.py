from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.tiny import tiny_model

from storyteller.errors import DataError
from storyteller.models import locate
from storyteller.models.features import Passage, Reader, sentence_passage
from storyteller.models.load import load_model
from storyteller.tokens import StoryTokenizer

EN = ["The keeper saw a seal. ", "It told him a story of the moon.\n", "He slept."]
ZH = ["守塔人看见一只海豹。", "海豹给他讲了月亮的故事。"]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def reader(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Reader:
    folder: Path = tiny_model(tmp_path_factory.mktemp("model"), architecture=request.param)
    return Reader(load_model(locate(folder)), StoryTokenizer.load(folder), layers=(1, 2))


@pytest.mark.parametrize("sentences", [EN, ZH])
def test_a_passage_is_the_text_with_its_sentence_ends(reader: Reader, sentences: list[str]) -> None:
    passage = sentence_passage(reader.tokenizer, sentences)
    assert reader.tokenizer.decode(passage.ids) == "".join(sentences)
    assert passage.ends[-1] == len(passage.ids)
    assert reader.tokenizer.decode(passage.ids[: passage.ends[0]]) == sentences[0].rstrip()


def test_readings_agree_with_one_text_at_a_time(reader: Reader) -> None:
    passages = [sentence_passage(reader.tokenizer, s) for s in (EN, ZH, EN[:1], EN * 4)]
    readings = dict(reader.read(passages))
    assert sorted(readings) == [0, 1, 2, 3]
    for index, passage in enumerate(passages):
        ids = torch.tensor([[*passage.prefix, *passage.ids]])
        with torch.inference_mode():
            output = reader.model(input_ids=ids, labels=ids, output_hidden_states=True)
        reading = readings[index]
        assert reading.hidden.shape == (2, len(passage.ids), 64)
        torch.testing.assert_close(reading.hidden[0], output.hidden_states[1][0, 1:], atol=1e-4, rtol=1e-4)
        assert -float(reading.log_likelihoods.mean()) == pytest.approx(float(output.loss), abs=1e-4)


def test_a_prefix_is_context_without_likelihood(reader: Reader) -> None:
    prompt = reader.tokenizer.encode("Tell me of the sea.")
    alone, asked = (sentence_passage(reader.tokenizer, EN[:1], prefix) for prefix in ((), prompt))
    (_, first), (_, second) = sorted(reader.read([alone, asked]))
    assert first.ids == second.ids
    assert first.log_likelihoods.shape == second.log_likelihoods.shape
    assert not torch.allclose(first.log_likelihoods, second.log_likelihoods)


def test_the_state_of_a_prefix_does_not_know_what_follows(reader: Reader) -> None:
    short, long = (sentence_passage(reader.tokenizer, s) for s in (EN[:1], EN))
    readings = dict(reader.read([short, long]))
    end = short.ends[0]
    torch.testing.assert_close(readings[0].hidden[:, -1], readings[1].hidden[:, end - 1], atol=1e-4, rtol=1e-4)


def test_what_does_not_fit_is_counted(reader: Reader) -> None:
    passage = sentence_passage(reader.tokenizer, EN)
    ((_, reading),) = reader.read([passage], most=11)
    assert len(reading.ids) == 10
    assert reading.unread == len(passage.ids) - 10
    assert reading.ends[-1] == 10


def test_without_likelihoods_the_states_are_the_same(reader: Reader) -> None:
    passage = sentence_passage(reader.tokenizer, EN)
    bare = Reader(reader.model, reader.tokenizer, reader.layers, likelihoods=False)
    ((_, reading),), ((_, full),) = bare.read([passage]), reader.read([passage])
    assert reading.log_likelihoods.numel() == 0
    assert torch.equal(reading.hidden, full.hidden)


def test_bad_input_is_named(reader: Reader) -> None:
    with pytest.raises(DataError, match="empty"):
        sentence_passage(reader.tokenizer, [])
    with pytest.raises(DataError, match="hidden states 0 to 2"):
        Reader(reader.model, reader.tokenizer, layers=(3,))
    assert list(reader.read([])) == []
    assert Passage([1], [1], [0]).ids == [1]
