from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.generate.scripted import ScriptedEngine

from storyteller.corpus.records import shape_of
from storyteller.ensemble import tell_examples
from storyteller.ensemble.ranking import asked_length
from storyteller.errors import DataError, GenerationError
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
    assert not list(tmp_path.iterdir())


def stopping(teacher: Storyteller, after: int) -> list[int]:
    """Have the teacher stop as with Ctrl-C after so many stories; what comes back fills with the seeds it was asked for."""
    tell_many, seeds = teacher.tell_many, []

    def told(*arguments: Any, **options: Any) -> Iterator[Any]:
        seeds.extend(options["seeds"])
        for number, story in enumerate(tell_many(*arguments, **options), 1):
            yield story
            if number == after:
                raise KeyboardInterrupt

    teacher.tell_many = told  # type: ignore[method-assign]
    return seeds


def test_the_same_call_goes_on_where_it_was_stopped(tiny_llama: Path, tmp_path: Path) -> None:
    text, path = "Mara met a seal. It sang to her. She went home.", tmp_path / "told.jsonl"
    requests = [Request(about=about) for about in ("A seal.", "A clock.", "A pier.")]
    teacher = teller(tiny_llama, text)
    stopping(teacher, after=3)
    with pytest.raises(KeyboardInterrupt):
        tell_examples(teacher, requests, path, drafts=2, seed=5, temperature=0)
    assert not path.exists()
    others: list[dict[str, Any]] = [{"seed": 6}, {"weights": "trained on"}, {"scorers": {"length": asked_length}}]
    for other in others:
        with pytest.raises(DataError, match=r"told\.jsonl\.part holds examples of another"):
            tell_examples(teacher, requests, path, temperature=0, **{"drafts": 2, "seed": 5, **other})
    again = teller(tiny_llama, text)
    seeds = stopping(again, after=99)
    assert tell_examples(again, requests, path, drafts=2, seed=5, temperature=0) == 3
    assert seeds == [7, 8, 9, 10]  # the first request has its answer
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == ["A seal.", "A clock.", "A pier."]
    assert list(tmp_path.iterdir()) == [path]


def test_why_nothing_was_told_is_said(tiny_llama: Path, tmp_path: Path) -> None:
    """Requests that no model of this kind answers are no doubtful answers, and are asked again by the same call."""
    teacher = teller(tiny_llama, "Mara met a seal. It sang to her. She went home.")
    teacher.languages = ("en",)
    requests = [Request(about="海豹", language="zh"), Request(about="钟", language="zh")]
    with pytest.raises(GenerationError, match="does not write in 'zh'"):
        tell_examples(teacher, requests, tmp_path / "told.jsonl", drafts=2, temperature=0)
    assert not list(tmp_path.iterdir())


def test_another_temperature_is_another_call(tiny_llama: Path, tmp_path: Path) -> None:
    requests, out = [Request(about="A seal."), Request(about="A clock.")], tmp_path / "told.jsonl"
    teacher = teller(tiny_llama, "Mara met a seal. It sang to her. She went home.")
    stopping(teacher, 3)
    with pytest.raises(KeyboardInterrupt):
        tell_examples(teacher, requests, out, drafts=2, temperature=0.5)
    again = teller(tiny_llama, "Mara met a seal. It sang to her. She went home.")
    with pytest.raises(DataError, match="another teacher, or of other"):
        tell_examples(again, requests, out, drafts=2, temperature=1.0)
    assert tell_examples(again, requests, out, drafts=2, temperature=0.5) == 2
