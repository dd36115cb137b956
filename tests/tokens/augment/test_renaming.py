"""Renaming: one to one, everywhere, back again, and nobody is confused with anybody."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.stories import LAMP, SCENE, SEAL, long_story, story

from storyteller.corpus.story import Story
from storyteller.recipe.robustness import AugmentRecipe
from storyteller.tokens.augment import Renaming, variants
from storyteller.tokens.vocabulary import word_list

TOWN = "Anna walked to London. She loved London. Anna met Mr. Pell in London, and Mr. Pell asked Anna about Paris. " * 2
FABLE = "Fox saw the grapes. Fox jumped, but the fox was small. Fox said they were sour. Fox went home. " * 2


def of(told: Story, seed: int = 0) -> Renaming:
    return Renaming.of(told, random.Random(seed))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([(SEAL, "en"), (TOWN, "en"), (LAMP, "zh"), ("林小舟去了北京。" * 3 + LAMP, "zh")]),
)
def test_it_is_one_to_one_and_leads_back(seed: int, text_of: tuple[str, str]) -> None:
    told = story(text_of[0], language=text_of[1])  # type: ignore[arg-type]
    renaming = of(told, seed)
    assert renaming.names
    assert len(set(renaming.names.values())) == len(renaming.names)
    made = renaming.apply(told.text)
    assert made != told.text
    assert renaming.undone().apply(made) == told.text
    assert not any(new in told.text for new in renaming.names.values())
    assert not any(old in made for old in renaming.names)


def test_everybody_is_renamed_all_through() -> None:
    told = story(SEAL.replace("Mara", "Anna"), title="Anna and the Seal", prompt="Write about Anna.")
    made = of(told).story(told)
    assert "Anna" not in made.text + str(made.title) + str(made.prompt)
    assert "Pell" not in made.text
    new = of(told).names["Anna"]
    assert made.text.count(new) == SEAL.count("Mara")
    assert made.title == f"{new} and the Seal"
    assert "Mr. " in made.text


def test_chinese_people_keep_their_families_together() -> None:
    text = "林小舟说：“爷爷！”小舟跑过去。林小舟笑道，老林，慢点。林家的门开了。林小舟走了。" * 2
    made = of(story(text, language="zh"))
    assert made.names["林小舟"] == made.names["老林"][1] + made.names["小舟"]
    assert "林" not in made.apply(text)


def test_a_surname_stays_where_an_unknown_kinsman_has_it() -> None:
    text = "林小舟说：“爷爷！”林小舟笑道。林大山来了。林小舟走了。" * 2
    made = of(story(text, language="zh"))
    assert "林大山" in made.apply(text)
    assert "林小舟" not in made.apply(text)
    assert made.names["林小舟"][0] == "林"


def test_genders_and_kinds_are_kept() -> None:
    names = of(story(TOWN)).names
    assert names["Anna"] in word_list("given_female_en")
    assert names["Pell"] in word_list("surnames_en")
    assert names["London"] in word_list("places_en")
    assert names["London"] != names["Paris"]


def test_an_unknown_name_goes_by_its_pronouns() -> None:
    text = (
        "That day Zorka laughed. She was glad. Then Zorka took her hat, and she left. But Zorka said that she was tired. "
        * 2
    )
    assert of(story(text)).names["Zorka"] in word_list("given_female_en")
    assert of(story(text.replace("She", "He").replace("she", "he").replace("her", "his"))).names["Zorka"] in word_list(
        "given_male_en"
    )
    plain = "That day Zorka laughed. Then Zorka took a hat. So Zorka left. But Zorka said it was late. " * 2
    assert "Zorka" not in of(story(plain)).names


def test_animals_of_fables_stay() -> None:
    assert of(story(FABLE)).names == {}


def test_cues_are_renamed_in_capitals() -> None:
    scene = SCENE.replace("Who is there?", "Who is there? I am Mara, and Mara is my name.").replace("SEAL", "ANNA")
    names = of(story(scene, form="screenplay")).names
    assert names["ANNA"] == names["Anna"].upper()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_variants_are_marked_and_are_functions_of_the_seed(language: str) -> None:
    told = long_story("a", 5, language)  # type: ignore[arg-type]
    recipe = AugmentRecipe(copies=3, synonyms=0.5)
    made = list(variants(told, recipe, 1))
    assert [one.id for one in made] == ["a~1", "a~2", "a~3"]
    assert all(one.augmented and "names" in one.augmented for one in made)
    assert len({one.text for one in [told, *made]}) == 4
    assert list(variants(told, recipe, 1)) == made
    assert list(variants(told, recipe, 2)) != made


def test_a_variant_that_is_no_other_is_left_out() -> None:
    assert list(variants(story("Nothing to see."), AugmentRecipe(), 1)) == []


def test_plays_keep_their_words() -> None:
    told = story("INT. HUT - DAY\n\nMARA\nThe huge forest vanished suddenly.\n\nSEAL\nSuddenly?", form="screenplay")
    assert all(one.augmented == "names" for one in variants(told, AugmentRecipe(synonyms=1.0), 1))
