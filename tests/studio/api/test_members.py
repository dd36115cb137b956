"""The weights of an ensemble's members over HTTP: what is kept of them, and what a running story makes of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.studio.telling.test_members import FILE, ensemble, opened, pause, wanted, weights
from tests.studio.web import events_of, open_page, project_of

from storyteller.models.ensemble_file import Ensemble, Member, Rule, write_ensemble
from storyteller.studio.telling import Desk

__all__ = ["ensemble", "pause"]


@pytest.mark.parametrize("place", ["project", "writer", "studio"])
def test_a_story_follows_the_sliders_wherever_its_model_was_chosen(
    tmp_path: Path, ensemble: Path, pause: tuple[threading.Event, threading.Event], place: str
) -> None:
    model = str(ensemble)
    own, options = {"model": model} if place == "project" else {}, {"model": model} if place == "studio" else {}
    with (
        open_page(tmp_path, lambda store: Desk(store, opened(ensemble)), warm=False, **options) as page,
        ThreadPoolExecutor(1) as elsewhere,
    ):
        if place == "writer":
            page.put("/api/settings", json={"model": model})
        project, scene = project_of(page)
        page.patch(f"/api/projects/{project}", json={"settings": own})
        asked = elsewhere.submit(page.post, f"/api/scenes/{scene}/generate", json={"words": 8})
        reached, go = pause
        assert reached.wait(30)
        desk: Desk = page.app.state.studio.desk  # type: ignore[attr-defined]
        assert weights(desk, model) == FILE
        for given, held in (({"member-1": 1}, (0, 1, 0)), ({}, FILE), ({"member-2": 1}, (0, 0, 1))):
            answer = page.patch(f"/api/projects/{project}", json={"settings": own | {"members": given}})
            assert answer.status_code == 200, answer.text
            assert weights(desk, model) == held
        go.set()
        found = wanted(events_of(asked.result(30).text))
    assert found[0]["member-0"] > 0
    assert found[-1] == {"member-0": 0, "member-1": 0, "member-2": 1}


@pytest.mark.parametrize(
    ("rule", "given", "said"),
    [
        ("contrastive", {"expert": 1.4, "amateur": -0.4}, None),
        ("contrastive", {"expert": 0.4, "amateur": -0.4}, "more than 0"),
        ("contrastive", {"amateur": 1}, "the first member is the expert"),
        ("arithmetic", {"expert": 3, "amateur": 1}, None),
        ("arithmetic", {"expert": 1.4, "amateur": -0.4}, "negative in contrastive mixing alone"),
        ("arithmetic", {"expert": 0, "amateur": 0}, "more than 0"),
        ("arithmetic", {"expert": 1, "novice": 1}, "no member 'novice'"),
        (None, {"expert": 1}, "no ensemble"),
    ],
)
def test_weights_are_kept_if_the_model_can_write_with_them(
    tmp_path: Path, rule: Rule | None, given: dict[str, float], said: str | None
) -> None:
    folder = tmp_path / "runs" / "pair"
    folder.mkdir(parents=True)
    members = (Member(model="expert", weight=0.5), Member(model="amateur", weight=0.5))
    if rule is not None:
        write_ensemble(folder, Ensemble(rule=rule, members=members))
    chosen: dict[str, Any] = {"model": str(folder)}
    with open_page(tmp_path) as page:
        project, _ = project_of(page)
        page.patch(f"/api/projects/{project}", json={"settings": chosen})
        shown = [model["rule"] for model in page.get("/api/models").json() if model["name"] == str(folder)]
        answer = page.patch(f"/api/projects/{project}", json={"settings": chosen | {"members": given}})
        kept = page.get(f"/api/projects/{project}").json()["settings"]
        page.put("/api/settings", json=chosen)
        for_all = page.put("/api/settings", json=chosen | {"members": given})
    assert for_all.status_code == answer.status_code
    assert shown == ([rule] if rule else [])
    if said is None:
        assert (answer.status_code, kept) == (200, chosen | {"members": given})
    else:
        assert answer.status_code == 400
        assert said in answer.json()["error"]["message"]
        assert kept == chosen


def test_weights_of_an_ensemble_that_is_gone_keep_no_other_setting_away(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "pair"
    folder.mkdir(parents=True)
    file = write_ensemble(folder, Ensemble(members=(Member(model="a"), Member(model="b"))))
    chosen = {"model": str(folder), "members": {"a": 1}}
    with open_page(tmp_path) as page:
        project, _ = project_of(page)
        assert page.patch(f"/api/projects/{project}", json={"settings": chosen}).status_code == 200
        file.unlink()
        calm = page.patch(f"/api/projects/{project}", json={"settings": chosen | {"preset": "calm"}})
        assert (calm.status_code, calm.json()["settings"]["preset"]) == (200, "calm")
