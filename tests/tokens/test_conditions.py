from __future__ import annotations

import random

import pytest
from tests.tokens.stories import LAMP, SCENE, SEAL, story

from storyteller.corpus.story import Form, Language, Story
from storyteller.tokens import Request
from storyteller.tokens.conditions import Conditions, central_sentence, keywords, opening_of
from storyteller.tokens.names import characters
from storyteller.tokens.vocabulary import Frequencies


def _names(text: str, language: Language = "en", form: Form = "story") -> list[str]:
    return [person.name for person in characters(story(text, language=language, form=form))]


def test_people_of_an_english_story_with_titles_and_descriptions() -> None:
    people = characters(story(SEAL))
    assert [person.name for person in people] == ["Mara", "Mr. Pell"]
    assert people[1].who == "a fisherman"


def test_people_of_a_chinese_story() -> None:
    assert set(_names(LAMP, "zh")) == {"林小舟", "周老伯"}


def test_a_name_that_stands_only_at_the_beginning() -> None:
    assert _names("王小明说。", "zh") == []
    assert _names("周瑜道。王小明说。", "zh") == []


def test_places_months_and_sentence_beginnings_are_no_people() -> None:
    text = "In London it rained and rained. "
    text += "They walked to Dover in June and slept in Dover. Dover was grey, and in Dover it rained. Yet Tom said no. "
    assert _names(text + "So Tom laughed, and with Tom came Anne Grey. Then Anne Grey sang.") == ["Tom", "Anne Grey"]


@pytest.mark.parametrize(
    ("text", "language", "names"),
    [(SCENE, "en", {"Mara", "Seal"}), ("小红：你来了。\n小明：来了。\n小红：坐。\n小明：好。", "zh", {"小红", "小明"})],
)
def test_people_of_a_dialogue_are_its_cues(text: str, language: Language, names: set[str]) -> None:
    assert set(_names(text, language, "screenplay")) == names


def test_keywords_are_what_the_text_has_and_the_corpus_has_not() -> None:
    corpus = [story(f"The king went home to the castle. The number is {i}.", str(i)) for i in range(9)] + [story(SEAL)]
    found = keywords(SEAL, Frequencies.of(corpus), "en", without=["Mara", "Mr. Pell"])
    assert {"seal", "lantern", "lighthouse"} <= set(found[:4])
    assert not {"mara", "pell", "told", "morning"} & set(found)


def test_keywords_in_chinese() -> None:
    found = keywords(LAMP, Frequencies.of([story(LAMP, language="zh")]), "zh", without=["林小舟", "周老伯"])
    assert {"灯笼", "海豹"} <= set(found)
    assert not any("林" in word for word in found)


def test_the_central_sentence_is_narrated_and_stands_alone() -> None:
    sentence = central_sentence(SEAL, Frequencies.of([story(SEAL)]), "en", ["Mara"])
    assert sentence is not None
    assert sentence in SEAL
    assert '"' not in sentence
    assert "lantern" in sentence or "seal" in sentence


def test_the_central_sentence_in_chinese() -> None:
    sentence = central_sentence(LAMP, Frequencies.of([story(LAMP, language="zh")]), "zh", ["林小舟"])
    assert sentence is not None
    assert sentence in LAMP
    assert "“" not in sentence
    assert "灯笼" in sentence


def test_the_premise_of_a_scene_is_what_it_tells_not_what_is_said() -> None:
    scene = "INT. LIGHTHOUSE - NIGHT\n\nMara carries the old lantern down the stairs to the sea.\n\n" + SCENE
    scene += "\n\nSEAL\nThe lantern of the lighthouse belongs to all the seals of the sea."
    one = story(scene, form="screenplay")
    about = _derive(one, 1.0).about
    assert about == "Mara carries the old lantern down the stairs to the sea."


def test_openings_are_sentences_not_headings() -> None:
    assert opening_of(SEAL, "en") == "Mara kept the lighthouse on the north rock."
    assert opening_of(LAMP, "zh") == "从前，林小舟住在灯塔里。"
    assert opening_of("CHAPTER ONE\n\nIt rained. It stopped.", "en") is None
    assert opening_of("It rained.", "en") is None


def _derive(one: Story, keep: float, seed: int = 0) -> Request:
    conditions = Conditions(Frequencies.of([one]), keep)
    return conditions.derive(one, one.text, "write", random.Random(seed), conditions.people(one), whole=True)


@pytest.mark.parametrize(("text", "language"), [(SEAL, "en"), (LAMP, "zh")])
def test_each_condition_is_kept_or_dropped_at_random_but_repeatably(text: str, language: Language) -> None:
    one = story(text, language=language, title="T")
    full, none = _derive(one, 1.0), _derive(one, 0.0)
    assert full.title == "T"
    assert full.words == one.words
    assert full.characters
    assert full.keywords
    assert full.about
    assert none == Request(language=language)
    assert _derive(one, 0.5, seed=3) == _derive(one, 0.5, seed=3)
    assert len({_derive(one, 0.5, seed=seed) for seed in range(20)}) > 5


def test_the_prompt_of_the_source_is_the_premise() -> None:
    listed = "Write a fable with:\n  - Main Character: a loyal wolf\n  - Setting: a desert\nKeep it short."
    assert _derive(story(SEAL, prompt=listed), 1.0).about == "a loyal wolf; a desert"
    assert _derive(story(SEAL, prompt="A seal borrows a lantern."), 1.0).about == "A seal borrows a lantern."
