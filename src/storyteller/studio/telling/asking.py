"""From what the page sends to what a model is asked: the scene as it stands, the wish, the model, the settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args

from storyteller.corpus.story import FORMS, Form, Language
from storyteller.craft.book import Entry
from storyteller.craft.context import Mode, SceneView, Wish
from storyteller.craft.lore import fired
from storyteller.craft.planning import people_of
from storyteller.craft.retrieval import Index, Passage, related
from storyteller.craft.safety import Setting
from storyteller.craft.shown import Shown
from storyteller.errors import GenerationError, StudioError
from storyteller.generate.sampling import SamplingSettings
from storyteller.studio.errors import ConflictError
from storyteller.studio.presets import DEFAULT_PRESET, PRESETS, preset_named
from storyteller.studio.telling.refusing import Watch, refuse
from storyteller.tokens.request import Character

__all__ = ["NEAR", "Ask", "Origin", "index_of", "read_ask", "read_view", "settings_of", "watch_of"]

#: Characters of the scenes before this one that are looked at; no window holds more.
EARLIER = 24_000

#: Characters around the cursor that are looked at for what is always refused.
NEAR = 2_000

#: Passages from further back that a model is shown at most, where the writer wants any (the setting `related`).
RELATED = 2

#: Words or 字 of a continuation when none are wished.
USUAL_WORDS: dict[Mode, int] = {"continue": 120, "infill": 80, "ghost": 20, "chat": 120}

#: Words of a new story when none are wished.
NEW_WORDS = 300


@dataclass(frozen=True, slots=True)
class Origin:
    """A token of an earlier generation, from which another one goes on."""

    generation: str
    candidate: int
    token: int
    choice: int

    def begun(self, record: Mapping[str, Any], form: Form, language: Language) -> list[dict[str, Any]]:
        """The candidate's tokens, from the record of its generation, with the chosen one as the last.

        Raises `GenerationError` where they were not kept.
        """
        try:
            tokens = record["candidates"][self.candidate]["tokens"]
            kept, replaced = tokens[: self.token], tokens[self.token]
            chosen = replaced["alternatives"][self.choice]
        except (IndexError, KeyError):
            raise GenerationError(
                "that token is not kept, so nothing can go on from it. Write the passage anew."
            ) from None
        shown = Shown(form, language)
        for token in kept:
            shown.feed(token.get("raw", token["text"]))
        text = shown.feed(chosen["text"]) or shown.end() or "\n" * ("\n" in chosen["text"])
        logprob = math.log(max(chosen["p"], 1e-9))
        return [*kept, {**chosen, "text": text, "logprob": logprob, "alternatives": replaced["alternatives"]}]


@dataclass(frozen=True, slots=True)
class Ask:
    """Everything that one generation needs to know; `at`, `end` are in UTF-16 units as the page gave them.

    `members` are the weights that were asked for with it; without any, the project's hold.
    """

    project: str
    scene: str
    base: str
    view: SceneView
    wish: Wish
    model: str
    n: int = 1
    seed: int | None = None
    settings: SamplingSettings = field(default_factory=SamplingSettings)
    members: Mapping[str, float] = field(default_factory=dict)
    origin: Origin | None = None
    at: int = 0
    end: int | None = None
    watch: Watch = field(default_factory=Watch)

    @property
    def words(self) -> int:
        """The wished length."""
        return self.wish.words or USUAL_WORDS.get(self.wish.mode, NEW_WORDS)


def read_ask(writer: Any, scene: str, body: Mapping[str, Any]) -> Ask:
    """The wish of a page (see the API's `Wish`) with all that belongs to it in the store.

    Raises `ConflictError` when the page's text is not the one that is kept, `StudioError` for what cannot be asked.
    """
    kept = writer.scene(scene)
    if body.get("base") not in (None, kept["head"]) and body.get("text") is None:
        state = {name: kept[name] for name in ("head", "text", "provenance")}
        raise ConflictError("this scene was changed elsewhere. Take that text, or go on with yours as a branch.", state)
    project = writer.project(kept["project"])
    text = kept["text"] if body.get("text") is None else str(body["text"])
    mode = cast(Mode, body.get("mode") or "continue")
    if mode not in get_args(Mode):
        raise StudioError(f"there is no mode {mode!r}. Choose one of: {', '.join(get_args(Mode))}.")
    at = _unit(body.get("at"), text)
    end = _unit(body["end"], text) if body.get("end") is not None else None
    if end is not None and end < at:
        raise StudioError("the selection ends before it begins. Select the text again.")
    wish = Wish(
        mode=mode,
        at=index_of(text, at),
        end=None if end is None else index_of(text, end),
        instruction=str(body.get("instruction") or ""),
        action=str(body.get("action") or ("rewrite" if mode == "rewrite" else "")),
        value=str(body.get("value") or ""),
        words=body.get("words") or (project.get("words") if mode == "begin" else None),
    )
    if mode == "rewrite" and not text[wish.at : wish.end if wish.end is not None else wish.at].strip():
        raise StudioError("nothing is selected. Select the text that is to be rewritten.")
    view = read_view(writer, project, kept, text)
    start = index_of(text, at)
    near = text[max(0, start - NEAR) : (start if wish.end is None else wish.end) + NEAR]
    said = (view.idea, view.plot, view.theme, view.memory, view.note, view.summary)
    refuse([*said, *_lore(view, near), wish.instruction, wish.value, near])
    own = {**writer.settings(), **project["settings"]}
    if own.get("related"):
        view = replace(view, related=_related(writer, project, scene, text[:start]))
    origin = body.get("from")
    return Ask(
        project=project["id"],
        scene=scene,
        base=str(body.get("base") or kept["head"]),
        view=view,
        wish=wish,
        model=str(body.get("model") or own.get("model") or "default"),
        n=1 if mode == "ghost" else int(body.get("n") or 1),
        seed=body.get("seed"),
        settings=settings_of(body, own),
        members=dict(body.get("members") or {}),
        origin=Origin(**origin) if origin else None,
        at=at,
        end=end,
        watch=watch_of(own, project),
    )


def _lore(view: SceneView, near: str) -> list[str]:
    """What is told of the people, and of what is named near the cursor."""
    people = [f"{person.name}: {person.who}" for person in view.people]
    return people + [f"{one.entry.name}: {one.entry.text}" for one in fired(view.entries, near, view.language)]


def watch_of(own: Mapping[str, Any], project: Mapping[str, Any]) -> Watch:
    """The eye on what is written for a project, by the settings that hold there."""
    setting: Setting = next((known for known in get_args(Setting) if known == own.get("safety")), "off")
    return Watch(setting, project.get("age"))


def read_view(writer: Any, project: Mapping[str, Any], scene: Mapping[str, Any], text: str) -> SceneView:
    """The scene as a model may know it, with what the project knows besides."""
    plan = writer.plan(project["id"]) or {}
    people = tuple(Character(person.name, person.who) for person in people_of(plan))
    form = scene.get("form") or project["form"]
    return SceneView(
        language=cast(Language, scene.get("language") or project["language"]),
        form=cast(Form, form) if form in FORMS else "story",
        text=text,
        title=project["title"] or None,
        idea=str(plan.get("premise") or project["idea"]),
        plot=project["plot"],
        theme=project["theme"],
        memory=project["memory"],
        note=project["note"],
        note_depth=3 if (depth := project.get("note_depth")) is None else int(depth),
        summary=str(plan.get("summary") or ""),
        earlier=_earlier(writer, project, str(scene["id"])),
        people=people[:6],
        entries=[_entry(one) for one in writer.entries(project["id"]) if not one.get("proposed")],
    )


def index_of(text: str, unit: int) -> int:
    """The character of a text at which that many UTF-16 units have passed."""
    if text.isascii() or max(text, default="") <= "\uffff":
        return min(unit, len(text))
    return len(text.encode("utf-16-le", "surrogatepass")[: 2 * unit].decode("utf-16-le", "ignore"))


def _unit(value: Any, text: str) -> int:
    units = len(text) if max(text, default="") <= "\uffff" else len(text.encode("utf-16-le", "surrogatepass")) // 2
    return units if value is None else max(0, min(int(value), units))


def _entry(record: Mapping[str, Any]) -> Entry:
    return Entry(
        kind=record["kind"],
        name=record["name"],
        aliases=list(record["aliases"]),
        avoid=list(record["not"]),
        text=record["text"],
        always=record["always"],
        enabled=record["enabled"],
        priority=record["priority"],
        extra={**record["extra"], "id": record["id"]},
    )


def _earlier(writer: Any, project: Mapping[str, Any], scene: str) -> str:
    """The text of the scenes before this one, whole scenes as far back as a window may reach."""
    scenes = list(_in_order(project["tree"], None))
    place = scenes.index(scene) if scene in scenes else 0
    texts: list[str] = []
    for other in reversed(scenes[:place]):
        texts.insert(0, writer.scene(other)["text"].strip())
        if sum(map(len, texts)) >= EARLIER:
            break
    return "\n".join(text for text in texts if text)


def _related(writer: Any, project: Mapping[str, Any], scene: str, before: str) -> list[Passage]:
    """Passages of the scenes that are further back than a window reaches, and have to do with what is written now."""
    index, titles, seen = Index(), {item["id"]: item["title"] for item in project["tree"]}, 0
    scenes = list(_in_order(project["tree"], None))
    for other in reversed(scenes[: scenes.index(scene)] if scene in scenes else []):
        text = writer.scene(other)["text"].strip()
        if seen >= EARLIER:
            index.put(other, text, cast(Language, project["language"]))
        seen += len(text)
    return [replace(passage, source=titles.get(passage.source, "")) for passage in related(before, index, RELATED)]


def _in_order(tree: Sequence[Mapping[str, Any]], parent: Any) -> list[str]:
    """The scenes of a project in reading order."""
    found: list[str] = []
    for item in sorted((item for item in tree if item["parent"] == parent), key=lambda item: item["position"]):
        if item["kind"] == "scene":
            found.append(str(item["id"]))
        found += _in_order(tree, item["id"])
    return found


def settings_of(body: Mapping[str, Any], own: Mapping[str, Any]) -> SamplingSettings:
    """The settings of a preset with those that were chosen singly over them; what is kept and no setting is passed over."""
    names = {item.name for item in dataclasses.fields(SamplingSettings)}
    kept = own.get("preset") if any(own.get("preset") == preset.id for preset in PRESETS) else DEFAULT_PRESET
    values: dict[str, Any] = dict(preset_named(str(body.get("preset") or kept)).sampling)
    # A preset that is asked for now is not changed by single settings of another day.
    chosen = [body.get("sampling")] if body.get("preset") else [own.get("sampling"), body.get("sampling")]
    for given in chosen:
        for name, value in given.items() if isinstance(given, Mapping) else ():
            if name == "dry":
                values["dry_multiplier"] = 0.8 if value else 0.0
            elif name in names and isinstance(value, int | float):
                values[name] = value
    return SamplingSettings(**values)
