from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from storyteller.corpus.language import split_sentences
from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.cross_fitting import assign_folds, linked, shared_texts
from storyteller.evaluate.judge_features import ngram_features
from storyteller.evaluate.judges import Verdict, difference, human_against_human, judge
from storyteller.evaluate.matching import normalise

STORIES = Path(__file__).parents[2] / "examples" / "stories"


@dataclass
class Passages:
    """Pieces of the repository's own stories, about 40 words or 60 字 each, with the story that each is from."""

    language: Language
    texts: list[str]
    works: list[str]

    @property
    def prompts(self) -> list[str]:
        return [f"{work} {number}" for number, work in enumerate(self.works)]


def passages(language: Language) -> Passages:
    texts, works = [], []
    for path in sorted((STORIES / language).glob("*.md")):
        story = normalise(path.read_text(encoding="utf-8").split("---", 2)[2])
        sentences = split_sentences(story, language)
        for start in range(0, len(sentences), 4):
            piece = "".join(sentences[start : start + 4]).strip()
            if len(piece) > (80 if language == "en" else 30):
                texts.append(piece)
                works.append(path.stem)
    return Passages(language, texts[:500], works[:500])


@pytest.fixture(scope="module", params=["en", "zh"])
def human(request: pytest.FixtureRequest) -> Passages:
    return passages(request.param)


def salad(text: str, language: Language, share: float) -> str:
    """The same words (or characters), some of them in each other's places: same lengths, same marks."""
    words = text.split(" ") if language == "en" else list(text)
    movable = [place for place, word in enumerate(words) if word.isalpha()]
    chosen = random.Random(text).sample(movable, int(share * len(movable)))
    moved = [words[place] for place in chosen]
    random.Random(1).shuffle(moved)
    for place, word in zip(chosen, moved, strict=True):
        words[place] = word
    return (" " if language == "en" else "").join(words)


def judged(human: Passages, system: list[str], **options: object) -> Verdict:
    given = {"prompts": human.prompts, "works": human.works, "language": human.language, **options}
    return judge(human.texts, system, **given)  # type: ignore[arg-type]


def test_people_are_not_told_from_people(human: Passages) -> None:
    for family in ("word", "char"):
        verdict = human_against_human(
            human.texts,
            prompts=human.prompts,
            works=human.works,
            language=human.language,
            family=family,  # type: ignore[arg-type]
            allow=("length", "punctuation"),
        )
        assert verdict.auc is not None
        assert verdict.auc.low is not None
        assert verdict.auc.high is not None
        assert verdict.auc.low < 0.5 < verdict.auc.high
        assert verdict.auc.high - verdict.auc.low < (0.4 if human.language == "en" else 0.6)


def test_the_ladder_of_word_salad(human: Passages) -> None:
    """More words out of place are seen more; lengths and marks are those of people, so the gate is open."""
    verdicts = [judged(human, [salad(t, human.language, share) for t in human.texts]) for share in (0.3, 1.0)]
    some, all_of_it = (verdict.auc for verdict in verdicts)
    assert some is not None
    assert all_of_it is not None
    assert verdicts[0].probes["length"].value <= 0.55
    assert verdicts[0].refused is None
    assert all_of_it.value > some.value > 0.52
    assert all_of_it.value > 0.65
    gap = difference(verdicts[1], verdicts[0])
    assert gap.value == pytest.approx(all_of_it.value - some.value)
    assert gap.p_value() < 0.05


def test_shuffled_sentences_are_not_for_these_judges(human: Passages) -> None:
    """The order of sentences is what the coherence tests see; words, and pairs of them, hardly change."""
    shuffled = []
    for text in human.texts:
        sentences = [part.strip() for part in split_sentences(text, human.language)]
        random.Random(text).shuffle(sentences)
        shuffled.append((" " if human.language == "en" else "").join(sentences))
    verdict = judged(human, shuffled)
    assert verdict.auc is not None
    assert abs(verdict.auc.value - 0.5) < 0.06


def test_a_ruler_is_refused_and_an_override_is_kept_in_mind(human: Passages) -> None:
    cut = [text[: len(text) * 2 // 3].rstrip() for text in human.texts]
    verdict = judged(human, cut)
    assert verdict.auc is None
    assert verdict.refused is not None
    assert "length alone tells the classes apart (AUC 0." in verdict.refused
    assert verdict.probes["length"].value > 0.55
    with pytest.raises(DataError, match="was refused"):
        difference(verdict, verdict)
    allowed = judged(human, cut, allow=("length", "punctuation"))
    assert allowed.auc is not None
    assert "length" in allowed.overridden
    marked = [text.replace(",", ";").replace("。", "!") for text in human.texts]
    assert "punctuation alone" in str(judged(human, marked).refused)
    words = judged(human, marked, punctuation=False)
    assert words.auc is not None
    assert words.auc.value == pytest.approx(0.5, abs=0.05)


def test_a_meaning_that_differs_is_seen_by_the_embedding_judge() -> None:
    human = passages("en")
    chance = np.random.default_rng(0)
    ours = chance.normal(size=(len(human.texts), 40))
    for shift, lowest, highest in ((0.0, 0.35, 0.65), (1.0, 0.9, 1.0)):
        theirs = chance.normal(size=ours.shape) + shift * (np.arange(40) < 5)
        verdict = judged(human, human.texts, family="embedding", embeddings=(ours, theirs), embedder="noise")
        assert verdict.auc is not None
        assert lowest <= verdict.auc.value <= highest
        assert verdict.embedder == "noise"
    with pytest.raises(DataError, match="needs the features"):
        judged(human, human.texts, family="embedding")


def test_the_same_call_gives_the_same_scores() -> None:
    human = passages("en")
    system = [salad(text, "en", 0.5) for text in human.texts]
    one, two = judged(human, system), judged(human, system)
    assert np.array_equal(one.human, two.human)
    assert one.auc == two.auc


def test_bad_input_is_refused() -> None:
    human = passages("en")
    with pytest.raises(DataError, match="needs pairs"):
        judge(human.texts, human.texts[:-1], prompts=human.prompts, language="en")
    with pytest.raises(DataError, match="49 texts a class are too few"):
        judge(human.texts[:49], human.texts[:49], prompts=human.prompts[:49], language="en")
    with pytest.raises(DataError, match="empty or a single word"):
        judged(human, ["", *human.texts[1:]])
    with pytest.raises(DataError, match="'zh', not in 'en'"):
        judged(human, (passages("zh").texts * 4)[: len(human.texts)])
    with pytest.raises(DataError, match="come from 1 works"):
        judge(human.texts, human.texts, prompts=human.prompts, works=["one"] * len(human.texts), language="en")


def test_human_duplicates_over_works_are_refused_also_near_ones() -> None:
    human = passages("en")
    texts, system = list(human.texts), [salad(text, "en", 0.5) for text in human.texts]
    longest = max(range(100), key=lambda place: len(texts[place]))
    texts[300] = texts[longest].replace("the", "that", 1)
    with pytest.raises(DataError, match="1 human texts stand, nearly the same, under two prompts or works"):
        judge(texts, system, prompts=human.prompts, works=human.works, language="en")
    verdict = judge(
        texts,
        system,
        prompts=human.prompts,
        works=human.works,
        language="en",
        allow=("duplicates", "length", "punctuation"),
    )
    assert "duplicates" in verdict.overridden


def test_a_system_that_repeats_itself_is_counted_and_judged_apart() -> None:
    human = passages("en")
    system = [salad(text, "en", 0.5) for text in human.texts]
    for place in (100, 200, 400):
        system[place] = system[0]
    verdict = judged(human, system, allow=("length", "punctuation"))
    assert verdict.repeated == 3
    with pytest.raises(DataError, match="the same over works"):
        judged(human, [system[0]] * len(system))


def test_folds_keep_prompts_works_and_duplicates_together() -> None:
    prompts = ["p1", "p1", "p2", "p3", "p4", "p5", "p6", "p7"]
    works = ["a", "b", "b", "", "", "c", "d", "e"]
    clusters = linked(prompts, works)
    assert clusters[0] == clusters[1] == clusters[2]
    assert len(set(clusters)) == 6
    folds = assign_folds(clusters, [(3, 7)], 3, seed=1)
    assert folds[0] == folds[1] == folds[2]
    assert folds[3] == folds[7]
    assert set(folds) == {0, 1, 2}


@pytest.mark.parametrize(
    ("language", "text", "near"),
    [
        (
            "en",
            "Once there was a seal who swam to the lighthouse and asked the keeper for a story of the sea.",
            "a tale of the sea.",
        ),
        ("zh", "从前有一只海豹，它游到灯塔，请守塔人给它讲一个关于大海的故事，守塔人答应了。", "答应了它。"),
    ],
)
def test_near_duplicates_are_found_in_both_languages(language: Language, text: str, near: str) -> None:
    texts = [
        text,
        "Something else entirely, about a judge and a court of law." if language == "en" else "法官宣读判决。",
        text,
    ]
    assert shared_texts(texts, ["a", "b", "c"], language) == [(0, 2)]
    assert shared_texts(texts, ["a", "b", "a"], language) == []


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("family", ["word", "char"])
def test_ngrams_do_not_reach_over_texts(language: Language, family: str) -> None:
    texts = ["a seal swam", "the keeper slept"] if language == "en" else ["海豹游泳", "守塔人睡觉"]
    together = ngram_features(texts, family, language)  # type: ignore[arg-type]
    alone = ngram_features(texts[1:], family, language)  # type: ignore[arg-type]
    assert abs(together[[1]] - alone).max() == 0
    assert np.sqrt((together.multiply(together)).sum(1)) == pytest.approx(1)
