from __future__ import annotations

from pathlib import Path

import pytest
from tests.studio.jobs.conftest import TEN

from storyteller.studio.errors import StudioError
from storyteller.studio.jobs.intake import save_files, save_text, split_stories

EN = "The seal came up the slipway with a letter in her teeth, and the keeper dried it on the lamp and read it twice. "
ZH = "守灯塔的人在傍晚看见一只海豹，嘴里衔着一封信。他把信放在灯上烤干，读了两遍，然后把闹钟往后拨了五分钟。"


@pytest.mark.parametrize("story", [EN * 2, ZH * 2])
@pytest.mark.parametrize(
    "between", ["\n---\n", "\n\n***\n\n", "\n* * *\n", "\n\n\n", "\n\n \n\n", "\r\n\r\n\r\n", "\n====\n", "\n——\n"]
)
def test_stories_between_marks(story: str, between: str) -> None:
    assert split_stories(between.join([story.strip()] * 3)) == [story.strip()] * 3


@pytest.mark.parametrize(
    ("story", "headings"),
    [
        (EN, ["# One", "# Two", "## Three"]),
        (EN, ["Story 1", "Story 2: The Door", "STORY III"]),
        (ZH, ["# 一", "# 二", "# 三"]),
        (ZH, ["故事一：海豹", "故事二", "故事 3、灯"]),
        (ZH, ["第一个故事", "第二个故事 灯", "第三篇"]),
    ],
)
def test_stories_under_headings(story: str, headings: list[str]) -> None:
    stories = split_stories("\n\n".join(f"{heading}\n\n{story}" for heading in headings))
    assert [text.split("\n")[0] for text in stories] == headings
    assert all(story.strip() in text for text in stories)


@pytest.mark.parametrize("story", [EN, ZH])
def test_one_story_stays_one(story: str) -> None:
    assert split_stories(f"{story}\n\n{story}") == [f"{story}\n\n{story}".strip()]
    airy = "\n\n\n".join([story[:20]] * 6)  # somebody who puts two empty lines between paragraphs
    assert len(split_stories(airy)) == 1
    assert split_stories(f"A Title\n---\n{story}") == [f"A Title\n\n{story.strip()}"]  # a title alone is no story
    assert split_stories("  \n ") == []


def test_ten(tmp_path: Path) -> None:
    assert save_text(TEN, tmp_path) == 10
    files = sorted(tmp_path.iterdir())
    assert [path.suffix for path in files] == [".md"] * 10
    assert files[3].read_text("utf-8").startswith("# Two Left Shoes\n")


def test_nothing_pasted(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="no story in what was pasted"):
        save_text(" \n", tmp_path)


def test_files_never_lie_over_one_another_or_outside(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    names = [
        "a.txt",
        "a.txt",
        "../../etc/passwd",
        "C:\\Users\\me\\故事 一.md",
        "/",
        "..",
        "deep/er/and/er/b.txt",
        "x" * 300 + ".txt",
    ]
    assert save_files([(name, name.encode()) for name in names], folder) == len(names)
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert len(found) == len(names)
    assert sorted(path.read_text("utf-8") for path in found) == sorted(names)
    assert all(folder in path.resolve().parents for path in found)
    assert not (tmp_path / "etc").exists()
