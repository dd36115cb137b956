from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from storyteller.errors import GenerationError
from storyteller.generate import Told, save_story
from storyteller.generate.library import read_origin, read_story
from storyteller.runs.home import stories_home


def told(text: str, title: str | None) -> Told:
    return Told(
        text=text, words=3, finish_reason="stop", model="tiny", engine="torch", seed=5, prompt="a: seal\n---",
        form="fable", language="en", title=title, seconds=1.0, tokens=4, tokens_per_second=4.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "title"), [("The end.\n\n---\n\nIt was: good.", "The Seal?/.."), ("结束了。", "海豹与《月亮》")]
)
def test_a_saved_story_is_read_back(text: str, title: str) -> None:
    path = save_story(told(text, title), {"temperature": 0.8})
    assert path.parent == stories_home()
    assert read_story(path) == text
    front = yaml.safe_load(path.read_text("utf-8").split("\n---\n")[0])
    assert (front["title"], front["seed"], front["settings"]) == (title, 5, {"temperature": 0.8})
    assert front["prompt"] == "a: seal\n---"


def test_nothing_is_overwritten() -> None:
    paths = [save_story(told(text, "Seal")) for text in ("one", "two", "three")]
    assert [read_story(path) for path in paths] == ["one", "two", "three"]


def test_a_plain_file_is_a_story_too(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("\ufeffOnce.\n", encoding="utf-8")
    assert read_story(tmp_path / "s.txt") == "Once."


@pytest.mark.parametrize(
    "story",
    [
        "---\n\nThe first part: Ana lost her key.\n\n---\n\nThe second part.",
        "---\nAna lost her key.\n---\n\nShe found it.",
        "---\n“海豹：[来\n---\n\n他来了。",
        "---\n2026-99-99\n---\n\nOnce.",
    ],
)
def test_a_story_that_begins_with_a_rule_is_whole(tmp_path: Path, story: str) -> None:
    (tmp_path / "s.md").write_text(story + "\n", encoding="utf-8")
    assert read_story(tmp_path / "s.md") == story
    assert read_origin(tmp_path / "s.md") == {}


def test_front_matter_of_other_programs_is_no_story(tmp_path: Path) -> None:
    (tmp_path / "s.md").write_text("---\ntitle: A Key\ntags: [a]\n---\nOnce.\n", encoding="utf-8")
    assert read_story(tmp_path / "s.md") == "Once."


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00\x80")
    for path in (tmp_path / "none.txt", tmp_path / "b.txt", tmp_path):
        with pytest.raises(GenerationError, match=path.name):
            read_story(path)


def test_a_story_without_its_place_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(GenerationError, match="cannot be written"):
        save_story(told("The end.", None), path=tmp_path / "file" / "out.md")
    (kept,) = stories_home().iterdir()
    assert read_story(kept) == "The end."


@pytest.mark.parametrize(("before", "text", "words"), [("She slept.", " She woke.", 4), ("她睡了。", "她醒了。", 6)])
def test_a_continuation_is_saved_with_what_it_continues(before: str, text: str, words: int) -> None:
    story = dataclasses.replace(told(text, None), language="zh" if words == 6 else "en")
    path = save_story(story, before=before)
    assert read_story(path) == before + text
    assert f"words: {words}\n" in path.read_text("utf-8")


def test_a_saved_story_knows_where_it_comes_from() -> None:
    path = save_story(told("The end.", "Seal"))
    assert read_origin(path) == {"form": "fable", "language": "en", "model": "tiny"}


@pytest.mark.parametrize(
    "content", ["Once.", "---\nform: fable\nmodel: other\n---\nOnce.", "---\na: [\n---\n从前。", "---\n- a\n---\nOnce."]
)
def test_another_programs_file_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.md").write_text(content, encoding="utf-8")
    assert read_origin(tmp_path / "s.md") == {}
