from __future__ import annotations

import numpy as np
import pytest

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.slop import overused, phrase_words, slop

VOCABULARY = {
    "en": "sea lamp keeper boat stone wind night old door wave ship light rope sand bird moon",
    "zh": "大海 灯塔 老人 小船 石头 大风 夜晚 房门 波浪 月亮 绳子 沙滩 飞鸟 光明 早晨 朋友",
}
PHRASE = {"en": "heart was pounding", "zh": "心中充满"}


def _texts(language: Language, count: int, seed: int, share: float = 0.0) -> list[str]:
    """Texts of random words; a share of them has the phrase."""
    draw = np.random.default_rng(seed)
    joint, full_stop = (" ", ". ") if language == "en" else ("", "。")
    texts = []
    for number in range(count):
        sentences = [joint.join(draw.choice(VOCABULARY[language].split(), 6)) for _ in range(5)]
        if number < share * count:
            sentences[2] += joint + PHRASE[language]
        texts.append(full_stop.join(sentences) + full_stop)
    return texts


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_over_used_phrase_is_found_and_scored_on_the_other_half(language: Language) -> None:
    system, human = _texts(language, 120, 1, share=0.5), _texts(language, 120, 2)
    prompts = np.random.default_rng(0).permutation(120).tolist()
    found = slop(system, prompts, human, prompts, language)
    first = found.phrases[0]
    assert first.phrase == PHRASE[language]
    assert (first.system, first.human) == (0.5, 0)
    assert PHRASE[language] in first.example
    assert first.z > 3
    assert np.all(found.system[:60] > 0)
    assert found.system[60:].max() == found.human.max() == 0
    words = [word for word in phrase_words(system[0], language) if word]
    assert found.system[0] == pytest.approx(len([w for w in words if w in PHRASE[language]]) / len(words))


def test_people_beside_people_over_use_nothing() -> None:
    one, other = _texts("en", 150, 3), _texts("en", 150, 4)
    assert overused(one, other, "en") == []


def test_a_longer_text_is_no_slop() -> None:
    long = [" ".join(pair) for pair in zip(_texts("en", 100, 5), _texts("en", 100, 6), strict=True)]
    assert overused(long, _texts("en", 100, 7), "en") == []


def test_phrases_do_not_cross_marks() -> None:
    assert phrase_words("“Don’t,” he said.\nHe left", "en") == ["don't", "", "he", "said", "", "he", "left", ""]
    assert phrase_words("他走了，天黑了。", "zh").count("") == 2


def test_too_few_texts_are_refused() -> None:
    texts = _texts("en", 60, 8)
    with pytest.raises(DataError, match="it takes 40"):
        overused(texts[:39], texts, "en")
    with pytest.raises(DataError, match="each half"):
        slop(texts, range(60), texts, range(60), "en")
