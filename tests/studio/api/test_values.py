"""What is sent as null, in no sense or half, leaves nothing behind that could not be read or written with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.studio.web import open_page, project_of

from storyteller.studio.store.tables import ProjectRow


@pytest.fixture
def page(tmp_path: Path) -> Iterator[TestClient]:
    with open_page(tmp_path) as client:
        yield client


@pytest.mark.parametrize("damaged", [False, True])
def test_null_harms_no_project(page: TestClient, damaged: bool) -> None:
    project, scene = project_of(page, idea="A seal")
    fields = ("title", "language", "form", "idea", "theme", "plot", "words", "age", "memory", "note", "note_depth")
    if damaged:  # as earlier versions kept it
        with page.app.state.studio.store._shared.database.write() as session:  # type: ignore[attr-defined]
            row = session.get_one(ProjectRow, project)
            row.data = dict.fromkeys(row.data)
    else:
        for name in (*fields, "settings"):
            assert page.patch(f"/api/projects/{project}", json={name: None}).status_code == 200
    kept = page.get(f"/api/projects/{project}").json()
    assert (kept["title"], kept["idea"], kept["memory"], kept["note_depth"], kept["settings"]) == (
        "Seals",
        "",
        "",
        4,
        {},
    )
    assert page.get(f"/api/projects/{project}/export/md").status_code == 200
    assert page.post(f"/api/scenes/{scene}/generate", json={}).status_code == 200


def test_null_harms_no_entry(page: TestClient) -> None:
    project, _ = project_of(page)
    entry = page.post(
        f"/api/projects/{project}/entries", json={"name": "Mara", "aliases": ["M"], "always": True}
    ).json()
    for name in ("kind", "text", "aliases", "not", "always", "enabled", "priority", "proposed", "extra"):
        assert page.patch(f"/api/entries/{entry['id']}", json={name: None}).status_code == 200
    assert page.patch(f"/api/entries/{entry['id']}", json={"name": None}).status_code == 400
    (kept,) = page.get(f"/api/projects/{project}/entries").json()
    assert (kept["name"], kept["kind"], kept["aliases"], kept["always"], kept["enabled"]) == (
        "Mara",
        "other",
        [],
        False,
        True,
    )


def test_a_book_is_kept_whole_or_not_at_all(page: TestClient) -> None:
    blank = {"key": [], "keysecondary": [], "comment": "", "content": ""}
    named = blank | {"key": ["Mara"], "content": "A keeper."}
    book = json.dumps({"entries": {"0": named, "1": blank}}).encode()
    made = page.post("/api/import", files=[("files", ("world.json", book))]).json()
    assert [entry["name"] for entry in page.get(f"/api/projects/{made['project']}/entries").json()] == ["Mara"]
    assert "left out" in made["warnings"][-1]
    half, headers = b'{"text": "a \\ud800", "name": "x.txt"}', {"content-type": "application/json"}
    answer = page.post("/api/import", content=half, headers=headers)
    assert (answer.status_code, "surrogate" in answer.text) == (400, True)
    assert len(page.get("/api/projects").json()) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": "nope"}, "preset"),
        ({"sampling": {"temperature": "hot"}}, "sampling.temperature"),
        ({"sampling": {"top_p": 7}}, "sampling.top_p"),
        ({"sampling": 3}, "sampling"),
        ({"members": {"a": "much"}}, "members.a"),
        ({"model": ["x"]}, "model"),
        ({"safety": "maybe"}, "safety"),
    ],
)
def test_settings_that_no_text_could_be_written_with_are_refused(
    page: TestClient, settings: dict[str, Any], said: str
) -> None:
    project, _ = project_of(page)
    for answer in (
        page.put("/api/settings", json=settings),
        page.patch(f"/api/projects/{project}", json={"settings": settings}),
    ):
        assert answer.status_code == 422
        assert said in answer.json()["error"]["message"]
    assert page.get("/api/settings").json() == page.get(f"/api/projects/{project}").json()["settings"] == {}


def test_a_plan_says_what_was_chosen_at_each_step(page: TestClient) -> None:
    project, _ = project_of(page)
    plan = page.put(
        f"/api/projects/{project}/plan", json={"people": [{"who": "a keeper"}], "chosen": {"premise": 2}}
    ).json()
    assert (plan["people"], plan["chosen"]) == ([{"name": "", "who": "a keeper"}], {"premise": 2})
