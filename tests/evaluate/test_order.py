from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from storyteller.corpus import split_sentences
from storyteller.corpus.corruption import FAULTS, corrupt
from storyteller.errors import DataError
from storyteller.evaluate.order import beginning, detect_faults
from storyteller.evaluate.scorer import CoherenceScorer, Score

TEXTS = [
    f"First there was a house with {i} rooms. Second came a man named Tom. Third the man Tom met Anna, who said no. "
    f"Fourth they talked until Anna had a plan. Fifth they left. Sixth the {i} rooms were empty."
    for i in range(12)
]
ORDER = ["First", "Second", "Third", "Fourth", "Fifth", "Sixth"]


class Counting:
    """Prefers sentences that stand in the order of their numbers; likes every text equally by likelihood."""

    def score(self, texts: Sequence[str], language: str = "en") -> list[Score]:
        results = []
        for text in texts:
            if language == "zh":
                results.append(Score(None, math.nan, math.nan, (), False, "not mine"))
                continue
            numbers = [ORDER.index(sentence.split()[0]) for sentence in split_sentences(text, "en")]
            rising = sum(a < b for a, b in itertools.pairwise(numbers)) / max(1, len(numbers) - 1)
            results.append(Score(0.5, rising, -3.0, (), True))
        return results


def test_a_scorer_of_order_notices_disorder_and_nothing_else() -> None:
    found = detect_faults(Counting(), TEXTS, faults=("shuffle", "names"))  # type: ignore[arg-type]
    works = [str(i) for i in range(len(TEXTS))]
    assert found["shuffle"].accuracy(works).value == 1.0
    assert found["shuffle"].accuracy(works, likelihood=True).value == 0.5
    assert found["names"].accuracy(works).value == 0.5
    assert found["names"].texts == tuple(range(12))


def test_too_few_texts_and_a_foreign_language_are_errors() -> None:
    with pytest.raises(DataError, match="10 are the least"):
        detect_faults(Counting(), TEXTS[:5])  # type: ignore[arg-type]
    chinese = ["第一句话在这里。第二句话在那里。第三句话来了。第四句话走了。" + str(i) for i in range(12)]
    with pytest.raises(DataError, match="room for the fault"):
        detect_faults(Counting(), ["One. Two."] * 12, faults=("splice",))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not mine"):
        detect_faults(Counting(), chinese, "zh", faults=("shuffle",))  # type: ignore[arg-type]


def test_a_beginning_is_whole_sentences() -> None:
    assert beginning("One two three. Four five. Six.", "en", 5) == "One two three. Four five."
    assert beginning("One two three. Four.", "en", 1) == "One two three."
    assert beginning("小明来了。他走了。天黑了。", "zh", 7) == "小明来了。他走了。"


@pytest.mark.slow
def test_the_shipped_scorer_prefers_stories_to_their_faulty_versions() -> None:
    folder = Path(__file__).parents[2] / "examples" / "stories" / "en"
    stories = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))][:14]
    stories = [beginning(story.split("---\n", 2)[2].strip(), "en", 160) for story in stories]
    scorer = CoherenceScorer.load()
    whole = scorer.score(stories)
    assert np.mean([score.in_domain for score in whole]) > 0.7
    for fault in ("shuffle", "repeat", "loop"):
        assert fault in FAULTS
        made = [corrupt(story, fault, seed=7) for story in stories]  # type: ignore[arg-type]
        faulty = scorer.score([version.text for version in made if version])
        kept = [score for score, version in zip(whole, made, strict=True) if version]
        won = [a.logit > b.logit for a, b in zip(kept, faulty, strict=True)]
        assert np.mean(won) >= 0.7, (fault, won)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\ndef f(a, b):\n    # this is the function that adds the two of them\n    return a + b\n\n"
        "class Node:\n    def __init__(self, left, right):\n        self.left = left\n        self.right = right\n" * 2,
        "and the of to seal he was moon that she it clock in his had lamp for with as you her storm they at be ship on "
        "not have from but him are all sea this my by said were she there one so out what up would no if " * 2,
        "teh ot fo dna swa ni taht eh ti sih reh htiw sa uoy eb rof dah ta no ton by the sea he was a lot of nmoo thgil "
        "eht dna rewot eht ni pmal a saw ereht dna eht ot tnew eh dna was the tac a dna god a " * 2,
    ],
    ids=["code", "word list", "reversed words"],
)  # fmt: skip
def test_the_shipped_scorer_says_when_a_text_is_not_a_story(text: str) -> None:
    (score,) = CoherenceScorer.load().score([text])
    assert not score.in_domain
    assert score.why_not
