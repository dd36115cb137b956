"""The API's description is a golden file: a change of the API is seen in review.

After a wanted change: `STORYTELLER_WRITE_GOLDEN=1 pytest tests/studio/api/test_openapi.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.studio.web import open_page

from storyteller import __version__

GOLDEN = Path(__file__).with_name("openapi.json")


def test_the_api_is_as_it_was(tmp_path: Path) -> None:
    with open_page(tmp_path) as client:
        described = client.get("/api/openapi.json").json()
    assert described["info"].pop("version") == __version__
    text = json.dumps(described, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    if os.environ.get("STORYTELLER_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_everything_is_described(tmp_path: Path) -> None:
    with open_page(tmp_path) as client:
        described = client.get("/api/openapi.json").json()
    assert described["openapi"] >= "3.1"
    tags = {tag["name"] for tag in described["tags"]}
    names = []
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            names.append(route["operationId"])
            assert route.get("description"), (method, path)
            assert set(route["tags"]) <= tags, (method, path)
            assert route["responses"]["422"]["content"]["application/json"]["schema"] == {
                "$ref": "#/components/schemas/Problem"
            }
    assert len(names) == len(set(names))
    for name, schema in described["components"]["schemas"].items():
        assert schema.get("description"), name
