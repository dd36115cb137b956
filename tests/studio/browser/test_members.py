"""The members of an ensemble on the page: their sliders, who wanted a word, and who is left out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.studio.browser.pages import serving
from tests.studio.browser.talking_desk import TalkingDesk
from tests.studio.browser.test_pages import asked, start, written

from storyteller.models.ensemble_file import Ensemble, Member, Rule, write_ensemble


class SurprisingDesk(TalkingDesk):
    """Draws a word that is none of the likeliest, and has lost a member."""

    extra: ClassVar = {"left_out": ["town"]}

    def weighed(self, token: str, place: int) -> dict[str, Any]:
        shares = {"p": 0.4, "members": {"sea": 0.2, "town": 0.8}}
        others = [{"text": " gull", "id": 900, **shares}, {"text": " moon", "id": 901, **shares}]
        return {"id": place, "logprob": math.log(0.02), "alternatives": others, "members": {"sea": 0.9, "town": 0.1}}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("studio")
    kinds: dict[str, tuple[Rule, dict[str, float]]] = {
        "mix": ("arithmetic", {"sea": 0.7, "town": 0.3}),
        "contrast": ("contrastive", {"expert": 1.5, "amateur": -0.5}),
    }
    for name, (rule, members) in kinds.items():
        (folder / "runs" / name).mkdir(parents=True)
        listed = tuple(Member(model=member, weight=weight) for member, weight in members.items())
        write_ensemble(folder / "runs" / name, Ensemble(rule=rule, members=listed))
    with serving(folder, SurprisingDesk) as started:
        yield started


def weighed(page: Any, project: str, model: str, **members: float) -> None:
    """Wait until a project's settings are these."""
    for _ in range(100):
        kept = asked(page, f"projects/{project}")["settings"]
        if (Path(kept.get("model", "")).name, kept.get("members")) == (model, members):
            return
        page.wait_for_timeout(50)
    raise AssertionError(kept)


def test_sliders_weigh_the_members_of_the_model_that_is_chosen(page: Any, address: str) -> None:
    project = start(page, address)
    page.click("#tab-model")
    page.select_option("select:has(option:text-is('mix'))", label="mix")
    weighed(page, project, "mix")
    page.get_by_label("town").press("End")
    weighed(page, project, "mix", sea=0.7, town=1)
    page.get_by_label("sea").press("Home")
    weighed(page, project, "mix", sea=0, town=1)
    page.get_by_label("town").press("Home")
    weighed(page, project, "mix", sea=0, town=0.05)  # somebody has to write
    page.select_option("select:has(option:text-is('mix'))", label="contrast")
    weighed(page, project, "contrast")
    assert page.get_by_label("town").count() == 0
    assert page.get_by_label("expert").is_disabled()
    page.get_by_label("amateur").press("Home")
    weighed(page, project, "contrast", expert=2, amateur=-1)
    page.select_option("select:has(option:text-is('mix'))", label="mix")
    weighed(page, project, "mix")
    assert page.get_by_label("sea").input_value() == "0.7"


def test_a_word_that_was_drawn_against_the_odds_says_who_wanted_it_and_who_is_left_out_is_named(
    page: Any, address: str
) -> None:
    start(page, address, how="begin")
    written(page, "with its work")
    page.wait_for_selector(".manuscript-notice:has-text('damaged weights: town')")
    page.click(".manuscript-notice >> text=Dismiss")
    assert page.locator(".manuscript-notice").count() == 0
    page.keyboard.press("Alt+t")
    box = page.locator(".ProseMirror p").first.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 14)
    drawn = page.wait_for_selector(".token-table tr.here")
    assert "sea 90%" in drawn.inner_text()
    assert "2%" in drawn.inner_text()
    assert page.locator(".token-table tbody tr").count() == 3
    assert page.locator(".token-table tbody button").count() == 2
