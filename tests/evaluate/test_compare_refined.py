"""The script that says whether a refinement worked: it passes only what the whole rule passes, and says what is missing."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tokens.stories import story, write_corpus

from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.judges import Verdict
from storyteller.evaluate.texts import HUMAN, Text, write_texts

PROMPTS = [f"p{number}" for number in range(12)]
BASELINES = ("fine-tuned", "continued", "best-of-4")
SEEDS = (1, 2, 3)
TEMPERATURES = (0.8, 1.0)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The script with a judge that finds `gail` half a class nearer to people than everything else."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    import compare_refined

    def judged(own: list[Text], people: Any, family: Any, meanings: Any) -> tuple[Verdict, list[int]]:
        shift = 0.2 if own[0].system == "gail" else 0.7
        places = np.array([int(text.prompt_id[1:]) for text in own]) / len(PROMPTS)
        verdict = Verdict(
            family, tuple(text.cluster for text in own), {"length": Interval(0.5, 0.5, 0.5, 12)},
            human=places + shift, system=places,
        )  # fmt: skip
        return verdict, [text.seed or 0 for text in own]

    monkeypatch.setattr(compare_refined, "unpatched", compare_refined.judged, raising=False)
    monkeypatch.setattr(compare_refined, "judged", judged)
    yield compare_refined
    sys.modules.pop("compare_refined", None)


def told(prompt: str, temperature: float) -> str:
    """A text of forty words, of fewer kinds where it is cooler."""
    chosen = random.Random(f"{prompt} {temperature}")
    return " ".join(chosen.choices([f"w{kind}" for kind in range(int(60 * temperature))], k=40))


def texts(systems: tuple[str, ...] = (*BASELINES, "gail"), seeds: tuple[int, ...] = SEEDS) -> list[Text]:
    return [Text(told(prompt, 1.0), HUMAN, prompt, prompt="w1 w2") for prompt in PROMPTS] + [
        Text(told(prompt, temperature), system, prompt, temperature=temperature, seed=seed, prompt="w1 w2")
        for system in systems for temperature in TEMPERATURES for seed in seeds for prompt in PROMPTS
    ]  # fmt: skip


def test_no_judge_sees_marks(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Meanings:
        name = "nothing"

        def judged(self, *groups: list[str], punctuation: bool) -> list[Any]:
            asked.append(punctuation)
            return [np.zeros((len(group), 1)) for group in groups]

    monkeypatch.setattr(script, "judge", lambda *_, punctuation, **__: asked.append(punctuation))
    own = [Text("A seal swam, far.", "gail", "p1", seed=1)]
    script.unpatched(own, {"p1": replace(own[0], system=HUMAN)}, "embedding", Meanings())
    assert asked == [False, False]


Judge = Callable[..., dict[str, Any]]


@pytest.fixture
def judge(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """The commands `plan` and `judge` on texts and losses; what they say of `gail`."""

    def call(
        given: list[Text],
        losses: list[dict[str, float]] | None = None,
        candidates: str = "gail",
        trained: str | None = "x",
    ) -> Any:
        paths = {name: tmp_path / name for name in ("people.jsonl", "texts.jsonl", "plan.json", "out")}
        write_texts(paths["people.jsonl"], [text for text in given if text.system == HUMAN])
        write_texts(paths["texts.jsonl"], given)
        files = []
        for seed, of_seed in enumerate([{"fine-tuned": 3.0, "gail": 3.1}] * 3 if losses is None else losses):
            files.append(tmp_path / f"{seed}.losses.json")
            files[-1].write_text(json.dumps({name: dict.fromkeys(PROMPTS, loss) for name, loss in of_seed.items()}))
        systems = ",".join([*BASELINES, "gail", "coop"])
        plan = ["plan", paths["people.jsonl"], "--systems", systems, "--seeds", 3, "--out", paths["plan.json"]]
        judged = ["judge", paths["texts.jsonl"], "--plan", paths["plan.json"], "--candidates", candidates]
        judged += ["--out", paths["out"], "--losses", *files]
        if trained is not None:
            judged += ["--data", write_corpus(tmp_path / "trained", [story(trained, "t")])]
        for command in (plan, judged):
            monkeypatch.setattr(sys, "argv", ["compare_refined.py", *map(str, command)])
            script.main()
        verdict = json.loads((paths["out"] / "verdict.json").read_text())
        return next(one for one in verdict["systems"] if one["system"] == "gail")

    return call


def test_a_refinement_passes_with_all_that_was_planned(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    gail = judge(texts())
    assert (gail["verdict"], gail["passed"], gail["provisional"]) == ("PASSED", True, [])
    assert "gail: PASSED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "losses", "reasons"),
    [
        (texts(seeds=(1,)), None, [f"1 of 3 seeds of training beside {one}" for one in BASELINES]),
        (texts(("fine-tuned", "gail")), None, ["no baseline continued", "no baseline best-of-4"]),
        (
            [replace(one, seed=(one.seed or 0) + 3) if one.system == "gail" else one for one in texts()],
            None,
            [f"0 of 3 seeds of training beside {one}" for one in BASELINES],
        ),
        (
            [one for one in texts() if (one.system, one.temperature) != ("fine-tuned", 0.8)],
            None,
            ["no fine-tuned at 0.8"],
        ),
        (
            [replace(one, text=" ".join([*"abcd"] * 10)) if one.system == "best-of-4" else one for one in texts()],
            None,
            ["no temperature at which it and best-of-4 have one distinct-2"],
        ),
        (texts()[:-1], None, ["1 texts of gail at 1 missing"]),
        (texts(), [], [f"{one}'s loss on people's texts for 0 of {n}" for one, n in (("gail", 3), ("fine-tuned", 1))]),
        (texts(), [{"fine-tuned": 3.0, "gail": 3.1}], ["gail's loss on people's texts for 1 of 3 seeds"]),
    ],
    ids=[
        "one seed",
        "one baseline",
        "no seed in common",
        "no point beside",
        "not matched",
        "a text",
        "no loss",
        "loss of one seed",
    ],
)
def test_without_something_of_the_plan_the_verdict_is_provisional(
    judge: Judge, given: list[Text], losses: Any, reasons: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    gail = judge(given, losses)
    assert (gail["verdict"], gail["passed"]) == ("PROVISIONAL", False)
    for reason in reasons:
        assert any(reason in one for one in gail["provisional"]), gail["provisional"]
    assert f"gail: PROVISIONAL\n  lacking: {gail['provisional'][0]}" in capsys.readouterr().out


def test_without_any_baseline_nothing_passes(judge: Judge) -> None:
    gail = judge(texts(), candidates="gail,fine-tuned,continued,best-of-4")
    assert not gail["passed"]
    assert {f"no baseline {one}" for one in BASELINES} <= set(gail["provisional"])


def test_people_s_texts_may_not_cost_more_than_a_twentieth(judge: Judge) -> None:
    gail = judge(texts(), [{"fine-tuned": 3.0, "gail": 3.2}] * 3)
    assert gail["verdict"] == "FAILED"
    assert gail["broken"] == ["loss on people's texts higher by 0.200 than 3.000"]
    # Each seed counts: of three files with the same names none takes the place of another.
    assert judge(texts(), [{"fine-tuned": 3.0, "gail": loss} for loss in (3.4, 3.2, 3.0)])["verdict"] == "FAILED"


def test_figures_that_fail_fail_whatever_is_missing(judge: Judge) -> None:
    gail = judge([one for one in texts() if one.seed in (1, None)], [{"fine-tuned": 3.0, "gail": 4.0}])
    assert gail["verdict"] == "FAILED"
    assert gail["provisional"]


def test_more_seeds_make_no_system_less_varied(script: Any) -> None:
    once = [text for text in texts(("gail",), (1,)) if text.system == "gail" and text.temperature == 1.0]
    people = {text.prompt_id: text for text in texts((), ()) if text.system == HUMAN}
    thrice = [replace(text, seed=seed) for seed in SEEDS for text in once]
    assert astuple(script.spot_of(thrice, people)) == pytest.approx(astuple(script.spot_of(once, people)), nan_ok=True)


def test_what_is_copied_or_beside_the_point_breaks_the_rule(judge: Judge) -> None:
    copied = " ".join(f"c{number}" for number in range(20))
    given = [replace(one, text=f"{one.text} {copied}") if one.system == "gail" else one for one in texts()]
    gail = judge(given, trained=copied)
    assert gail["verdict"] == "FAILED"
    assert any(reason.startswith("copied 3") for reason in gail["broken"]), gail["broken"]
    others = [replace(one, text=one.text.replace("w1", "z1")) if one.system == "gail" else one for one in texts()]
    assert any(reason.startswith("relevance") for reason in judge(others)["broken"])


def test_a_guardrail_that_was_not_measured_is_missing(judge: Judge) -> None:
    assert judge(texts(), trained=None)["provisional"] == ["how much is copied from the training texts (--data)"]
    unasked = judge([replace(one, prompt="") for one in texts()])
    assert unasked["provisional"] == ["relevance, since the texts do not say what was asked"]


def test_what_the_plan_did_not_ask_for_is_not_asked_afterwards(judge: Judge, script: Any, monkeypatch: Any) -> None:
    rule = sys.modules["refinement_rule"].RULE
    for key in ("copied", "relevance", "human_loss"):
        monkeypatch.delitem(rule, key)
    write = script.write_plan

    def written(*arguments: Any) -> None:  # an older plan, judged by the rule of today
        write(*arguments)
        rule.update(copied=0.01, relevance=0.01, human_loss=0.05)

    monkeypatch.setattr(script, "write_plan", written)
    copied = " ".join(f"c{number}" for number in range(20))
    given = [replace(one, text=f"{one.text} {copied}") for one in texts()]
    assert judge(given, [{"fine-tuned": 3.0, "gail": 4.0}], trained=None)["verdict"] == "PASSED"
