"""The shipped critic's way of reading: plain words, parts, sentences left out; and, slow, the weights that ship."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.tiny import tiny_model

from storyteller.adversarial.critic import Critic
from storyteller.adversarial.numbers import WriterNumbers
from storyteller.adversarial.passages import PART, SHIPPED, PassageCritic, plain
from storyteller.adversarial.using import BANDS
from storyteller.corpus import split_sentences
from storyteller.errors import DataError, ModelError
from storyteller.models import load_model, locate
from storyteller.models.features import Reader
from storyteller.recipe.models import CriticRecipe
from storyteller.tokens import StoryTokenizer

EXAMPLES = Path(__file__).parents[2] / "examples" / "stories" / "en"
STORY = next(iter(sorted(EXAMPLES.glob("*.md")))).read_text("utf-8").split("---\n", 2)[2].strip()


@pytest.fixture(scope="module")
def critic(tmp_path_factory: pytest.TempPathFactory) -> PassageCritic:
    folder = tiny_model(tmp_path_factory.mktemp("model"))
    reader = Reader(load_model(locate(folder)), StoryTokenizer.load(folder), (1, 2), likelihoods=False)
    return PassageCritic(reader, Critic(reader.width, 2, CriticRecipe(width=8), 1, (1, 2)))


def test_how_a_text_is_set_is_not_seen() -> None:
    printed = "“Well—” said he; “no!” And then – nothing…"
    typed = '"Well --" said he: "no." And then, nothing...'
    assert plain(printed).rstrip(",. ") == plain(typed).rstrip(",. ") == "Well, said he, no. And then, nothing"
    assert plain("The dog's well-known *tail*\nwagged!") == "The dog's well-known tail wagged."
    assert plain("* * *") == ""


@settings(deadline=None)
@example(",.")
@example("a. !—")
@given(st.text(max_size=200))
def test_plain_words_stay_plain(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert not set(once) & set(';:!“”"—\n')


def test_sentences_are_the_text_and_each_has_its_part(critic: PassageCritic) -> None:
    text = f"{STORY}\n\n* * *\n\n"
    (one,) = critic.judge([text])
    assert "".join(sentence for sentence, _ in one.sentences) == text
    assert one.tokens > 2 * PART  # so there are several parts
    assert len(one.without) == len(one.sentences) == len(split_sentences(text, "en"))
    assert one.without[-1] == one.realism  # what has no word changes nothing
    assert len(set(one.without)) > len(one.without) // 2
    again, other = critic.judge([text, "She ran. He slept for a while."])
    assert again.realism == pytest.approx(one.realism, abs=1e-4)
    assert other.without[1] == pytest.approx(critic.judge(["She ran."])[0].realism, abs=1e-4)


def test_a_beginning_is_judged_as_if_it_were_all(critic: PassageCritic) -> None:
    ((short, long),) = critic.beginnings([STORY], [[150, 500]])
    assert 0 < short.tokens <= 150 < PART < long.tokens <= 500
    sentences = split_sentences(STORY, "en")
    alone = [critic.judge(["".join(sentences[:count])])[0] for count in range(1, len(sentences))]
    for beginning in (short, long):
        same = next(one for one in alone if one.tokens == beginning.tokens)
        assert beginning.realism == pytest.approx(same.realism, abs=1e-4)
        assert beginning.place == pytest.approx(same.place, abs=1e-2)


def test_a_sentence_without_an_end_is_read_to_a_limit(critic: PassageCritic) -> None:
    (one,) = critic.judge(["and then " * 2000])
    assert one.tokens < 600
    for empty in ("", " \n", "* * *"):
        with pytest.raises(DataError, match="nothing to judge"):
            critic.judge([STORY, empty])


def test_it_comes_back_from_its_folder(critic: PassageCritic, tmp_path: Path) -> None:
    critic.save(tmp_path, {"base": "tiny"})
    again = PassageCritic.load(tmp_path, critic.reader)
    assert again.judge([STORY])[0].realism == pytest.approx(critic.judge([STORY])[0].realism, abs=0.02)
    other = Reader(critic.reader.model, critic.reader.tokenizer, (1,), likelihoods=False)
    assert PassageCritic.load(tmp_path, other).reader.layers == (1, 2)
    with pytest.raises(ModelError, match="was made on smollm2-135m-instruct"):
        PassageCritic.load(SHIPPED, critic.reader)
    with pytest.raises(ModelError, match="holds no critic"):
        PassageCritic.load(tmp_path / "none", critic.reader)


def test_what_ships_is_small_and_has_people_in_every_band() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 1_000_000
    numbers = WriterNumbers.load(SHIPPED)
    assert [BANDS[band] for band in sorted(numbers.likeness.bands)] == [75, 100, 150, 200, 300, 500]
    for values in numbers.likeness.bands.values():
        assert len(values) >= 100
        assert np.isfinite(values).all()
        assert values == sorted(values)
    card = json.loads((SHIPPED / "critic.json").read_text("utf-8"))
    assert card["held_out"]


@pytest.mark.slow
def test_the_shipped_critic_knows_our_model_from_people_and_code_from_prose() -> None:
    critic, numbers = PassageCritic.load(), WriterNumbers.load(SHIPPED)
    own = [path.read_text("utf-8").split("---\n", 2)[2].strip() for path in sorted(EXAMPLES.glob("*.md"))[:12]]
    told = [numbers.tell(one) for one in critic.judge([" ".join(text.split()[:200]) for text in own])]
    assert sum(one.likeness is not None for one in told) >= 10
    model = (
        "The old man had been living in the house for a long time. He had been a very good man, and he had been very "
        "happy. He had been living in the house for many years. He said that he was very happy, and that he had been "
        "very happy. The people of the house had been very good to him, and he had been very good to them. He had "
        "been a good man, and he had been a very good man to the people of the house, and they were all very happy."
    )
    (flat,) = critic.judge([model])
    shown = numbers.tell(flat)
    assert shown.likeness is None or shown.likeness < 15
    code = Path(__file__).read_text("utf-8")[500:2000]
    assert numbers.tell(critic.judge([code])[0]).reason == "kind"
    first, second = critic.judge([own[0][:900], own[0][:900]])
    assert (first.realism, first.without) == (second.realism, second.without)
