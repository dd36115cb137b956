"""The stories suite from a folder of a corpus to its findings."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tests.evaluate.passages import people, stories

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate import stories as suite
from storyteller.evaluate.suite import lay_out
from storyteller.evaluate.suite.degeneration import measure_degeneration
from storyteller.evaluate.texts import Text, write_texts


@pytest.mark.parametrize("asked", [("zh",), ("en", "zh"), ("en",)])
def test_one_language_of_a_corpus_leaves_room_for_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[Language, ...]
) -> None:
    corpus = [replace(story, work=story.id) for language in ("en", "zh") for story in stories(language)]
    monkeypatch.setattr(suite, "read_split", lambda *_: iter(corpus))
    monkeypatch.setattr(suite, "MOST_BACKGROUND", 5000)
    texts = [replace(people(language)[0], work=stories(language)[0].id) for language in asked]
    found = suite._background(tmp_path, texts)
    assert Counter(story.language for story in found).keys() == set(asked)
    for language in asked:
        size = sum(len(story.text) for story in found if story.language == language)
        assert 5000 <= size < 5000 + max(len(story.text) for story in corpus)
    assert not {story.work for story in found} & {text.work for text in texts}


def test_a_report_says_where_there_was_nothing_to_look_for_copies_in() -> None:
    part = measure_degeneration(lay_out(people("zh", 40)[:12], "zh"), None)
    assert "Copies were not looked for: there is no corpus with other works in this language." in part.notes


def test_of_a_file_only_the_language_that_was_asked_for_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Text] = []
    monkeypatch.setattr(suite, "measure_stories", lambda texts, **_: measured.extend(texts) or [])
    monkeypatch.setattr(suite, "write_reports", lambda *_: None)
    write_texts(tmp_path / "both.jsonl", [*people("en")[:3], *people("zh")[:2]])
    suite.evaluate_stories([str(tmp_path / "both.jsonl")], language="zh", out=tmp_path / "out")
    assert [text.language for text in measured] == ["zh", "zh"]
    suite.evaluate_stories([str(tmp_path / "both.jsonl")], out=tmp_path / "out")
    assert len(measured) == 2 + 5
    write_texts(tmp_path / "en.jsonl", people("en")[:3])
    with pytest.raises(DataError, match="no text in 'zh'"):
        suite.evaluate_stories([str(tmp_path / "en.jsonl")], language="zh", out=tmp_path / "out")


def test_what_cannot_be_allowed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lenght cannot be allowed; choose of length, punctuation"):
        suite.evaluate_stories(["theirs.jsonl"], allow=["length", "lenght"], out=tmp_path)  # type: ignore[list-item]
