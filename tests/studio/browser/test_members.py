"""The members of an ensemble on the page: their sliders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.studio.browser.pages import serving
from tests.studio.browser.test_pages import asked, start

from storyteller.models.ensemble_file import Ensemble, Member, Rule, write_ensemble


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
    with serving(folder) as started:
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
