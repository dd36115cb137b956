"""Scorers that rank drafts: each must see the fault that it is there for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from storyteller.corpus import prepare, read_split
from storyteller.corpus.story import Language
from storyteller.ensemble.ranking import overlap
from storyteller.errors import DataError
from storyteller.evaluate.drafting import draft_scorers, draft_similarity
from storyteller.tokens import Request

STORIES = Path(__file__).parents[2] / "examples" / "stories"
GOOD = {
    "en": "The keeper lit the lamp. A seal came up the stairs and asked for tea. They talked until the fog was gone.",
    "zh": "守塔人点亮了灯。一只海豹走上楼梯，想要一杯茶。他们一直聊到雾散了。",
}
LOOPED = {"en": GOOD["en"] + " They talked of the sea." * 8, "zh": GOOD["zh"] + "他们聊大海的故事。" * 8}
CUT = {language: text[:-4] for language, text in GOOD.items()}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_loops_and_unfinished_ends_score_lower(language: Language) -> None:
    scorers, request = draft_scorers(language), Request(language=language)
    assert scorers.keys() == {"repetition", "ending"}  # in a new home there is no base to score coherence with
    good, looped = scorers["repetition"]([GOOD[language], LOOPED[language]], request)
    assert good > looped
    good, cut = scorers["ending"]([GOOD[language], CUT[language]], request)
    assert good > cut


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_copied_from_the_corpus_scores_lower(language: Language, tmp_path: Path) -> None:
    prepare([STORIES], tmp_path / "corpus")
    copied = next(story.text for story in read_split(tmp_path / "corpus", "train") if story.language == language)
    scorer = draft_scorers(language, corpus=tmp_path / "corpus")["copying"]
    own, taken = scorer([GOOD[language], copied[:300]], Request(language=language))
    assert (own, taken) == (0, pytest.approx(-1, abs=0.2))


def test_drafts_of_a_mixed_corpus_are_scored_in_their_own_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare([STORIES], tmp_path / "corpus")
    read = SimpleNamespace(
        score=lambda texts, language, words: [SimpleNamespace(logit=1.0, in_domain=True)] * len(texts)
    )
    monkeypatch.setattr("storyteller.evaluate.drafting.entry_named", lambda name: SimpleNamespace(installed=True))
    monkeypatch.setattr("storyteller.evaluate.scorer.CoherenceScorer.load", lambda: read)
    scorers = draft_scorers(None, corpus=tmp_path / "corpus")
    for language in ("en", "zh"):
        copied = next(story.text for story in read_split(tmp_path / "corpus", "train") if story.language == language)
        own, taken = scorers["copying"]([GOOD[language], copied[:300]], Request(language=language))
        assert (own, taken) == (0, pytest.approx(-1, abs=0.2))
    assert scorers["coherence"]([GOOD["en"]], Request(language="en")) == [1.0]
    assert np.isnan(scorers["coherence"]([GOOD["zh"]], Request(language="zh"))).all()


class Counting:
    """In the place of the coherence scorer: the fewer bananas in what it reads, the better."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def score(self, texts: list[str], language: Language, words: int | None = None) -> list[SimpleNamespace]:
        self.read = [" ".join(text.split()[:words]) for text in texts]
        return [SimpleNamespace(logit=-float(text.count("banana")), in_domain=True) for text in self.read]


def test_of_a_story_that_grows_the_end_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Counting()
    monkeypatch.setattr("storyteller.evaluate.drafting.entry_named", lambda name: SimpleNamespace(installed=True))
    monkeypatch.setattr("storyteller.evaluate.scorer.CoherenceScorer.load", lambda: scorer)
    story = "They ate a banana. " + "The keeper lit the lamp and the seal came up the stairs. " * 12
    drafts = [story + "A banana purple the of engine.", story + "Then they slept."]
    first, last = draft_scorers("en")["coherence"], draft_scorers("en", last=True)["coherence"]
    assert first(drafts, Request()) == [-1, -1]  # the drafts' beginning, which is the same
    assert last(drafts, Request()) == [-1, 0]
    assert all(text.startswith("The keeper") and 100 <= len(text.split()) < 120 for text in scorer.read)
    last(["A short one.", "and " * 1000], Request())
    assert scorer.read[0] == "A short one."
    assert 100 <= len(scorer.read[1].split()) < 300


def test_a_critic_says_how_real_a_text_is_and_nothing_of_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Critic:
        def judge(self, request: Request, texts: list[str]) -> list[SimpleNamespace]:
            if not texts[0]:
                raise DataError("there is nothing to judge.")
            return [SimpleNamespace(realism=float(len(text))) for text in texts]

    monkeypatch.setattr("storyteller.adversarial.using.StoryCritic.load", lambda folder: Critic())
    scores = draft_scorers("en", critic=Path("refined"))["critic"](["one", "", "three"], Request())
    assert scores[0] == 3
    assert np.isnan(scores[1])
    assert scores[2] == 5


def test_without_an_embedder_drafts_are_alike_by_their_words() -> None:
    texts = [GOOD["en"], GOOD["en"], "Nothing else is like this."]
    np.testing.assert_array_equal(draft_similarity("en")(texts), overlap(texts))


@pytest.mark.slow
def test_the_coherence_scorer_ranks_a_story_above_its_shuffled_sentences() -> None:
    sentences = [
        "Mara found a seal on the stairs of the lighthouse. ",
        "The seal asked her for a cup of tea. ",
        "She put the kettle on, and they sat down by the stove. ",
        "When the tea was gone, the seal thanked her and went back to the sea.",
    ]
    story, shuffled = "".join(sentences), " ".join(s.strip() for s in (sentences[i] for i in (3, 1, 0, 2)))
    scorer = draft_scorers("en")["coherence"]
    right, wrong, short = scorer([story, shuffled, "A seal."], Request())
    assert right > wrong
    assert np.isnan(short)
    assert "coherence" not in draft_scorers("zh")
