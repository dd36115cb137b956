"""How the tests write: a scene of a new project, and changes on whatever its head is."""

from __future__ import annotations

from typing import Any

from storyteller.studio.store import Writer
from storyteller.studio.store.records import Moved, Saved, Scene


def new_scene(writer: Writer, text: str = "", language: str = "en") -> str:
    """The id of a scene with a text that a person typed."""
    project = writer.create_project({"title": "Tides", "language": language})
    scene = project["tree"][1]["id"]
    if text:
        insert(writer, scene, 0, text)
    return scene


def head(writer: Writer, scene: str) -> str:
    """The scene's head."""
    return writer.scene(scene)["head"]


def insert(writer: Writer, scene: str, start: int, text: str, remove: int = 0, **more: Any) -> Saved:
    """Change the text."""
    return writer.splice(scene, head(writer, scene), [{"start": start, "remove": remove, "insert": text, **more}])  # type: ignore[typeddict-item]


def tell(writer: Writer, scene: str, at: int, texts: list[str], put: int | None = 0, **more: Any) -> str:
    """A finished generation with candidates, one of which is put into the text; its id."""
    made = writer.create_generation(scene, "continue", at, head(writer, scene), model="tiny", **more)["id"]
    writer.append(made, [(number, text, []) for number, text in enumerate(texts)])
    writer.update_generation(made, {"status": "done"})
    if put is not None:
        end = more.get("end") or at
        told = {"author": "model", "generation": made, "candidate": put}
        insert(writer, scene, at, texts[put], end - at, **told)
    return made


def undo_all(writer: Writer, scene: str) -> list[Moved]:
    """Undo until nothing is left."""
    steps = []
    while (step := writer.undo(scene, head(writer, scene)))["splice"] is not None:
        steps.append(step)
    return steps


def redo_all(writer: Writer, scene: str) -> list[Moved]:
    """Redo until nothing is left."""
    steps = []
    while (step := writer.redo(scene, head(writer, scene)))["splice"] is not None:
        steps.append(step)
    return steps


def covers(scene: Scene) -> bool:
    """Whether the provenance covers the text exactly."""
    return sum(span[0] for span in scene["provenance"]) == len(scene["text"].encode("utf-16-le")) // 2
