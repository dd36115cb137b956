from __future__ import annotations

from dataclasses import replace

import pytest

from storyteller.evaluate.people import Kept, asked_kept, keyword_coverage, name_places, people
from storyteller.tokens.request import Character, Request

STAY = (
    "One morning Mara went down to the sea. She carried the lamp. On the rock old Pell sat and mended a net. Then Pell "
    "laughed, and Mara laughed too. At noon the wind rose and Mara ran home. The rain fell for three days and nights. "
    "When it stopped, Pell came to the door. He brought bread, and Mara thanked him."
)
LATE = STAY.replace(
    "Pell came to the door. He brought bread, and Mara", "young Robin came to the door. He brought bread, and Anne"
)
ZH = (
    "从前，林小舟住在灯塔里。她每天点灯。一天，周老伯来到海边，周老伯说要补网。林小舟笑了，林小舟给周老伯倒茶。"
    "后来下了三天三夜的雨，海水涨到门口。雨停以后，周老伯走了，林小舟站在门口看海。"
)


def test_people_who_stay_and_people_who_come_late() -> None:
    stay, late = people(STAY, "en"), people(LATE, "en")
    assert (stay.names, stay.late_third, stay.late_two_thirds, stay.persistence, stay.conflict) == (2, 0, 0, 1, None)
    assert list(name_places(LATE, "en")) == ["Mara", "Pell", "Robin", "Anne"]
    assert (late.names, late.late_third, late.late_two_thirds, late.persistence) == (4, 0.5, 0.5, 0)


def test_people_of_a_chinese_story() -> None:
    record = people(ZH, "zh")
    assert set(name_places(ZH, "zh")) == {"林小舟", "周老伯"}
    assert (record.late_two_thirds, record.persistence) == (0, 1)
    half = len(ZH) // 2
    left = ZH[:half].replace("周老伯", "海鸥") + ZH[half:].replace("林小舟", "老渔夫")
    assert people(left, "zh").late_third != 0


@pytest.mark.parametrize(
    ("text", "conflict"),
    [
        ("In came Tom. Tom sat down. He slept. Tom said that he was ill.", 0),
        ("In came Tom. Tom sat down. He slept. Tom said that she was ill.", 1),
        ("In came Tom. Tom sat down. He slept. Tom saw her. Tom said that he was ill. “She left,” said Tom.", 0),
        ("In came Tom. Tom sat down. He slept. Tom met the girl. She was ill. Tom saw the king, and she fell.", None),
        ("It rained.", None),
    ],
)
def test_pronouns_that_disagree(text: str, conflict: float | None) -> None:
    assert people(text, "en").conflict == conflict


def test_pronouns_that_disagree_in_chinese() -> None:
    text = "王小明走进门。他坐下了。王小明说他饿了。王小明笑了。"
    assert people(text, "zh").conflict == 0
    assert people(text.replace("说他", "说她"), "zh").conflict == 1
    assert people(text.replace("说他", "说他们"), "zh").conflict is None


def test_what_was_asked_for() -> None:
    request = Request(
        words=100,
        characters=(Character("Mara Grey"), Character("Mr. Pell"), Character("Zoe")),
        keywords=("lamps", "whale"),
    )
    kept = asked_kept(STAY, request)
    assert kept.characters == pytest.approx(2 / 3)
    assert kept.keywords == 0.5
    assert kept.length == 0.61
    assert asked_kept(STAY, Request()) == Kept(None, None, None)
    asked = replace(request, language="zh", characters=(Character("林小舟"),), keywords=("灯塔", "山"), words=40)
    chinese = asked_kept(ZH, asked)
    assert (chinese.characters, chinese.keywords) == (1, 0.5)
    assert chinese.length == pytest.approx(80 / 40, abs=0.2)


def test_keyword_coverage() -> None:
    prompt = "Write a short story about a lamp, a net and two storms."
    assert keyword_coverage(prompt, STAY, "en") == 0.5
    assert keyword_coverage(prompt, "A storm broke the lamp.", "en") == 1
    assert keyword_coverage("Write it!", STAY, "en") is None
    assert keyword_coverage("写一个关于灯塔和大象的故事。", ZH, "zh") == 0.5
