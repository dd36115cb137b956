from __future__ import annotations

from pathlib import Path

import pytest

from storyteller.errors import DataError
from storyteller.evaluate.blind.judgements import Choice, Judgement, append_judgement, read_judgements, standing


def said(pair: str, choice: Choice, rater: str = "Ada", *, repeat: bool = False) -> Judgement:
    return Judgement(pair, rater, choice, "a", "b", pair, pair, repeat=repeat, reason="海豹 ☂")


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "blind.jsonl"
    assert read_judgements(path) == []
    judgements = [said("1", "left"), said("2", "tie")]
    for judgement in judgements:
        append_judgement(path, judgement)
    assert read_judgements(path) == judgements


@pytest.mark.parametrize("torn", ['{"pair": "2", "ra', '{"pair": "2", "reason": "海"'[:-2]])
def test_half_a_last_line_is_nobody_s_judgement(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "blind.jsonl"
    append_judgement(path, said("1", "left"))
    with path.open("ab") as file:
        file.write(torn.encode()[:-1])
    assert read_judgements(path) == [said("1", "left")]
    append_judgement(path, said("2", "right"))
    assert read_judgements(path) == [said("1", "left"), said("2", "right")]


@pytest.mark.parametrize("line", ["{", "[]", '{"pair": "1"}', '{"text": "x", "system": "a", "prompt_id": "1"}'])
def test_another_file_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "blind.jsonl"
    append_judgement(path, said("1", "left"))
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"line 2: not a (judgement|JSON object)"):
        read_judgements(path)


def test_the_last_word_stands_and_undo_withdraws_it() -> None:
    history = [said("1", "left"), said("2", "right"), said("1", "left", "Bo"), said("2", "undo"), said("1", "tie")]
    assert standing(history) == [said("1", "left", "Bo"), said("1", "tie")]
    assert standing([said("1", "left"), said("1", "right", repeat=True), said("1", "undo", repeat=True)]) == [
        said("1", "left")
    ]


def test_who_was_preferred() -> None:
    assert [said("1", choice).preferred for choice in ("left", "right", "tie")] == ["a", "b", None]
