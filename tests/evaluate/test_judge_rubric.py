from __future__ import annotations

import pytest

from storyteller.evaluate.judge_rubric import judge_messages, parse_answer

SAID = {
    '{"better": "A"}': "A",
    'B lives, A does not.\n```json\n{"better": "B", "sure": 0.7}\n```': "B",
    "{'better': 'tie'}": "tie",
    '{"winner": "Text B"}': "B",
    '{ "better" : "story_a" }': "A",
    "A": "A",
    " **B.** ": "B",
    "[[A]]": "A",
    "Answer: B": "B",
    "The better text is A.": "A",
    "Verdict: tie": "tie",
    "Both are coherent, and the prose of one is dull.\n\nB": "B",
    "I think Text A is clearly better because it ends well.": "A",
    "<think>B is better. {\"better\": \"B\"}</think>\n{\"better\": \"A\"}": "A",
    '甲文生动。{"better": "A"}': "A",
    "答案：B": "B",
    "更好的是A": "A",
    "文字B更好，因为它更连贯。": "B",
    "平局": "tie",
    "结论：平局": "tie",
    "故事A": "A",
}  # fmt: skip

SILENT = (
    "",
    "Both texts are about a seal.",
    "A seal was found. B is for boat.",
    "Text A is not better than the other.",
    '{"better": "A"} or {"better": "B"}',
    "A is better. No, B is better.",
    "<think>The better text is A, but wait",
    "Answer: a seal",
    "Banana",
    "A:",
    "A: \nThe seal was never wrong.",
    "A: [A]\n\nA: [B]",
    "B\n\nThe seal swam on […]",
    '{"better": "C"}',
    "两篇都写了海豹。",
    "不好说",
    "Once upon a time there was a lighthouse keeper",
)


@pytest.mark.parametrize("text", SAID)
def test_what_an_answer_says(text: str) -> None:
    assert parse_answer(text) == SAID[text]


@pytest.mark.parametrize("text", SILENT)
def test_nothing_is_guessed(text: str) -> None:
    assert parse_answer(text) is None


def test_the_question_is_in_the_language_of_the_texts() -> None:
    (english,) = judge_messages("A {seal}", "one", "two", "en")
    (chinese,) = judge_messages("", "一", "二", "zh")
    assert "A {seal}" in english["content"]
    assert english["content"].index("one") < english["content"].index("two")
    assert '{"better": "A"}' in english["content"]
    assert "（不详）" in chinese["content"]
    (going_on,) = judge_messages("海豹说：", "一", "二", "zh", continues=True)
    assert "续写以下文字：\n\n海豹说：" in going_on["content"]
    assert "更好" in chinese["content"]
    assert parse_answer(english["content"]) is None  # a model that only echoes has said nothing
    assert parse_answer(chinese["content"]) is None
