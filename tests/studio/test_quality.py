"""The Quality panel: figures that are counted, beside people's, and no figure where there is too little text."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storyteller.studio import quality
from storyteller.studio.errors import NotFoundError
from storyteller.studio.quality import TOO_LITTLE, Quality, measures, people
from storyteller.studio.store import Store

EXAMPLES = Path(__file__).parents[2] / "examples" / "stories"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'studio.db'}")
    yield store
    store.close()


@pytest.fixture
def panel() -> Iterator[Quality]:
    panel = Quality()
    yield panel
    panel.close()


def by_name(figures: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {figure["name"]: figure for figure in figures}


def stories(language: str) -> list[str]:
    """Our own stories without their front matter."""
    return [path.read_text("utf-8").split("---\n", 2)[2] for path in sorted((EXAMPLES / language).glob("*.md"))]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_stories_measure_like_peoples(language: Any) -> None:
    figures = by_name(measures(stories(language)[:12], language))
    told = figures["repetition"]
    assert told["low"] <= told["value"] <= told["high"]
    assert told["value"] < 0.05
    assert told["baseline"] == people(language)["repetition"]
    assert figures["variety"]["value"] == pytest.approx(figures["variety"]["baseline"], abs=0.1)
    assert ("model phrases" in figures) == (language == "en"), "there is no list for Chinese, so no figure"
    assert figures["unfinished ends"]["value"].endswith(" / 12")
    level = figures["reading grade" if language == "en" else "common characters"]
    assert 0 < level["value"] < 2 * level["baseline"]
    assert all(figure["note"].keys() == {"en", "zh"} for figure in figures.values())


@pytest.mark.parametrize(
    ("language", "loop"), [("en", "The old man walked to the sea. "), ("zh", "老人慢慢走到海边去了。")]
)
def test_a_loop_stands_out(language: Any, loop: str) -> None:
    figures = by_name(measures(["\n".join([loop * 20] * 12)], language))
    assert figures["repetition"]["value"] > 0.9
    assert figures["variety"]["value"] < 0.1


@pytest.mark.parametrize(("language", "text"), [("en", "He was"), ("zh", "他是"), ("en", "  ")])
def test_too_little_text_has_no_figures(language: Any, text: str) -> None:
    figures = by_name(measures([text], language))
    figures.pop("unfinished ends")
    assert {figure["value"] for figure in figures.values()} == {TOO_LITTLE}
    assert not any("low" in figure for figure in figures.values())


def test_the_readers_age_is_the_baseline_of_the_level() -> None:
    figure = by_name(measures(stories("en")[:5], "en", 9))["reading grade"]
    assert figure["baseline"] == 3
    assert "a reader of 9" in figure["note"]["en"]


def test_model_phrases_are_named() -> None:
    text = "He said he was a man who was going to find a good little dog. " * 15
    figure = by_name(measures([text], "en"))["model phrases"]
    assert figure["value"] > 3 * figure["baseline"]
    assert "“going to”" in figure["note"]["en"]


def test_the_panel_of_a_project(store: Store, panel: Quality) -> None:
    writer = store.writer("")
    project = writer.create_project({"title": "Tales", "language": "en", "form": "story"})
    scene = next(item["id"] for item in project["tree"] if item["kind"] == "scene")
    told = panel.of(writer, project["id"], patience=20)
    assert told["state"] == "ready"
    assert (told["kept"], told["provenance"], told["disclosure"]) == ([], {}, "")
    head = writer.scene(scene)["head"]
    text = stories("en")[0]
    writer.splice(scene, head, [{"start": 0, "remove": 0, "insert": text}])
    told = panel.of(writer, project["id"], patience=20)
    assert told["provenance"]["person"] == 1
    assert "100%" in told["disclosure"]
    assert isinstance(by_name(told["measures"])["repetition"]["value"], float)
    with pytest.raises(NotFoundError):
        panel.of(store.writer("somebody"), project["id"])


def test_counting_never_holds_an_answer_up(store: Store, panel: Quality, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = store.writer("")
    project = writer.create_project({"title": "Tales", "language": "en", "form": "story"})
    scene = next(item["id"] for item in project["tree"] if item["kind"] == "scene")
    before = panel.of(writer, project["id"], patience=20)
    go_on, count, counted = threading.Event(), quality._count, []

    def slow(*arguments: Any) -> dict[str, Any]:
        counted.append(1)
        go_on.wait(20)
        return count(*arguments)

    monkeypatch.setattr(quality, "_count", slow)
    writer.splice(scene, writer.scene(scene)["head"], [{"start": 0, "remove": 0, "insert": "It rained."}])
    told = panel.of(writer, project["id"], patience=0.01)
    assert told == {**before, "state": "measuring"}
    go_on.set()
    assert panel.of(writer, project["id"], patience=20)["state"] == "ready"
    assert panel.of(writer, project["id"], patience=20)["provenance"]["person"] == 1
    assert len(counted) == 1, "what has not changed is not counted again"
