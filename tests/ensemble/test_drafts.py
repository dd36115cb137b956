from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import nan
from pathlib import Path

import numpy as np
import pytest
from tests.adapters import tiny_ensemble
from tests.generate.scripted import ScriptedEngine
from tests.tiny import tiny_model

from storyteller.ensemble.cascading import cascade
from storyteller.ensemble.drafts import Draft, draft_many, rank, show, writers
from storyteller.ensemble.relaying import relay
from storyteller.errors import GenerationError, ModelError
from storyteller.generate import Storyteller
from storyteller.generate.mixture import Mixer, MixtureEngine, Single
from storyteller.generate.torch_batch import TorchBatch
from storyteller.tokens import Character, Request, StoryTokenizer, Template

SEAL = "Mara met a seal. It sang to her. She went home."
CLOCK = "A clock stood still. Nobody saw it. Time ran away."


class Reciting(ScriptedEngine):
    """Goes on with its text from wherever what it reads has arrived in it, and begins it after anything else."""

    tokenizer: StoryTokenizer

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        logits = np.zeros(self.vocabulary_size, dtype=np.float32)
        read = self.tokenizer.decode(ids[-64:])
        for place in range(len(self._script), -1, -1):
            if read.endswith(self.tokenizer.decode(self._script[:place])):
                logits[self._script[place] if place < len(self._script) else self._stop] = 100.0
                break
        return logits


def teller(folder: Path, text: str, name: str) -> Storyteller:
    tokenizer = StoryTokenizer.load(folder)
    engine = Reciting(tokenizer, text)
    engine.tokenizer = tokenizer
    return Storyteller(engine, Template.for_tokenizer(tokenizer), name=name)


@pytest.fixture
def mixture(tiny_llama: Path, tmp_path: Path) -> Iterator[Storyteller]:
    loaded = Storyteller.load(str(tiny_ensemble(tiny_llama, tmp_path / "ensemble")), "torch")
    yield loaded
    loaded.close()


def test_the_members_of_a_mixture_draft_in_turn_and_its_weights_come_back(mixture: Storyteller) -> None:
    mixture.engine.weights = (0.2, 0.3, 0.5)  # type: ignore[attr-defined]
    drafts = draft_many(mixture, Request(about="A seal."), 5, seed=7, max_tokens=8)
    assert [draft.member for draft in drafts] == ["member-0", "member-1", "member-2", "member-0", "member-1"]
    assert [draft.told.seed for draft in drafts] == [7, 8, 9, 10, 11]
    assert mixture.engine.weights == (0.2, 0.3, 0.5)  # type: ignore[attr-defined]
    again = draft_many(mixture, Request(about="A seal."), 5, seed=7, max_tokens=8)
    assert [draft.text for draft in again] == [draft.text for draft in drafts]
    mixture.engine.weights = (0.0, 1.0, 0.0)  # type: ignore[attr-defined]
    assert mixture.tell("A seal.", seed=8, max_tokens=8).text == drafts[1].text


def test_adapters_of_one_base_draft_in_one_batch_what_each_drafts_alone(
    mixture: Storyteller, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, passes = TorchBatch._read, []

    def counted(self: TorchBatch, rows: list[int], *arguments: object) -> object:
        passes.append(len(rows))
        return read(self, rows, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchBatch, "_read", counted)
    request = Request(about="A seal.")
    together = draft_many(mixture, request, 7, seed=7, max_tokens=12)  # 3, 2 and 2 of the members
    several, passes[:] = len(passes), []
    turn = draft_many(mixture, request, 7, seed=7, max_tokens=12, rows=16)
    assert [(draft.text, draft.member) for draft in together] == [(draft.text, draft.member) for draft in turn]
    assert len({draft.text for draft in together}) > 3
    assert several < 0.5 * len(passes)
    assert mixture.engine.weights == (0.5, 0.3, 0.2)  # type: ignore[attr-defined]


def test_storytellers_of_any_tokenizer_draft_together(tmp_path: Path) -> None:
    tellers = [
        teller(tiny_model(tmp_path / name, vocabulary=vocabulary), text, name)
        for name, vocabulary, text in (("seal", 320, SEAL), ("clock", 300, CLOCK))
    ]
    assert [writer.name for writer in writers(tellers)] == ["seal", "clock"]
    drafts = draft_many(tellers, Request(about="x"), 2, seed=1, temperature=0)
    assert {draft.member: draft.text for draft in drafts} == {"seal": SEAL, "clock": CLOCK}
    ranked = rank(drafts, Request(characters=(Character("Mara"),)))
    assert [draft.member for draft in ranked] == ["seal", "clock"]
    assert ranked[0].scores["people"] == 1.0
    ranked = rank(drafts, Request(), {"clocks": lambda texts, request: [text.count("clock") for text in texts]})
    assert ranked[0].member == "clock"
    ranked = rank(
        drafts, Request(), {"clocks": lambda texts, request: [text.count("clock") for text in texts]}, {"clocks": -1}
    )
    assert ranked[0].member == "seal"
    with pytest.raises(GenerationError, match="no scorer is called"):
        rank(drafts, Request(), weights={"beauty": 1})


def test_a_doubtful_text_is_last_and_is_not_shown(tmp_path: Path) -> None:
    listed = teller(tiny_model(tmp_path / "m"), "1. one\n2. two\n3. three\n4. four\n5. five", "lists")
    told = teller(tmp_path / "m", SEAL, "tells")
    drafts = draft_many([listed, told], Request(about="x"), 2, seed=1, temperature=0)
    ranked = rank(drafts, Request(), {"digits": lambda texts, request: [sum(map(str.isdigit, t)) for t in texts]})
    assert [draft.member for draft in ranked] == ["tells", "lists"]
    assert [draft.member for draft in show(ranked, 2, temperature=0)] == ["tells"]


def test_a_set_is_shown_without_near_copies() -> None:
    from storyteller.generate import Told

    def draft(text: str, total: float) -> Draft:
        told = Told(text, 5, "stop", "m", "e", 0, "", "story", "en", None, 0.0, 1, 1.0)
        return Draft(told, "m", total=total)

    ranked = [
        draft("the seal sang to the moon", 2.0),
        draft("the seal sang to the moon!", 1.9),
        draft("no clocks", 0.5),
    ]
    shown = show(ranked, 2, temperature=0, balance=0.5)
    assert [d.text for d in shown] == ["the seal sang to the moon", "no clocks"]
    assert show([], 2) == []


def prefers(*words: str) -> object:
    def score(texts: Sequence[str], request: Request) -> list[float]:
        return [sum(word in text for word in words) for text in texts]

    return score


def test_a_relay_takes_the_better_sentence_each_turn_across_tokenizers(tmp_path: Path) -> None:
    tellers = [
        teller(tiny_model(tmp_path / "seal", vocabulary=320), SEAL, "seal"),
        teller(tiny_model(tmp_path / "clock", vocabulary=300), CLOCK, "clock"),
    ]
    wanted = {"right": prefers("Mara met", "clock stood")}
    relayed = relay(tellers, Request(about="x"), wanted, drafts=4, keep=2, most=2, temperature=0)  # type: ignore[arg-type]
    assert {part.member for part in relayed.parts} == {"seal", "clock"}
    assert "Mara met a seal." in relayed.text
    assert "A clock stood still." in relayed.text
    with pytest.raises(GenerationError, match="cannot be kept"):
        relay(tellers, Request(about="x"), {}, drafts=2, keep=3)


def test_a_relay_keeps_the_opening_and_ends_at_the_wished_length(tmp_path: Path) -> None:
    told = teller(tiny_model(tmp_path / "seal"), " " + SEAL, "seal")
    request = Request(about="x", opening="Once there was a pier.", words=15)
    relayed = relay(told, request, {}, drafts=2, keep=1, temperature=0)
    assert relayed.text.startswith("Once there was a pier.")
    assert relayed.over
    assert len(relayed.text.split()) == 16


def test_a_relay_by_paragraphs_and_of_a_mixture(mixture: Storyteller, tmp_path: Path) -> None:
    lines = teller(tiny_model(tmp_path / "m"), "One line here.\nAnother line there.\n", "lines")
    relayed = relay(lines, Request(about="x"), {}, unit="paragraph", drafts=1, keep=1, most=2, temperature=0)
    assert relayed.parts[0].text == "One line here."
    mixed = relay(mixture, Request(about="x"), {}, drafts=3, keep=1, most=2, max_tokens=8)
    assert mixed.parts
    assert mixture.engine.weights == (0.5, 0.3, 0.2)  # type: ignore[attr-defined]


class Stopping(Reciting):
    """Is stopped, as with Ctrl-C, or fails when it has been asked so many times."""

    left = 0
    error: BaseException

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        if not self.left:
            raise self.error
        self.left -= 1
        return super().feed(ids)


def stopped(folder: Path, left: int, error: BaseException | None = None) -> Storyteller:
    told = teller(folder, SEAL, "seal")
    told.engine.__class__ = Stopping
    told.engine.left, told.engine.error = left, error or KeyboardInterrupt()  # type: ignore[attr-defined]
    return told


def test_what_is_written_when_a_relay_or_drafts_are_stopped_is_kept(tmp_path: Path) -> None:
    folder, request = tiny_model(tmp_path / "m"), Request(about="x")
    whole = relay(teller(folder, SEAL, "seal"), request, {}, drafts=1, keep=1, temperature=0)
    tokens = len(StoryTokenizer.load(folder).encode(SEAL))
    begun = relay(stopped(folder, tokens - 2), request, {}, drafts=1, keep=1, temperature=0)
    assert begun.parts == whole.parts[: len(begun.parts)]
    assert 0 < len(begun.parts) < len(whole.parts)
    drafts = draft_many(stopped(folder, 2 * tokens), request, 3, seed=1, temperature=0)
    assert [draft.text for draft in drafts] == [SEAL]
    for write in (
        lambda: relay(stopped(folder, 3), request, {}, temperature=0),
        lambda: draft_many(stopped(folder, 3), request, 3, temperature=0),
    ):
        with pytest.raises(KeyboardInterrupt):  # nothing is whole yet
            write()


@pytest.mark.parametrize("error", [GenerationError("no finite logits"), RuntimeError("out of memory")])
def test_a_member_that_fails_leaves_the_others_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    folder, request = tiny_model(tmp_path / "m"), Request(about="x")
    tokens = len(StoryTokenizer.load(folder).encode(SEAL))

    def tellers(left: int) -> list[Storyteller]:
        return [teller(folder, CLOCK, "clock"), stopped(folder, left, error)]

    relayed = relay(tellers(3), request, {}, drafts=2, keep=1, temperature=0)
    assert (relayed.text, relayed.over) == (CLOCK, True)
    assert capsys.readouterr().err.count(f"seal is left out from here on: {error}") == 1
    drafts = draft_many(tellers(tokens + 2), request, 4, seed=1, temperature=0)
    assert [(draft.member, draft.told.seed) for draft in drafts] == [("clock", 1), ("seal", 2), ("clock", 3)]
    assert f"drafts by seal are left out: {error}" in capsys.readouterr().err
    with pytest.raises(type(error), match=str(error)):
        draft_many(stopped(folder, 3, error), request, 2)


class Damaged(Reciting):
    """Gives no numbers."""

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        return np.full(self.vocabulary_size, nan, dtype=np.float32)


def test_what_the_others_write_for_a_damaged_member_of_a_mixture_does_not_bear_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, request = tiny_model(tmp_path / "m"), Request(about="x")

    def mixed() -> Storyteller:
        told, *others = (teller(folder, text, name) for text, name in ((SEAL, "a"), (SEAL, "b"), (CLOCK, "c")))
        others[0].engine.__class__ = Damaged
        groups = [Single(one.engine) for one in (told, *others)]
        told.engine = MixtureEngine(groups, Mixer("abc", [1, 1, 1], [0.5, 0.3, 0.2]))
        return told

    told = mixed()
    for _ in range(2):  # dropped while it writes, and before
        drafts = draft_many(told, request, 6, seed=1, temperature=0)
        assert [draft.member for draft in drafts] == ["a", "c", "a", "c"]
        assert {draft.text for draft in drafts} == {SEAL, CLOCK}
        assert "drafts by b are left out: it gives no finite logits" in capsys.readouterr().err
    relayed = relay(mixed(), request, {}, drafts=3, keep=1, temperature=0)
    assert {part.member for part in relayed.parts} <= {"a", "c"}
    assert capsys.readouterr().err.count("b is left out from here on") == 1


FAILING = [ModelError("it is damaged"), RuntimeError("out of memory"), OSError("disk full"), KeyboardInterrupt()]


@pytest.mark.parametrize("error", FAILING)
def test_a_cascade_keeps_the_small_models_story_when_the_larger_one_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    def large() -> Storyteller:
        raise error

    small = teller(tiny_model(tmp_path / "m"), SEAL, "small")
    done = cascade(small, large, Request(about="x"), lambda texts, request: [0.1], 0.5, temperature=0)
    assert (done.told.text, done.score, done.escalated) == (SEAL, 0.1, True)
    assert f"told nothing ({error if str(error) else 'stopped'})" in capsys.readouterr().err


@pytest.mark.parametrize("error", FAILING)
@pytest.mark.parametrize("scored", [0, 1])
def test_a_cascade_keeps_the_small_models_story_when_it_cannot_be_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException, scored: int
) -> None:
    small, large = (
        teller(tiny_model(tmp_path / "m"), text, name) for text, name in ((SEAL, "small"), (CLOCK, "large"))
    )
    scores = iter([0.1] * scored)

    def score(texts: Sequence[str], request: Request) -> list[float]:
        for value in scores:
            return [value]
        raise error

    done = cascade(small, lambda: large, Request(about="x"), score, 0.5, temperature=0)
    assert (done.told.text, done.escalated) == (SEAL, bool(scored))
    assert done.score == pytest.approx(0.1 if scored else nan, nan_ok=True)
    asked = "larger" if scored else "smaller"
    assert f"the {asked} model's story has no score ({str(error) or 'stopped'})" in capsys.readouterr().err


def test_a_cascade_asks_the_larger_model_only_when_the_score_is_low(tmp_path: Path) -> None:
    small = teller(tiny_model(tmp_path / "m"), SEAL, "small")
    opened = []

    def large() -> Storyteller:
        opened.append(1)
        return teller(tmp_path / "m", CLOCK, "large")

    def score(texts: Sequence[str], request: Request) -> list[float]:
        return [1.0 if "clock" in text else 0.4 for text in texts]

    request = Request(about="x")
    kept = cascade(small, large, request, score, 0.3, temperature=0, seed=1)
    assert (kept.told.model, kept.escalated, opened) == ("small", False, [])
    asked = cascade(small, large, request, score, 0.5, temperature=0, seed=1)
    assert (asked.told.model, asked.score, asked.escalated, opened) == ("large", 1.0, True, [1])
    better = cascade(small, large, request, lambda texts, request: [-len(text) for text in texts], 0.5, temperature=0)
    assert (better.told.model, better.escalated) == ("small", True)


@pytest.mark.parametrize(
    ("scores", "doubts", "taken"),
    [
        ((nan, 3.0), (None, None), "large"),
        ((nan, nan), (None, None), "small"),
        ((0.4, nan), (None, None), "small"),
        ((1.0, -5.0), ("list", "empty"), "small"),
        ((-5.0, 1.0), ("list", "empty"), "large"),
        ((1.0, 0.2), ("list", None), "large"),
        ((0.2, 1.0), (None, "list"), "small"),
    ],
)
def test_a_cascade_takes_the_larger_models_story_only_if_it_is_better(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scores: tuple[float, float],
    doubts: tuple[str | None, str | None],
    taken: str,
) -> None:
    small, large = (
        teller(tiny_model(tmp_path / "m"), text, name) for text, name in ((SEAL, "small"), (CLOCK, "large"))
    )
    monkeypatch.setattr("storyteller.generate.writing.doubt", lambda text, form: doubts["clock" in text])
    done = cascade(
        small, lambda: large, Request(about="x"), lambda texts, _: [scores["clock" in texts[0]]], 0.5, temperature=0
    )
    assert (done.told.model, done.escalated) == (taken, True)
    assert done.score == pytest.approx(scores[taken == "large"], nan_ok=True)


def test_a_sentence_that_the_wished_length_cuts_is_left_out(tmp_path: Path) -> None:
    folder, endless = tiny_model(tmp_path / "m"), "Mara met a seal. And then " + "she rowed and " * 30
    relayed = relay(
        teller(folder, endless, "endless"), Request(about="x", words=8), {}, drafts=1, keep=1, temperature=0
    )
    assert relayed.over
    assert relayed.text == "Mara met a seal."
    assert relayed.told().finish_reason == "length"


def test_a_relay_outgrows_the_window_and_goes_on_from_its_end(tmp_path: Path) -> None:
    told = teller(tiny_model(tmp_path / "m"), "Mara met a seal. It sang to her. " * 9, "seal")
    told.engine.context = 320
    relayed = relay(told, Request(about="x", words=160), {}, drafts=1, keep=1, temperature=0)
    assert len(relayed.told().text.split()) >= 144
    assert len(told.tokenizer.encode(relayed.text)) > 320
    assert relayed.told().finish_reason == "stop"


@pytest.mark.parametrize("error", [GenerationError("llama.cpp cannot go on"), RuntimeError("out of memory")])
def test_a_relay_keeps_the_story_so_far_when_its_members_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    folder, request = tiny_model(tmp_path / "m"), Request(about="x")
    tokens = len(StoryTokenizer.load(folder).encode(SEAL))
    failing = stopped(folder, tokens - 2, error)
    relayed = relay(failing, request, {}, drafts=1, keep=1, temperature=0)
    assert 0 < len(relayed.parts) < 3
    assert SEAL.startswith(relayed.text)
    assert f"stopped after {len(relayed.parts)} sentences: {error}" in capsys.readouterr().err
    with pytest.raises(type(error)):
        relay(stopped(folder, 3, error), request, {}, temperature=0)
