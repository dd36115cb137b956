"""The weights of an ensemble's members over HTTP, while a real desk writes with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.studio.telling.test_members import FILE, ensemble, pause, wanted, weights
from tests.studio.web import events_of, open_page, project_of

from storyteller.generate import Storyteller
from storyteller.studio.telling import Desk

__all__ = ["ensemble", "pause"]


@pytest.mark.parametrize("place", ["project", "writer", "studio"])
def test_a_story_follows_the_sliders_wherever_its_model_was_chosen(
    tmp_path: Path, ensemble: Callable[[str], Storyteller], pause: tuple[threading.Event, threading.Event], place: str
) -> None:
    own = {"model": "default"} if place == "project" else {}
    with (
        open_page(tmp_path, lambda store: Desk(store, ensemble), warm=False) as page,
        ThreadPoolExecutor(1) as elsewhere,
    ):
        if place == "writer":
            page.put("/api/settings", json={"model": "default"})
        project, scene = project_of(page)
        page.patch(f"/api/projects/{project}", json={"settings": own})
        asked = elsewhere.submit(page.post, f"/api/scenes/{scene}/generate", json={"words": 8})
        reached, go = pause
        assert reached.wait(30)
        desk: Desk = page.app.state.studio.desk  # type: ignore[attr-defined]
        assert weights(desk) == FILE
        for given, held in (({"member-1": 1}, (0, 1, 0)), ({}, FILE), ({"member-2": 1}, (0, 0, 1))):
            answer = page.patch(f"/api/projects/{project}", json={"settings": own | {"members": given}})
            assert answer.status_code == 200, answer.text
            assert weights(desk) == held
        go.set()
        found = wanted(events_of(asked.result(30).text))
    assert found[0]["member-0"] > 0
    assert found[-1] == {"member-0": 0, "member-1": 0, "member-2": 1}
