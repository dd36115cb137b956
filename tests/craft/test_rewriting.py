from __future__ import annotations

import pytest

from storyteller.corpus.story import Language
from storyteller.craft.rewriting import ACTIONS, Action, aim, best, check, refusal, target_language, turns
from storyteller.errors import GenerationError

PASSAGE: dict[Language, str] = {
    "en": "The keeper climbed the stairs with his lamp. The wind shook the tower, and far below the seal called his name.",
    "zh": "守塔人提着灯走上楼梯。风摇着灯塔，海豹在远处的水里叫着他的名字。",
}
ANSWERS: dict[Language, str] = {
    "en": "Lamp in hand, the old keeper went up. Wind rattled the tower while the seal cried his name from the dark below.",
    "zh": "守塔人手里拿着灯，一步一步上了楼。灯塔在风里晃，海豹在远远的水面上喊他的名字。",
}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_task_is_asked_in_the_language_of_the_text(language: Language, action: Action) -> None:
    value = {"tone": "gloomy", "viewpoint": "the seal"}.get(action, "")
    (system, asked), (user, passage) = turns(action, PASSAGE[language], language, value, "Keep it short")
    assert (system, user, passage) == ("system", "user", PASSAGE[language])
    assert value in asked
    assert "Keep it short" in asked
    assert "{" not in asked
    assert any("一" <= letter <= "鿿" for letter in asked) == (language == "zh")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_rewriting_passes(language: Language) -> None:
    checked = check(ANSWERS[language], PASSAGE[language], "rewrite", language)
    assert checked.faults == ()
    assert checked.text == ANSWERS[language]


@pytest.mark.parametrize(
    ("answer", "action", "fault"),
    [
        ("", "rewrite", "empty"),
        ("  \n", "rewrite", "empty"),
        (PASSAGE["en"], "tone", "same"),
        (PASSAGE["en"].upper(), "rewrite", "same"),
        (ANSWERS["en"], "expand", "too short"),
        (ANSWERS["en"], "shorten", "too long"),
        (ANSWERS["en"][:60], "rewrite", "unfinished"),
        (ANSWERS["en"], "translate", "language"),
        ("He told him a story of the old clock. " * 4, "expand", "repeats"),
        (ANSWERS["en"], "viewpoint", "viewpoint"),
    ],
)
def test_what_is_no_rewriting_is_named(answer: str, action: Action, fault: str) -> None:
    value = {"translate": "zh", "viewpoint": "the first person"}.get(action, "")
    assert fault in check(answer, PASSAGE["en"], action, "en", value).faults


@pytest.mark.parametrize(
    "wrapped",
    ["Here is the rewritten passage:\n\n{}", "Sure! Here's a version:\n{}", "Rewritten passage: {}", '"{}"', "```\n{}\n```",
     "Certainly. Here is the new text, in other words: {}", "Sure, here you go:\n\n{}", "This is my revised version: {}"],
)  # fmt: skip
def test_preambles_and_wrapping_go(wrapped: str) -> None:
    assert check(wrapped.format(ANSWERS["en"]), PASSAGE["en"], "rewrite", "en").text == ANSWERS["en"]


@pytest.mark.parametrize(
    "wrapped",
    [
        "好的，以下是改写后的文字：\n{}",
        "改写：{}",
        "“{}”",
        "当然！\n{}",
        "好的，这是扩写后的段落：{}",
        "改写后的文字如下：{}",
    ],
)
def test_chinese_preambles_go(wrapped: str) -> None:
    assert check(wrapped.format(ANSWERS["zh"]), PASSAGE["zh"], "rewrite", "zh").text == ANSWERS["zh"]


@pytest.mark.parametrize(
    ("answer", "language"),
    [
        ("This is what he told me: never look back.", "en"),
        ("Here is the thing about the sea: it forgets nothing.", "en"),
        ("Of course, here is what he said: never look back.", "en"),
        ("当然，她什么也没说，只是把灯熄了，转身走进雨里。", "zh"),
        ("好的，她点点头，把门推开，走进了大雨里面。他没有追。", "zh"),
        ("翻译低声说：“他不同意。”", "zh"),
        ("下面是一条河：水很急，没有桥。", "zh"),
    ],
)
def test_a_story_loses_nothing_of_its_beginning(answer: str, language: Language) -> None:
    assert check(answer, PASSAGE[language], "rewrite", language).text == answer


def test_speech_and_stories_that_begin_like_a_preamble_stay() -> None:
    said = '"Here is the lamp," said the keeper, and he went up the stairs. "Come," said the seal.'
    assert check(said, PASSAGE["en"], "rewrite", "en").text == said


def test_a_model_refuses_what_it_cannot_do() -> None:
    assert "knows no Chinese" in str(refusal("translate", "zh", "en", ["en"]))
    assert "knows no Chinese" in str(refusal("rewrite", "", "zh", ["en"]))
    assert refusal("translate", "", "en", ["en", "zh"]) is None
    assert "tone" in str(refusal("tone", " ", "en", ["en"]))
    assert (target_language("translate", "", "zh"), target_language("translate", "中文", "en")) == ("en", "zh")
    with pytest.raises(GenerationError, match="klingon"):
        target_language("translate", "klingon", "en")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_best_has_no_faults_and_each_is_shown_once(language: Language) -> None:
    answers = [PASSAGE[language], ANSWERS[language], "", ANSWERS[language]]
    chosen = best([check(answer, PASSAGE[language], "rewrite", language) for answer in answers], 3)
    assert [one.text for one in chosen] == [ANSWERS[language], PASSAGE[language]]


def test_lengths_are_aimed_at() -> None:
    shorter, longer = aim("shorten", PASSAGE["en"], "en"), aim("expand", PASSAGE["en"], "en")
    assert shorter is not None
    assert longer is not None
    assert shorter < 21 < longer
    assert aim("translate", PASSAGE["en"], "en") is None
