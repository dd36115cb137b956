from __future__ import annotations

import errno
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from storyteller.corpus import PrepareSettings, preparation, prepare, read_split
from storyteller.corpus.filters import refusal
from storyteller.corpus.form import declared_form, identify_form
from storyteller.corpus.piece import Piece
from storyteller.corpus.preparation import to_story
from storyteller.corpus.report import Report
from storyteller.errors import DataError

NOUNS = ("fox", "river", "moon", "boat", "keeper", "child", "lamp", "door", "winter", "road", "bread", "storm")
HAN = "狐河月船守童灯门冬路饼马信园雨山村老人走看听说笑哭来去高低"


def tale(seed: int, *, chinese: bool = False) -> str:
    draw = random.Random(seed)
    if chinese:
        return "\n".join("".join(draw.choice(HAN) for _ in range(18)) + "。" for _ in range(6))
    return "\n\n".join(
        f"The {draw.choice(NOUNS)} {seed} was in the {draw.choice(NOUNS)}, and the {draw.choice(NOUNS)} said to the "
        f"{draw.choice(NOUNS)} that it was {draw.choice(NOUNS)} {draw.randrange(9999)}."
        for _ in range(6)
    )


def write(path: Path, texts: list[str | dict[str, Any]]) -> Path:
    rows = [text if isinstance(text, dict) else {"text": text} for text in texts]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows: list[str | dict[str, Any]] = [
        {"text": tale(n, chinese=n % 3 == 0), "author": f"Author {'abcdefghij'[n % 10]}", "title": f"T{n}"}
        for n in range(60)
    ]
    return write(tmp_path / "in.jsonl", rows)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_prepares_and_reads_back(corpus: Path, tmp_path: Path) -> None:
    report = prepare([corpus], tmp_path / "out")
    stories = {split: list(read_split(tmp_path / "out", split)) for split in ("train", "dev", "test")}
    assert report.kept == sum(map(len, stories.values())) == 60
    assert all(stories.values())
    owners = [{story.author for story in split} for split in stories.values()]
    assert sum(map(len, owners)) == len(set.union(*owners))
    assert {story.language for story in stories["train"]} == {"en", "zh"}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["inputs"][0]["sha256"]
    assert sorted(snapshot(tmp_path / "out")) == [
        *("dev.jsonl", "manifest.json", "report.json", "report.md", "test.jsonl", "train.jsonl")
    ]


def test_the_same_input_gives_the_same_splits(corpus: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        prepare([corpus], tmp_path / name)
    for split in ("train", "dev", "test"):
        assert (tmp_path / "a" / f"{split}.jsonl").read_bytes() == (tmp_path / "b" / f"{split}.jsonl").read_bytes()


def test_duplicates_are_removed_and_counted(tmp_path: Path) -> None:
    base = tale(1)
    near = base.replace("said", "cried", 1)
    path = write(tmp_path / "in.jsonl", [base, base.upper(), near, *(tale(n) for n in range(2, 12))])
    report = prepare([path], tmp_path / "out", settings=PrepareSettings(threshold=0.7))
    assert (report.exact_duplicates, report.near_duplicates, report.kept) == (1, 1, 11)
    kept = prepare([path], tmp_path / "out", settings=PrepareSettings(deduplicate=False))
    assert kept.kept == 13


@pytest.mark.parametrize("chinese", [False, True])
@pytest.mark.parametrize("near", [False, True])
def test_duplicates_that_are_kept_stay_on_one_side(tmp_path: Path, chinese: bool, near: bool) -> None:
    texts = [tale(n, chinese=chinese) for n in range(20)]
    copies = [text.replace("老", "少", 1).replace("said", "cried", 1) if near else text for text in texts]
    path = write(tmp_path / "in.jsonl", [*texts, *copies, *texts])
    report = prepare([path], tmp_path / "out", settings=PrepareSettings(deduplicate=False, dev=0.3, test=0.3))
    splits = {split: list(read_split(tmp_path / "out", split)) for split in ("train", "dev", "test")}
    assert report.kept == len({story.id for split in splits.values() for story in split}) == 60
    assert min(map(len, splits.values())) > 0
    solid = {split: {"".join(story.text.split()) for story in stories} for split, stories in splits.items()}
    for text, copy in zip(texts, copies, strict=True):
        kin = {"".join(text.split()), "".join(copy.split())}
        assert [found for stories in solid.values() if (found := kin & stories)] == [kin]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Once.", "too short"),
        ("The fox was in the river.", "too short"),
        ("The dog and the fox. " * 30_000, "too long"),
        ("The fox and he said it. " * 2000, "no paragraphs"),
        ("\n".join(f"the {n}{n}{n}, of the {n * 7919}; {n / 7}" for n in range(1, 30)), "mostly not letters"),
        ("\n".join(f"| the fox and | of the river he | and to that she {n} |" for n in range(30)), "table"),
        (
            "\n".join(f"The story of the fox and the {noun} {n}" for n, noun in enumerate(NOUNS)),
            "index or table of contents",
        ),
        ("\n".join(["The fox said to the dog that it was here."] * 20), "repeated lines"),
        (
            "Permission is hereby granted to use the work. The copyright notice and the license must be in it. "
            "There is no warranty for the work. You may redistribute it under the license of the copyright holder.",
            "licence text",
        ),
        ("Der Fuchs ging in den Wald und sah den Mond. " * 10, "other language"),
        ("The harlot and the fox were in the house, and he said to her that it was so. " * 3, "not for young readers"),
        (
            "从前有个妓女住在山下的村子里，她每天都去河边洗衣服，看着月亮慢慢升起来，想起了她的母亲和家乡的人。",
            "not for young readers",
        ),
    ],
)
def test_what_is_no_story_has_its_reason(text: str, reason: str) -> None:
    report = Report()
    assert preparation.passed(Piece(text, "here"), PrepareSettings(young_readers=True), report) is None
    assert list(report.skipped) == [reason]
    assert text.startswith(report.skipped[reason].excerpt[:20])


def test_licences_languages_and_forms_can_be_asked_for() -> None:
    story = to_story(Piece(tale(1), "here", licence="CC-BY-NC-4.0", kind="fable"))
    assert story is not None
    assert refusal(story, PrepareSettings()) is None
    assert refusal(story, PrepareSettings(exclude_licences="-nc")) == "licence excluded"
    assert refusal(story, PrepareSettings(licences="cc0|public")) == "licence not allowed"
    assert refusal(story, PrepareSettings(languages=("zh",))) == "language not asked for"
    assert refusal(story, PrepareSettings(forms=("story",))) == "form not asked for"


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        *(("short_story", "story"), ("play_scene", "play"), ("novel_chapter", "chapter"), ("synthetic_fable", "fable")),
        *(
            ("screenplay", "screenplay"),
            ("剧本", "screenplay"),
            ("对话", "dialogue"),
            ("zh_vernacular_fiction", "chapter"),
        ),
        *(("children_story", "story"), ("lesson", "lesson"), ("xyz", None), (None, None)),
    ],
)
def test_declared_forms(kind: str | None, form: str | None) -> None:
    assert declared_form(kind) == form


def test_forms_by_layout() -> None:
    screenplay = "INT. DEN - NIGHT\n\nThe fox wakes.\n\nFOX\nWho is there?\n\nEXT. RIVER - DAY\n\nFOX\nNobody."
    play = "ACT I\n\n" + "FOX\nWho is there at the door?\n\nOWL\nNobody at all.\n\n" * 4
    assert identify_form(screenplay, None, "en") == "screenplay"
    assert identify_form("内景 客厅 夜\n\n他走进来。\n\n外景 街道 日\n\n雨停了。", None, "zh") == "screenplay"
    assert identify_form(play, None, "en") == "play"
    assert identify_form("Fox: Who is there?\nOwl: Nobody.\n" * 4, None, "en") == "dialogue"
    assert identify_form("狐狸：你是谁？\n猫头鹰：谁也不是。\n" * 4, None, "zh") == "dialogue"
    assert identify_form("The fox left.\n\nMoral: look first.", None, "en") == "fable"
    assert identify_form(tale(1), "Chapter IV", "en") == "chapter"
    assert identify_form(tale(3, chinese=True), "第三回", "zh") == "chapter"
    assert identify_form(tale(1), "The Fox", "en") == "story"


def test_an_empty_folder_and_nothing_left_are_errors(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="No story files in"):
        prepare([tmp_path / "in"], tmp_path / "out")
    (tmp_path / "in" / "a.txt").write_text("The fox and the river.")
    (tmp_path / "in" / "b.txt").write_bytes(b"\0\1\2\3" * 50)
    with pytest.raises(DataError, match="1 too short; 1 binary"):
        prepare([tmp_path / "in"], tmp_path / "out")
    with pytest.raises(DataError, match="does not exist"):
        prepare([tmp_path / "nowhere"], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_folder_that_is_not_ours_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "novel.txt").write_text("mine")
    with pytest.raises(DataError, match="was not written by"):
        prepare([corpus], other)
    assert snapshot(other) == {"novel.txt": b"mine"}


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(errno.ENOSPC, "No space left on device"), DataError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failure_keeps_the_earlier_output(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    out = tmp_path / "out"
    prepare([corpus], out)
    before = snapshot(out)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(preparation, "_write_splits", fail)
    with pytest.raises(raised):
        prepare([corpus], out)
    assert snapshot(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out"]


def test_reading_what_is_not_prepared(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a prepared folder"):
        next(read_split(tmp_path, "train"))
    prepare([corpus], tmp_path / "out")
    with pytest.raises(DataError, match="Unknown split"):
        read_split(tmp_path / "out", "valid")
    with (tmp_path / "out" / "dev.jsonl").open("a") as file:
        file.write('{"id": "x"')
    with pytest.raises(DataError, match=r"dev\.jsonl, line \d+"):
        list(read_split(tmp_path / "out", "dev"))


def test_wrong_settings_are_errors() -> None:
    for wrong in ({"languages": ("fr",)}, {"dev": 0.9, "test": 0.2}, {"licences": "("}, {"min_words": 0}):
        with pytest.raises(DataError):
            PrepareSettings(**wrong)  # type: ignore[arg-type]


def test_the_answers_of_a_conversation_stay_together(tmp_path: Path) -> None:
    turns = [{"role": role, "content": f"{tale(n)}"} for n in range(3) for role in ("user", "assistant")]
    path = write(tmp_path / "in.jsonl", [{"messages": turns}, {"messages": turns[:2]}])
    report = prepare([path], tmp_path / "out")
    assert report.read == 4
    assert report.exact_duplicates == 1


def test_a_file_with_a_name_that_is_no_utf_8_is_read(tmp_path: Path) -> None:
    """As unzipping an archive from a Chinese Windows leaves it."""
    folder = tmp_path / "in"
    folder.mkdir()
    name = os.fsdecode("故事.txt".encode("gbk"))
    (folder / name).write_text(tale(1), encoding="utf-8")
    lines = "".join(json.dumps({"text": text}) + "\n" for text in (tale(2), tale(3), "short \ud83d"))
    (folder / "b.jsonl").write_text(lines)
    report = prepare([folder], tmp_path / "out", settings=PrepareSettings(min_words=20))
    assert (report.kept, sum(skips.count for skips in report.skipped.values())) == (3, 1)
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))


def test_one_unreadable_file_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.txt").write_text(tale(number))
    whole = preparation.file_sha256

    def refused(path: Path) -> str:
        if path.name == "2.txt":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(preparation, "file_sha256", refused)
    report = prepare([folder], tmp_path / "out", settings=PrepareSettings(min_words=20))
    assert report.kept == 3
    assert report.skipped["no permission to read"].count == 1


def test_somebody_elses_manifest_makes_no_folder_ours(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "theirs"
    out.mkdir()
    (out / "manifest.json").write_text('{"dataset": "mine"}')
    (out / "train.jsonl").write_text(json.dumps({"text": tale(1)}))
    before = snapshot(out)
    with pytest.raises(DataError, match="was not written by `storyteller prepare`"):
        prepare([corpus], out)
    assert snapshot(out) == before
    assert prepare([out], tmp_path / "mine", settings=PrepareSettings(min_words=20)).kept == 1


def test_the_folder_that_one_stands_in(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert prepare([corpus], Path()).kept
    assert (tmp_path / "empty" / "train.jsonl").is_file()
