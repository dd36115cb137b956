from __future__ import annotations

import pytest

from storyteller.generate.doubt import doubt


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n".join(f"{n}." for n in range(1, 48)), "list"),
        ("1、猫咪在邮局上班\n2、猫咪在办公室\n3、猫咪在书店\n4、猫咪在宠物店", "list"),
        ("一、小说的背景\n二、故事内容\n三、小说的短评\n\n四、获奖情况", "list"),
        ("A. The boat was at sea.\nB. The boat was at port.\nC. He sank.\nD. He swam.", "list"),
        (" \n", "empty"),
        ("http 11.24 08:11 2014 11.23 05.10 25.19 09.24", "mostly not letters"),
        ("He slept.\n" * 12, "repeated lines"),
        ("我喜欢你。\n" * 12, "repeated lines"),
    ],
)
def test_what_is_no_story_is_named(text: str, reason: str) -> None:
    assert doubt(text, "story") == reason


@pytest.mark.parametrize(
    "text",
    [
        "The keeper woke.\n\n“Who is there?”\n\n- Nobody, said the seal.\n\nHe lit the lamp, and went down.",
        "一天夜里，守灯人醒了。\n　　“谁在那儿？”\n　　“没有谁。”海豹说。\n　　他点上灯，走下楼去。",
        "1. The first day he waited.",
    ],
)
def test_a_story_is_not_doubted(text: str) -> None:
    assert doubt(text, "story") is None


def test_lines_may_come_again_in_a_play() -> None:
    assert doubt("海豹：是你吗？\n守灯人：是我。\n" * 6, "play") is None
