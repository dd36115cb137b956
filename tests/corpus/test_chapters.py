"""Where a long book is cut: at headings of any shape, and never within its prose."""

from __future__ import annotations

import pytest

from storyteller.corpus.chapters import divide
from storyteller.corpus.piece import Piece, Skipped

PROSE = "他一个人走下山去，天已经黑了。\n" * 800


def kinds(text: str) -> list[str | None]:
    return [piece.kind for piece in divide(Piece(text, "山.txt")) if isinstance(piece, Piece)]


def test_a_long_book_is_cut_at_its_chapters() -> None:
    prose = "The fox came down to the river and looked at the moon in the water for a long time.\n\n" * 150
    chapters = [f"CHAPTER {number}.\n\n{prose}" for number in ("I", "II", "III")]
    text = "The Fox\n\nCHAPTER I.\nCHAPTER II.\nCHAPTER III.\n\n" + "\n".join(chapters)
    found = list(divide(Piece(text, "a.txt", source="a.txt")))
    pieces = [piece for piece in found if isinstance(piece, Piece)]
    assert [piece.title for piece in pieces][-3:] == ["CHAPTER I.", "CHAPTER II.", "CHAPTER III."]
    assert {piece.work for piece in pieces} == {"a.txt"}
    assert [one.reason for one in found if isinstance(one, Skipped)] == ["headings without text"]


@pytest.mark.parametrize(
    ("heading", "indent"),
    [
        ("第{}回 宴桃园豪杰三结义，斩黄巾英雄首立功\n", ""),
        ("　　第{}回　宴桃園豪傑三結義,斬黃巾英雄首立功\n\n", ""),
        ("第{}章：下山，上山\n", ""),
        ("\n第{}回宴桃园豪杰三结义，斩黄巾英雄首立功\n\n", ""),
        ("第{}回宴桃园豪杰三结义，斩黄巾英雄首立功\n", "　　"),
        ("第{}節 雪\n", ""),
        ("　　第{}章　下山\n\n", "　　"),
    ],
)
def test_a_heading_may_be_a_couplet_and_traditional(heading: str, indent: str) -> None:
    prose = PROSE.replace("他一", f"{indent}他一")
    assert kinds("".join(heading.format(number) + prose for number in "一二三")) == ["chapter"] * 3


@pytest.mark.parametrize(
    "line",
    [
        "第二章我们已经说过，他是一个人走的\n路上没有别的人。\n",
        "他一个人走下山去，天已经黑了，那时候我们在\n第二章 已经说过了，他没有带着灯\n\n",
        "第二回，他没有走。\n第三回见他，我说：走吧！\n",
        "第一回见面，我就知道他不是好人，可是\n我没有说。\n",
    ],
)
def test_a_line_of_prose_with_a_comma_is_no_heading(line: str) -> None:
    assert kinds((PROSE + line) * 4) == [None]
