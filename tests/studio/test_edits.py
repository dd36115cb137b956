"""From a writer's choices to a file that preference training reads, over HTTP, and gone with one click."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.studio.web import open_page, project_of

OTHER = {"en": "And she was never seen again.", "zh": "从此再没有人见过她。"}
TOLD = {"en": "And the seal came back with a lamp.", "zh": "海豹带着一盏灯回来了。"}
BETTER = {"en": "And the seal came back with his lamp.", "zh": "海豹带着他的灯回来了。"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_choices_become_pairs_and_are_wiped(tmp_path: Path, language: str) -> None:
    with open_page(tmp_path) as page:
        _, scene = project_of(page, language=language)
        writer = page.app.state.studio.store.writer("")  # type: ignore[attr-defined]
        head = writer.scene(scene)["head"]
        made = writer.create_generation(scene, "continue", 0, head, model="default")
        for candidate, text in enumerate((TOLD[language], OTHER[language])):
            writer.append(made["id"], [(candidate, text, [])])
            writer.finish_candidate(made["id"], candidate, "stop", {})
        for choice in (
            {"kind": "accept", "candidate": 0},
            {"kind": "rewrite", "candidate": 0, "kept_text": BETTER[language]},
        ):
            assert page.post("/api/events/choice", json={"generation": made["id"], **choice}).status_code == 201
        summary = page.get("/api/edits/summary").json()
        assert (summary["total"], summary["pairs"]) == (2, 2)
        lines = [json.loads(line) for line in page.get("/api/edits/export?kind=dpo").text.splitlines()]
        assert [line.keys() for line in lines] == [{"prompt", "chosen", "rejected"}] * 2
        assert [(line["chosen"], line["rejected"]) for line in lines] == [
            (TOLD[language], OTHER[language]),
            (BETTER[language], TOLD[language]),
        ]
        pairs = [json.loads(line) for line in page.get("/api/edits/export?kind=pairs").text.splitlines()]
        assert {pair["language"] for pair in pairs} == {language}
        assert {pair["model"] for pair in pairs} == {"default"}
        assert page.delete("/api/edits").status_code == 200
        assert page.get("/api/edits/export?kind=dpo").text == ""
        assert page.get("/api/edits/summary").json()["total"] == 0
