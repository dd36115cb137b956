from __future__ import annotations

import pytest

from storyteller.evaluate.readability import ChineseLevel, EnglishLevel, reading_level, syllables


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "the made walked makes trees asked friend while voice tongue league placed real eyes called"),
        (
            2,
            "little wanted houses lion being nation people every table something lovely poem quiet ruin candles building",
        ),
        (3, "religion beautiful radio created furious delicious suddenly happily remember realized area idea"),
        (4, "usually actually february immediate education"),
    ],
)
def test_syllables(count: int, words: str) -> None:
    assert {word: syllables(word) for word in words.split()} == dict.fromkeys(words.split(), count)


def test_the_formulas_on_a_text_counted_by_hand() -> None:
    level = reading_level("The cat sat on the mat. It was a happy cat.", "en")
    assert isinstance(level, EnglishLevel)
    words, sentences, spoken, letters = 11, 2, 12, 31
    assert level.words_per_sentence == words / sentences
    assert level.syllables_per_word == spoken / words
    assert level.flesch_ease == pytest.approx(206.835 - 1.015 * words / sentences - 84.6 * spoken / words)
    assert level.flesch_kincaid == pytest.approx(0.39 * words / sentences + 11.8 * spoken / words - 15.59)
    assert level.coleman_liau == pytest.approx(
        0.0588 * (100 * letters / words) - 0.296 * (100 * sentences / words) - 15.8
    )
    assert level.rare_words == pytest.approx(1 / 11)  # mat


def test_a_hard_english_text_is_harder() -> None:
    easy = reading_level("Tom had a red ball. He ran to the park. He was happy.", "en")
    hard = reading_level(
        "Notwithstanding considerable administrative opposition, the archivist meticulously reconstructed innumerable "
        "fragmentary manuscripts, thereby vindicating his predecessor's eccentric hypothesis.",
        "en",
    )
    assert isinstance(easy, EnglishLevel)
    assert isinstance(hard, EnglishLevel)
    assert easy.flesch_ease > 90 > 10 > hard.flesch_ease
    assert easy.flesch_kincaid < 3 < 15 < hard.flesch_kincaid
    assert easy.coleman_liau < hard.coleman_liau
    assert easy.rare_words < hard.rare_words


def test_a_hard_chinese_text_is_harder() -> None:
    easy = reading_level("小明有一个红色的球。他去公园玩。他很高兴。", "zh")
    hard = reading_level("绛帻鸡人报晓筹，尚衣方进翠云裘，九天阊阖开宫殿，万国衣冠拜冕旒。", "zh")
    assert isinstance(easy, ChineseLevel)
    assert isinstance(hard, ChineseLevel)
    assert easy.characters_per_sentence == 6
    assert hard.characters_per_sentence == 28
    assert easy.words_3000 > 0.8 > hard.words_3000
    assert easy.characters_1000 > hard.characters_1000
    assert easy.characters_500 <= easy.characters_1000 <= easy.characters_2500 <= 1


def test_a_text_without_words_has_no_level() -> None:
    assert reading_level(" … ", "en") is None
    assert reading_level("", "zh") is None
    assert reading_level("OK 123", "zh") is None
