"""The two numbers of a passage: each with its value or its reason, on tiny models; and, slow, as they ship."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from tests.tiny import tiny_model

from storyteller.adversarial.critic import Critic
from storyteller.adversarial.numbers import Domain, WriterNumbers
from storyteller.adversarial.passages import SHIPPED, PassageCritic
from storyteller.adversarial.using import Likeness
from storyteller.errors import GenerationError, ModelError
from storyteller.evaluate.passage import FEWEST, MOST, Line, PassageReader, refusal
from storyteller.evaluate.prompts import cut_at_sentence
from storyteller.evaluate.scorer import CoherenceScorer, Score
from storyteller.models import load_model, locate
from storyteller.models.features import Reader
from storyteller.recipe.models import CriticRecipe
from storyteller.tokens import StoryTokenizer

EXAMPLES = Path(__file__).parents[2] / "examples" / "stories"
STORY = " ".join(
    path.read_text("utf-8").split("---\n", 2)[2].strip() for path in sorted((EXAMPLES / "en").glob("*.md"))[:2]
)


class Scorer:
    """A scorer that finds every text as coherent, and counts them."""

    def __init__(self, value: float | None = 0.6) -> None:
        self.value, self.asked = value, 0

    def score(self, texts: list[str]) -> list[Score]:
        self.asked += len(texts)
        return [Score(self.value, 0.4, -3.0, (), self.value is not None) for _ in texts]


@pytest.fixture(scope="module")
def critic(tmp_path_factory: pytest.TempPathFactory) -> PassageCritic:
    folder = tiny_model(tmp_path_factory.mktemp("model"))
    reader = Reader(load_model(locate(folder)), StoryTokenizer.load(folder), (1, 2), likelihoods=False)
    return PassageCritic(reader, Critic(reader.width, 2, CriticRecipe(width=4), 1, (1, 2)))


@pytest.fixture(scope="module")
def reader(critic: PassageCritic) -> PassageReader:
    words = STORY.split()
    chance = random.Random(1)
    starts = [chance.randrange(len(words) - 120) for _ in range(80)]
    human = critic.judge([" ".join(words[start : start + chance.randint(35, 70)]) for start in starts])
    numbers = WriterNumbers(Likeness.of(human, least=1), Domain.of([one.place for one in human]))
    return PassageReader(critic, numbers, Scorer(), Line(0.5, 0.1))  # type: ignore[arg-type]


def test_two_numbers_and_sentences_that_are_the_passage(reader: PassageReader) -> None:
    text = " ".join(STORY.split()[:60])
    read = cut_at_sentence(text, MOST, "en")
    told = reader.tell(text, "en")
    assert told.likeness.value is not None
    assert 0 <= told.likeness.value <= 100
    assert told.coherence.value == pytest.approx(100 / (1 + math.exp(-0.5 * 0.4 - 0.1)))
    assert told.words == len(read.split()) > 40  # no part of a sentence is read
    assert "".join(sentence for sentence, _ in told.sentences) == read
    assert all(part is not None and -100 <= part <= 100 for _, part in told.sentences)


def test_a_long_text_is_read_as_far_as_its_first_words_go(reader: PassageReader) -> None:
    told = reader.tell(STORY, "en")
    read = "".join(sentence for sentence, _ in told.sentences)
    assert STORY.startswith(read)
    assert FEWEST < told.words <= MOST
    assert told.likeness == type(told.likeness)(None, told.likeness.reason)
    assert told.likeness.reason in ("length", "kind")  # there were no such long ones to calibrate on
    assert all(part is None for _, part in told.sentences)


@pytest.mark.parametrize(
    ("text", "language", "reason"),
    [
        ("She ran.", "en", "short"),
        ("", "en", "short"),
        (STORY, "zh", "language"),
        ("从前有一个守塔人，他每天晚上点灯。" * 20, "zh", "language"),
        ("从前有一个守塔人，他每天晚上点灯。" * 20, "en", "language"),
        ("x = f(y); " * 60, "en", "language"),
    ],
)
def test_where_nothing_can_be_said_the_reason_is(reader: PassageReader, text: str, language: str, reason: str) -> None:
    told = reader.tell(text, language)  # type: ignore[arg-type]
    assert (told.likeness.value, told.likeness.reason) == (None, reason)
    assert (told.coherence.value, told.coherence.reason) == (None, reason)
    assert told.sentences == ()
    assert refusal(text, language) == told  # type: ignore[arg-type]


def test_a_number_of_the_two_can_be_there_alone(reader: PassageReader) -> None:
    other = PassageReader(reader.critic, reader.numbers, Scorer(None), reader.line)  # type: ignore[arg-type]
    told = other.tell(" ".join(STORY.split()[:60]), "en")
    assert told.likeness.value is not None
    assert (told.coherence.value, told.coherence.reason) == (None, "kind")


def test_what_nobody_waits_for_is_not_scored(reader: PassageReader) -> None:
    scorer = Scorer()
    with pytest.raises(GenerationError, match="nobody waits"):
        PassageReader(reader.critic, reader.numbers, scorer, reader.line).tell(STORY, "en", lambda: False)  # type: ignore[arg-type]
    assert scorer.asked == 0


def test_a_missing_base_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STORYTELLER_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="storyteller models pull"):
        PassageReader.load()


def test_the_line_of_the_coherence_rises_and_comes_from_its_folder(tmp_path: Path) -> None:
    line = Line.load(SHIPPED)
    told = [line(logit) for logit in (-8.0, -1.0, 0.0, 1.0, 8.0)]
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] < 1
    with pytest.raises(ModelError, match=r"judge_numbers\.py"):
        Line.load(tmp_path)


@pytest.mark.slow
def test_the_shipped_numbers_of_our_own_stories() -> None:
    reader = PassageReader.load()
    assert isinstance(reader.scorer, CoherenceScorer)
    assert reader.scorer.reader.model is reader.critic.reader.model
    told = reader.tell(STORY, "en")
    assert told.likeness.value is not None
    assert told.coherence.value is not None
    parts = [part for _, part in told.sentences if part is not None]
    assert min(parts) < 0 < max(parts) or set(parts) == {0.0}
    assert reader.tell(STORY, "en") == told
