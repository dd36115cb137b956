from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.generate.scripted import ScriptedEngine

from storyteller.corpus.records import shape_of
from storyteller.ensemble import tell_examples
from storyteller.errors import GenerationError
from storyteller.generate import Storyteller
from storyteller.tokens import Request, StoryTokenizer, Template


def teller(folder: Path, text: str) -> Storyteller:
    tokenizer = StoryTokenizer.load(folder)
    return Storyteller(ScriptedEngine(tokenizer, text), Template.for_tokenizer(tokenizer), name="teacher")


def test_the_best_stories_become_examples_that_the_corpus_reads(tiny_llama: Path, tmp_path: Path) -> None:
    teacher = teller(tiny_llama, "Mara met a seal. It sang to her. She went home.")
    requests = [Request(about="A seal."), Request(about="A clock.")]
    assert tell_examples(teacher, requests, tmp_path / "told.jsonl", drafts=2, temperature=0) == 2
    rows = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == ["A seal.", "A clock."]
    assert "Mara" in rows[0]["completion"]
    assert {shape_of(row) for row in rows} == {"prompt and completion"}  # what `storyteller prepare` takes


def test_what_is_hardly_a_story_is_left_out(tiny_llama: Path, tmp_path: Path) -> None:
    lists = teller(tiny_llama, "1. one\n2. two\n3. three\n4. four\n5. five")
    with pytest.raises(GenerationError, match="no story that could be learnt"):
        tell_examples(lists, [Request(about="x")], tmp_path / "told.jsonl", drafts=2, temperature=0)
    assert not (tmp_path / "told.jsonl").exists()
