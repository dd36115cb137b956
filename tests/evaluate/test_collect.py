"""Collecting: every text once, kept when the process is killed, and never mixed with other prompts or weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.evaluate.passages import prompts
from tests.tiny import tiny_model

from storyteller.errors import DataError
from storyteller.evaluate.collect import collect
from storyteller.evaluate.texts import HUMAN, read_texts


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


def written(model, out, **options):
    return collect([model], prompts(3, words=10), out, engine="torch", **options)


def test_every_system_answers_every_prompt_at_every_temperature_with_every_seed(model, tmp_path):
    texts = written(model, tmp_path, temperatures=(0.5, 1.0), seeds=(1, 2))
    people = [text for text in texts if text.system == HUMAN]
    assert [text.text for text in people] == [prompt.reference for prompt in prompts(3, words=10)]
    answers = {(text.temperature, text.seed, text.prompt_id) for text in texts if text.system == model}
    assert len(answers) == 12 == len(texts) - 3
    assert sorted(map(repr, read_texts(tmp_path / "texts.jsonl"))) == sorted(map(repr, texts))


def test_a_collection_that_was_killed_goes_on(model, tmp_path):
    whole = written(model, tmp_path / "whole")
    path = tmp_path / "cut" / "texts.jsonl"
    written(model, tmp_path / "cut")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:30])  # killed in the middle of a line
    again = written(model, tmp_path / "cut")
    assert [text.text for text in again] == [text.text for text in whole]
    assert path.read_bytes().count(b"\n") == 6


def test_only_what_is_missing_is_written(model, tmp_path, capsys):
    first = written(model, tmp_path)
    capsys.readouterr()
    assert written(model, tmp_path) == first
    assert "writing" not in capsys.readouterr().err
    more = written(model, tmp_path, seeds=(1, 2))
    assert [text for text in more if text.seed != 2] == first
    assert written(model, tmp_path, seeds=(1, 2, 1), temperatures=(0.8, 0.8)) == more


def test_other_prompts_and_other_weights_are_refused(model, tmp_path):
    written(model, tmp_path / "out")
    with pytest.raises(DataError, match="other prompts"):
        collect([model], prompts(4, words=10), tmp_path / "out", engine="torch")
    changed = tiny_model(tmp_path / "model", seed=1)
    collect([str(changed)], prompts(3, words=10), tmp_path / "two", engine="torch")
    tiny_model(tmp_path / "model", seed=2)
    with pytest.raises(DataError, match="other weights"):
        collect([str(changed)], prompts(3, words=10), tmp_path / "two", engine="torch")


def test_a_prompt_that_does_not_fit_is_left_out_and_said(model, tmp_path, capsys):
    asked = prompts(3, words=10)
    long = replace(asked[0], request=replace(asked[0].request, task="write", before=None, about="seal " * 3000))
    texts = collect([model], [long, *asked[1:]], tmp_path, engine="torch")
    assert len(texts) == 3 + 2
    assert "1 of 3 texts could not be written" in capsys.readouterr().err


def test_names_are_names(model, tmp_path):
    with pytest.raises(DataError, match="named once"):
        collect([model, model], prompts(3, words=10), tmp_path)
    with pytest.raises(DataError, match="none is called 'human'"):
        collect(["human"], prompts(3, words=10), tmp_path)


def test_an_ensemble_answers_like_any_model_and_tells_its_tokens(tiny_llama, tmp_path):
    from tests.adapters import tiny_ensemble

    folder = str(tiny_ensemble(tiny_llama, tmp_path / "mix"))
    texts = collect([folder], prompts(3, words=10), tmp_path / "out", engine="torch", rows=2, max_tokens=12)
    told = [text for text in texts if text.system == folder]
    assert len(told) == 3
    assert all(text.text and 0 < text.tokens <= 12 for text in told)
    again = collect([folder], prompts(3, words=10), tmp_path / "one", engine="torch", rows=1, max_tokens=12)
    assert [text.text for text in again] == [text.text for text in texts]
    assert read_texts(tmp_path / "out" / "texts.jsonl")[3].tokens is not None
