"""A character card and a lorebook go into the studio and come out of it as they were."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests.studio.web import open_page

from storyteller.craft.formats.png import text_chunks

LORE = {
    "name": "The coast",
    "scan_depth": 4,
    "extensions": {"depth": 1},
    "entries": [
        {"keys": ["lamp", "灯"], "content": "It is never out.", "enabled": True, "insertion_order": 3, "extensions": {"x": 1}},
    ],
}  # fmt: skip
CARD: dict[str, Any] = {
    "spec": "chara_card_v3",
    "spec_version": "3.0",
    "data": {
        "name": "Ana 安娜",
        "nickname": "Annie",
        "description": "{{char}} keeps the light.\n\nShe is tall.",
        "personality": "stern",
        "scenario": "A storm. 风暴。",
        "first_mes": "Hello, {{user}}.\n\n<BOT> waits.",
        "mes_example": "<START>\n{{char}}: Hm.",
        "creator_notes": "Be kind.",
        "system_prompt": "Stay.",
        "post_history_instructions": "Short.",
        "alternate_greetings": ["Second.\n\nHi.", "第三。"],
        "group_only_greetings": [],
        "tags": ["sea"],
        "creator": "Jane",
        "character_version": "7",
        "extensions": {"own": {"a": [1]}},
        "character_book": LORE,
    },
}


def imported(page: Any, name: str, data: bytes) -> str:
    answer = page.post("/api/import", files={"files": (name, data)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["project"])


def test_a_card_comes_back_letter_by_letter(tmp_path: Path) -> None:
    with open_page(tmp_path) as page:
        project = imported(page, "ana.json", json.dumps(CARD).encode())
        out = page.get(f"/api/projects/{project}/export/card").json()
        assert {key: value for key, value in out["data"].items() if key != "character_book"} == {
            key: value for key, value in CARD["data"].items() if key != "character_book"
        }
        book = out["data"]["character_book"]
        assert {key: book[key] for key in ("name", "scan_depth", "extensions")} == {
            key: LORE[key] for key in ("name", "scan_depth", "extensions")
        }
        (entry,) = book["entries"]
        assert LORE["entries"][0].items() <= entry.items()  # type: ignore[index]
        older = page.get(f"/api/projects/{project}/export/card-v2").json()
        assert (older["spec"], older["data"]["alternate_greetings"]) == (
            "chara_card_v2",
            CARD["data"]["alternate_greetings"],
        )
        assert "nickname" not in older["data"]
        picture = page.get(f"/api/projects/{project}/export/card-png")
        assert picture.headers["content-type"] == "image/png"
        assert json.loads(base64.b64decode(text_chunks("ana.png", picture.content, ("ccv3",))["ccv3"])) == out
        again = imported(page, "ana.png", picture.content)
        assert page.get(f"/api/projects/{again}/export/card").json() == out


def test_what_the_writer_changed_is_in_the_card(tmp_path: Path) -> None:
    with open_page(tmp_path) as page:
        project = imported(page, "ana.json", json.dumps(CARD).encode())
        tree = page.get(f"/api/projects/{project}").json()["tree"]
        note = next(item["id"] for item in tree if item["title"] == "System prompt")
        scene = page.get(f"/api/scenes/{note}").json()
        change = {"start": 0, "remove": len(scene["text"]), "insert": "Go."}
        page.post(f"/api/scenes/{note}/splices", json={"base": scene["head"], "splices": [change]})
        data = page.get(f"/api/projects/{project}/export/card").json()["data"]
        assert data == CARD["data"] | {"system_prompt": "Go.", "character_book": data["character_book"]}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_lorebook_comes_back(tmp_path: Path, language: str) -> None:
    with open_page(tmp_path) as page:
        project = imported(page, "coast.json", json.dumps({"spec": "lorebook_v3", "data": LORE}).encode())
        out = page.get(f"/api/projects/{project}/export/lorebook").json()
        assert out["spec"] == "lorebook_v3"
        assert LORE["entries"][0].items() <= out["data"]["entries"][0].items()  # type: ignore[index]
        made = page.post("/api/projects", json={"title": "x", "language": language}).json()["id"]
        assert page.get(f"/api/projects/{made}/export/lorebook").status_code == 400
