from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from storyteller.errors import DataError
from storyteller.evaluate.blind.judgements import Judgement
from storyteller.evaluate.blind.results import render, summarise
from storyteller.evaluate.blind.schedule import schedule
from storyteller.evaluate.pairs import choose_pairs
from storyteller.evaluate.texts import Text


def judged(rater: str, *, likes: float, left: float = 0.5, prompts: int = 80, seed: int = 0) -> list[Judgement]:
    """What a simulated rater says who prefers system `good` with chance `likes`, else looks only at the side."""
    texts = [Text(f"{system} {n}", system, str(n)) for system in ("good", "bad") for n in range(prompts)]
    chance = np.random.default_rng(seed)
    said = []
    for showing in schedule(choose_pairs(texts), rater):
        a, b = showing.left[0], showing.right[0]
        choice = ("left" if a == "good" else "right") if chance.random() < likes else None
        side = "left" if chance.random() < left else "right"
        pair = showing.pair
        said.append(
            Judgement(
                pair.id,
                rater,
                choice or side,
                a,
                b,
                pair.prompt_id,
                pair.cluster,
                repeat=showing.repeat,
                seconds=9,  # type: ignore[arg-type]
            )
        )
    return said


def test_a_preference_is_found_and_said_first() -> None:
    summary = summarise(judged("Ada", likes=0.6), resamples=300)
    assert next(iter(summary["systems"])) == "good"
    meeting = summary["meetings"][0]
    assert meeting["wins"] + meeting["losses"] == summary["verdicts"] == 80
    assert meeting["win_rate"]["value"] == pytest.approx(0.8, abs=0.1)
    assert meeting["model"]["low"] > 0.5
    assert render(summary).splitlines()[2].startswith("**good is preferred to bad**")


def test_three_systems_see_what_two_of_them_can() -> None:
    good_bad = judged("Ada", likes=0.6)
    others = [
        replace(said, pair=f"{said.pair} {other}", left=other if said.left == "bad" else "good", right="good"
                if said.left == "bad" else other)
        for other in ("fair", "poor") for said in good_bad
    ]  # fmt: skip
    two, three = (summarise(said, resamples=20)["effect"] for said in (good_bad, [*good_bad, *others]))
    assert three["seen_with_these"] == two["seen_with_these"]
    assert three["pairs_needed"] == two["pairs_needed"]


def test_a_coin_shows_no_preference() -> None:
    summary = summarise(judged("Ada", likes=0.0, seed=4), resamples=300)
    assert "No preference between" in render(summary)
    assert summary["with_oneself"]["n"] == 8
    assert summary["with_oneself"]["value"] < 1


def test_a_rater_who_looks_at_the_side_is_found_out() -> None:
    summary = summarise(judged("Ada", likes=0.0, left=1.0), resamples=100)
    assert summary["left_side"]["value"] == 1
    assert summary["left_side"]["low"] > 0.9
    assert summary["with_oneself"]["value"] == 0  # sides were swapped
    assert summary["meetings"][0]["win_rate"]["value"] == pytest.approx(0.5)  # sides were balanced


def test_raters_agree_as_far_as_they_do() -> None:
    same = summarise(judged("Ada", likes=1.0) + judged("小波", likes=1.0), resamples=50)
    assert same["with_each_other"]["same"]["value"] == 1
    half = summarise(judged("Ada", likes=0.5, seed=1) + judged("小波", likes=0.5, seed=2), resamples=50)
    assert half["with_each_other"]["pairs"] == 80
    assert half["with_each_other"]["alpha"] < 0.6
    assert half["raters"] == {"Ada": 80, "小波": 80}
    assert "小波 80" in render(half)


def test_undone_and_skipped_pairs_do_not_count() -> None:
    said = judged("Ada", likes=0.9, prompts=20)
    first = next(judgement for judgement in said if not judgement.repeat)
    summary = summarise([*said, replace(first, choice="undo"), replace(first, choice="skip")], resamples=50)
    assert summary["verdicts"] == 19
    assert summary["skipped"] == 1


def test_reasons_are_kept_with_the_names() -> None:
    said = judged("Ada", likes=1.0, prompts=4)
    said[0] = replace(said[0], reason="它更好笑")
    said[1] = replace(said[1], choice="tie", reason="both dull")
    text = render(summarise(said, resamples=20))
    assert f"**good** before bad on {said[0].prompt_id}: 它更好笑" in text
    assert "tie, bad and good" in text


def test_the_summary_is_json_with_as_little_as_one_verdict() -> None:
    said = judged("Ada", likes=1.0, prompts=1)
    summary = summarise(said, resamples=20)
    assert json.loads(json.dumps(summary)) == summary
    text = render(summary)
    assert "not even a unanimous one" in text
    assert "not measured" in text
    with pytest.raises(DataError, match="no comparisons"):
        summarise([replace(said[0], choice="skip")])
    all_tied = render(summarise([replace(judgement, choice="tie") for judgement in said], resamples=20))
    assert "Nothing was decided" in all_tied
