"""From the page's form to a model in the list: a training over HTTP, with uploaded files and pasted text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.studio.jobs.conftest import SMALL, TEN
from tests.studio.web import events_of, open_page

from storyteller.studio.jobs import supervisor


def test_a_training_over_http(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "threads", lambda: 1)
    upload = "守灯塔的人在傍晚看见一只海豹，嘴里衔着一封信。他把信放在灯上烤干，读了两遍，然后把闹钟往后拨了五分钟。".encode()
    form = {"kind": "train", "name": "Ten tales", "text": TEN, "base": str(tiny_llama), "minutes": "1"}
    with open_page(tmp_path) as page:
        asked = page.post(
            "/api/jobs",
            data={**form, "overrides": [*SMALL, "train.steps=4"]},
            files=[("files", ("故事/灯.txt", upload, "text/plain")), ("files", ("notes.xyz", b"?", "text/plain"))],
        )
        assert asked.status_code == 201, asked.text
        job = asked.json()
        events = events_of(page.get(f"/api/jobs/{job['id']}/events").text)
        assert {name for _, name, _ in events} == {"job"}
        done = events[-1][2]
        assert done["state"] == "done", done["message"]
        assert done["report"]["kept"] == 11
        assert done["report"]["languages"] == {"en": 10, "zh": 1}
        assert [(one["reason"], one["count"]) for one in done["report"]["dropped"]] == [("unknown file type", 1)]
        listed = {model["name"]: model for model in page.get("/api/models").json()}
        assert listed[done["model"]]["kind"] == "run"
        assert page.get("/api/jobs").json()[0]["curve"] == []
        assert json.loads(page.get(f"/api/jobs/{job['id']}").text)["curve"]
        assert page.delete(f"/api/jobs/{job['id']}").status_code == 200
        assert page.get(f"/api/jobs/{job['id']}").status_code == 404
