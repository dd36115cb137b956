from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.fake_openai import fake_openai
from tests.studio.fake_desk import WORDS
from tests.studio.web import events_of, open_page, project_of

STORY = "从前有一只海豹🦭。\nA keeper heard it.\n"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[TestClient]:
    with open_page(tmp_path) as client:
        yield client


def splice(page: TestClient, scene: str, base: str, insert: str, start: int = 0, remove: int = 0, **more: Any) -> Any:
    body = {"base": base, "splices": [{"start": start, "remove": remove, "insert": insert, **more}]}
    return page.post(f"/api/scenes/{scene}/splices", json=body)


def test_status_and_settings(page: TestClient) -> None:
    status = page.get("/api/status").json()
    assert status["model"]["name"] == "default"
    assert status["model"]["parameters"] == 134_515_008
    assert status["model"]["bytes"] > 90_000_000
    assert status["model"]["figures"][0]["value"] == 1.2153
    assert status["storage"]["free_bytes"] > 0
    assert page.get("/api/settings").json() == {}
    kept = {"interface": "zh", "theme": "dark", "keys": {"stop": "Escape"}, "ghost": True, "mine": [1, {"a": None}]}
    assert page.put("/api/settings", json=kept).json() == kept
    assert page.get("/api/settings").json() == kept
    too_much = page.put("/api/settings", json={"x": "y" * 300_000})
    assert (too_much.status_code, too_much.json()["error"]["next"]) == (400, "Keep texts in notes.")


def test_projects_and_their_trees(page: TestClient) -> None:
    made = page.post("/api/projects", json={
        "title": "海豹", "language": "zh", "form": "fable", "idea": "海豹说话", "words": 300, "age": 8,
        "characters": [{"name": "小舟", "who": "守塔人"}],
    })  # fmt: skip
    assert made.status_code == 201
    project = made.json()
    assert (project["language"], project["form"], project["words"], project["age"]) == ("zh", "fable", 300, 8)
    kinds = [item["kind"] for item in project["tree"]]
    assert kinds == ["chapter", "scene"]
    p, chapter = project["id"], project["tree"][0]["id"]
    assert [entry["name"] for entry in page.get(f"/api/projects/{p}/entries").json()] == ["小舟"]
    changed = page.patch(f"/api/projects/{p}", json={"memory": "雨。", "settings": {"preset": "calm"}}).json()
    assert (changed["memory"], changed["settings"], changed["title"]) == ("雨。", {"preset": "calm"}, "海豹")
    scene = page.post(
        f"/api/projects/{p}/items", json={"kind": "scene", "title": "二", "parent": chapter, "text": STORY}
    )
    assert scene.status_code == 201
    item = scene.json()["id"]
    assert page.patch(f"/api/items/{item}", json={"title": "三", "position": 0}).json()["title"] == "三"
    page.delete(f"/api/items/{item}")
    assert item not in str(page.get(f"/api/projects/{p}").json()["tree"])
    assert [gone["id"] for gone in page.get(f"/api/projects/{p}/trash").json()] == [item]
    page.post(f"/api/items/{item}/restore")
    assert item in str(page.get(f"/api/projects/{p}").json()["tree"])
    assert page.get(f"/api/scenes/{item}").json()["text"] == STORY
    page.delete(f"/api/projects/{p}")
    assert page.get("/api/projects").json() == []
    assert [one["id"] for one in page.get("/api/projects?trashed=true").json()] == [p]
    assert page.post(f"/api/projects/{p}/restore").json()["id"] == p
    assert page.get("/api/projects").json()[0]["title"] == "海豹"


def test_a_manuscript_its_history_and_its_branches(page: TestClient) -> None:
    _, scene = project_of(page)
    first = page.get(f"/api/scenes/{scene}").json()["head"]
    saved = splice(page, scene, first, STORY).json()
    assert page.get(f"/api/scenes/{scene}").json()["text"] == STORY
    seal = len("从前有一只海豹".encode("utf-16-le")) // 2
    cut = splice(page, scene, saved["head"], "", start=seal, remove=2, kind="type").json()  # one character, two units
    text = page.get(f"/api/scenes/{scene}").json()["text"]
    assert text == STORY.replace("🦭", "")
    stale = splice(page, scene, first, "lost?")
    assert stale.status_code == 409
    assert stale.json()["error"]["code"] == "conflict"
    assert (stale.json()["head"], stale.json()["text"]) == (cut["head"], text)
    assert sum(span[0] for span in stale.json()["provenance"]) == len(text.encode("utf-16-le")) // 2
    undone = page.post(f"/api/scenes/{scene}/undo", json={"base": cut["head"]}).json()
    assert undone["splice"] is not None
    redone = page.post(f"/api/scenes/{scene}/redo", json={"base": undone["head"]}).json()
    assert redone["text"] == text
    nodes = page.get(f"/api/scenes/{scene}/history").json()
    assert {node["kind"] for node in nodes} >= {"type", "undo"}
    assert page.put(f"/api/nodes/{nodes[-1]['node']}/label", json={"label": "开头"}).status_code == 200
    assert "开头" in [branch["label"] for branch in page.get(f"/api/scenes/{scene}/branches").json()]
    then = page.get(f"/api/scenes/{scene}/at/{nodes[-1]['node']}").json()
    back = page.post(f"/api/scenes/{scene}/restore", json={"base": redone["head"], "node": nodes[-1]["node"]}).json()
    assert back["text"] == then["text"]
    gone = page.post(f"/api/scenes/{scene}/head", json={"base": back["head"], "node": nodes[0]["node"]})
    assert gone.status_code == 200


def test_text_streams_and_is_taken_up_again(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine counts longer than a page waits.
    monkeypatch.setattr("storyteller.studio.api.quality._PATIENCE", 30.0)
    project, scene = project_of(page)
    answer = page.post(
        f"/api/scenes/{scene}/generate", json={"mode": "continue", "n": 2, "sampling": {"temperature": 1.2}}
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    events = events_of(answer.text)
    assert [number for number, _, _ in events] == list(range(1, len(WORDS) + 3))
    assert "".join(data["text"] for _, name, data in events if name == "text") == "".join(WORDS)
    generation = events[0][2]["generation"]
    again = events_of(page.get(f"/api/generations/{generation}/events?after=4").text)
    assert again == events[4:]
    by_header = page.get(f"/api/generations/{generation}/events", headers={"last-event-id": "6"})
    assert events_of(by_header.text) == events[6:]
    record = page.get(f"/api/generations/{generation}").json()
    assert record["candidates"][0]["text"] == "".join(WORDS)
    asked = page.app.state.studio.desk.asked[-1]  # type: ignore[attr-defined]
    assert asked[1] == {"mode": "continue", "n": 2, "sampling": {"temperature": 1.2}, "model": "default"}
    assert page.post(f"/api/generations/{generation}/stop").json() == {"ok": True}
    head = page.get(f"/api/scenes/{scene}").json()["head"]
    splice(page, scene, head, "".join(WORDS), author="model", generation=generation, candidate=0, kind="generate")
    passage = page.get(f"/api/scenes/{scene}/alternatives?at=3").json()
    assert [one["text"] for one in passage["alternatives"] if one["current"]] == ["".join(WORDS)]
    seen = page.post(f"/api/scenes/{scene}/context", json={"mode": "continue"}).json()
    assert seen["parts"][0] == {"name": "memory", "text": "Rain.", "tokens": 2, "why": "always"}
    quality = page.get(f"/api/quality/{project}").json()
    assert quality["provenance"]["model"] == 1
    assert "100% by a language model" in quality["disclosure"]
    logged = {"generation": generation, "candidate": 0, "kind": "accept", "kept_text": "".join(WORDS)}
    assert page.post("/api/events/choice", json=logged).status_code == 201
    assert page.get("/api/edits/summary").status_code == 200
    exported = page.get("/api/edits/export?kind=pairs")
    assert exported.headers["content-disposition"].startswith("attachment")
    assert all(isinstance(json.loads(line), dict) for line in exported.text.splitlines())
    page.delete("/api/edits")
    assert page.get("/api/edits/export").text == ""


def test_entries_fire(page: TestClient) -> None:
    project, scene = project_of(page)
    mara = page.post(f"/api/projects/{project}/entries", json={
        "kind": "person", "name": "Mara", "aliases": ["the keeper"], "not": ["Maratea"], "text": "She keeps the light."
    })  # fmt: skip
    assert mara.status_code == 201
    assert mara.json()["not"] == ["Maratea"]
    fired = page.post(f"/api/projects/{project}/entries/test", json={"text": "🦭🦭 Mara rowed."}).json()
    assert fired == [{"entry": mara.json()["id"], "key": "Mara", "start": 5, "end": 9, "why": "name"}]
    changed = page.patch(f"/api/entries/{mara.json()['id']}", json={"enabled": False}).json()
    assert (changed["enabled"], changed["name"]) == (False, "Mara")
    assert page.post(f"/api/projects/{project}/entries/test", json={"text": "Mara rowed."}).json() == []
    page.delete(f"/api/entries/{mara.json()['id']}")
    assert page.get(f"/api/projects/{project}/entries").json() == []
    head = page.get(f"/api/scenes/{scene}").json()["head"]
    splice(page, scene, head, "Then Eliza said no. But Eliza went on, and Tom saw Eliza.")
    assert [entry["name"] for entry in page.post(f"/api/projects/{project}/entries/propose").json()] == ["Eliza"]
    assert page.post(f"/api/projects/{project}/entries/propose").json() == []


def test_plans_and_chat(page: TestClient) -> None:
    project, _ = project_of(page)
    plan = {"premise": "A seal talks.", "people": [{"name": "Mara", "who": ""}], "summary": "", "chosen": 1,
            "outline": [{"id": "s1", "title": "One", "beats": [{"id": "b1", "text": "She rows.", "words": 200}]}]}  # fmt: skip
    assert page.put(f"/api/projects/{project}/plan", json=plan).json() == plan
    page.put(f"/api/projects/{project}/plan", json=plan | {"premise": "Another."})
    assert len(page.get(f"/api/projects/{project}/plan/versions").json()) == 2
    assert page.get(f"/api/projects/{project}/plan?version=1").json()["premise"] == "A seal talks."
    for part in ("premise", "people", "outline", "beats"):
        events = events_of(page.post(f"/api/projects/{project}/plan/{part}", json={"n": 2}).text)
        assert [name for _, name, _ in events] == ["plan", "done"]
        assert events[0][2]["value"] == part
    assert page.post(f"/api/projects/{project}/plan/ending").status_code == 422
    assert (
        next(name for _, name, _ in events_of(page.post(f"/api/projects/{project}/plan/draft", json={}).text)) == "beat"
    )
    said = events_of(page.post(f"/api/projects/{project}/chat", json={"text": "你好"}).text)
    assert said[0][2]["text"] == "海豹说。"
    assert page.get(f"/api/projects/{project}/chat").json() == []


def test_models_presets_and_connections(page: TestClient) -> None:
    models = {model["name"]: model for model in page.get("/api/models").json()}
    assert models["default"]["loaded"]
    assert models["default"]["kind"] == "adapter"
    assert "all-minilm-l6-v2" not in models  # writes nothing
    assert models["gemma3-270m"]["terms"]
    presets = page.get("/api/presets").json()
    assert [preset["id"] for preset in presets] == ["calm", "steady", "natural", "lively", "wild"]
    assert all(set(preset["name"]) == {"en", "zh"} for preset in presets)
    with fake_openai(lambda _: "yes", models=("big-7b",)) as fake:
        assert page.post("/api/connections/test", json={"url": fake.url, "key": "sk-secret"}).json() == {
            "models": ["big-7b"]
        }
        made = page.post(
            "/api/connections", json={"name": "Mine", "url": fake.url, "model": "big-7b", "key": "sk-secret"}
        )
        assert made.status_code == 201
        assert (made.json()["has_key"], made.json()["model"]) == (True, "big-7b")
        everything = (
            made.text + page.get("/api/connections").text + page.get("/api/models").text + page.get("/api/status").text
        )
        assert "sk-secret" not in everything
        remote = f"remote:{made.json()['id']}"
        assert [model["kind"] for model in page.get("/api/models").json() if model["name"] == remote] == ["remote"]
    nobody = page.post("/api/connections/test", json={"url": fake.url}).json()["error"]
    assert "cannot be reached" in nobody["message"]
    assert nobody["next"].startswith("Is the server running")
    wrong = page.post("/api/connections", json={"url": "ftp://x", "model": "m"})
    assert wrong.status_code == 400
    page.delete(f"/api/connections/{made.json()['id']}")
    assert page.get("/api/connections").json() == []


def test_models_of_ones_own(tmp_path: Path, tiny_llama: Path) -> None:
    ensemble = tmp_path / "runs" / "pair"
    ensemble.mkdir(parents=True)
    ensemble.joinpath("ensemble.yaml").write_text("members:\n- {model: a, weight: 0.25}\n- {model: b, weight: 0.75}\n")
    tmp_path.joinpath("runs", "mine").mkdir()
    tmp_path.joinpath("runs", "mine", "final").symlink_to(tiny_llama)
    tmp_path.joinpath("runs", "unfinished").mkdir()
    with open_page(tmp_path) as page:
        own = {model["title"]: model for model in page.get("/api/models").json() if model["name"].startswith("/")}
    assert set(own) == {"pair", "mine"}
    assert own["pair"]["members"] == {"a": 0.25, "b": 0.75}
    assert own["mine"]["name"] == str(tmp_path / "runs" / "mine")
    assert own["mine"]["bytes"] > 1000


def test_fetching_tells_what_is_wrong(page: TestClient) -> None:
    events = events_of(page.post("/api/models/gemma3-270m/pull").text)
    assert events[-1][1] == "failed"
    assert "Gemma Terms of Use" in events[-1][2]["message"]
    assert events[-1][2]["kept"] is True


def test_books_in_and_out(page: TestClient) -> None:
    book = (
        "files",
        ("book.md", io.BytesIO(b"# The Seal\n\n## One\n\nA keeper heard it.\n\nIt spoke.\n"), "text/markdown"),
    )
    made = page.post("/api/import", files=[book])
    assert made.status_code == 201, made.text
    project = made.json()["project"]
    text = page.get(f"/api/projects/{project}/export/md").text
    assert "It spoke." in text
    pasted = page.post(
        "/api/import", json={"name": "海豹.txt", "text": "海豹说话。\n\n守塔人听见了。", "project": project}
    )
    assert pasted.json()["project"] == project
    assert "守塔人听见了。" in page.get(f"/api/projects/{project}/export/txt").text
    assert "filename*=UTF-8''" in page.get(f"/api/projects/{project}/export/txt").headers["content-disposition"]
    for wrong in (b"PK\x03\x04 not a zip at all", b""):
        answer = page.post("/api/import", files=[("files", ("book.epub", io.BytesIO(wrong), "application/epub+zip"))])
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
    assert page.post("/api/import", json={"name": "x.txt"}).status_code == 400
    assert page.get(f"/api/projects/{project}/export/exe").status_code == 422
    assert ".card-v2.json" in page.get(f"/api/projects/{project}/export/card-v2").headers["content-disposition"]


def test_a_backup_brings_everything_back(page: TestClient) -> None:
    project, scene = project_of(page)
    splice(page, scene, page.get(f"/api/scenes/{scene}").json()["head"], STORY)
    whole, single = page.get("/api/backup"), page.get(f"/api/projects/{project}/export/story")
    assert whole.status_code == single.status_code == 200
    assert ".storyteller" in whole.headers["content-disposition"]
    page.delete(f"/api/projects/{project}")
    page.post("/api/projects", json={"title": "later"})
    assert page.post("/api/backup", content=b"no backup").status_code == 400
    assert page.post("/api/backup", content=b"").status_code == 400
    restored = page.post("/api/backup", files=[("files", ("b.storyteller", io.BytesIO(whole.content)))])
    assert restored.status_code == 200, restored.text
    assert [one["id"] for one in page.get("/api/projects").json()] == [project]
    assert page.get(f"/api/scenes/{scene}").json()["text"] == STORY
    added = page.post("/api/backup", content=single.content).json()["project"]
    assert added != project
    files = [("files", ("seals.storyteller", io.BytesIO(single.content)))]
    assert page.post("/api/import", files=files).json()["project"] not in (added, project)
    assert len(page.get("/api/projects").json()) == 3


def test_jobs(page: TestClient) -> None:
    assert page.get("/api/jobs").json() == []
    nothing = page.post("/api/jobs", json={"kind": "train", "name": "x"})
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (400, "bad_request")
    assert page.post("/api/jobs", json={"name": "x", "text": "y", "steps": 3}).status_code == 400
    assert page.get("/api/jobs/none").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/nothing", None, 404, "not_found"),
        ("GET", "/api/projects/none", None, 404, "not_found"),
        ("GET", "/api/scenes/none", None, 404, "not_found"),
        ("GET", "/api/generations/none", None, 404, "not_found"),
        ("GET", "/api/generations/none/events", None, 404, "not_found"),
        ("PUT", "/api/projects", {}, 404, "not_found"),
        ("POST", "/api/projects", {"titel": "x"}, 422, "invalid"),
        ("POST", "/api/projects", {"language": "fr"}, 422, "invalid"),
        ("POST", "/api/projects", {"words": 0}, 422, "invalid"),
        ("POST", "/api/session", {"token": "x"}, 400, "bad_request"),
        ("POST", "/api/session", {"name": "x", "password": "y"}, 400, "bad_request"),
    ],
)
def test_errors_have_one_shape(
    page: TestClient, method: str, path: str, body: dict[str, Any] | None, status: int, code: str
) -> None:
    answer = page.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert set(answer.json()["error"]) == {"code", "message", "next"}
    assert answer.json()["error"]["message"]


def test_a_fault_of_ours_is_told_and_logged(page: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    store = page.app.state.studio.store  # type: ignore[attr-defined]
    for error, status, code, said in [
        (KeyError("secret place"), 500, "internal", "nothing was changed"),
        (OSError(28, "No space left on device"), 507, "disk_full", "disk is full"),
    ]:

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(store, "writer", fail)
        answer = page.get("/api/projects")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert said in answer.json()["error"]["message"] + answer.json()["error"]["next"]
        assert "secret" not in answer.text
        assert "content-security-policy" in answer.headers
    assert "secret place" in caplog.text
