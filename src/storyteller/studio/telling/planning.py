"""Planning at the desk: proposals for each step as events, and a draft that is told beat by beat into a scene."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from storyteller.craft.context import to_manuscript, to_template
from storyteller.craft.planning import Beat, Began, Idea, Kept, Plan, Wrote, people_of
from storyteller.craft.planning import beats as propose_beats
from storyteller.craft.planning import draft as draft_beats
from storyteller.craft.planning import outlines as propose_outlines
from storyteller.craft.planning import people as propose_people
from storyteller.craft.planning import premises as propose_premises
from storyteller.errors import GenerationError
from storyteller.studio.telling.asking import NEAR, settings_of, watch_of
from storyteller.studio.telling.generation import Generation
from storyteller.studio.telling.members import Members
from storyteller.studio.telling.refusing import Watch, refuse

if TYPE_CHECKING:
    from storyteller.generate import Storyteller

__all__ = ["Say", "draft", "idea_of", "propose"]

Say = Callable[[str, dict[str, Any]], bool]
"""Tell the listeners an event: its name and its data; whether anybody is still there."""


def idea_of(project: Mapping[str, Any], plan: Mapping[str, Any]) -> Idea:
    """What the writer said of a project; raises `GenerationError` when that is nothing."""
    return Idea.of(
        str(project["idea"] or plan.get("premise") or ""),
        language=project["language"],
        form=project["form"],
        words=project.get("words"),
        age=project.get("age"),
        theme=project["theme"],
        plot=project["plot"],
        people=people_of(plan),
    )


def propose(writer: Any, project: str, part: str, wish: Mapping[str, Any], teller: Storyteller, say: Say) -> None:
    """Say proposals for a part of the plan (premise, people, outline, beats), each as an event `plan`."""
    record = writer.plan(project) or {}
    idea, plan = idea_of(writer.project(project), record), Plan.from_json(record)
    count, seed = int(wish.get("n") or 3), _seed(wish)
    section = wish.get("part")
    if part == "beats" and section is None:
        raise GenerationError(
            "say for which part of the outline the beats are. Make an outline first if there is none."
        )
    made: dict[str, Callable[[], Iterator[Any]]] = {
        "premise": lambda: propose_premises(idea, teller, count, seed=seed),
        "people": lambda: propose_people(idea, teller, count, premise=plan.premise, seed=seed),
        "outline": lambda: propose_outlines(idea, plan, teller, count, seed=seed),
        "beats": lambda: propose_beats(idea, plan, teller, count, part=str(section), seed=seed),
    }
    if part not in made:
        raise GenerationError(f"no part of a plan is called {part!r}. Choose one of: {', '.join(made)}.")
    for number, proposal in enumerate(made[part]()):
        value = proposal.to_json()
        if part == "outline":  # the page shows and keeps the outline; the rest of the plan stands
            value["value"] = value["value"]["outline"]
        if not say("plan", {"candidate": number, **value}):
            return
    say("done", {})


def draft(writer: Any, project: str, wish: Mapping[str, Any], teller: Storyteller, say: Say) -> None:
    """Tell the beats of a plan; each is a generation of its own, whose text is said when it is sure that it stands."""
    record, kept = writer.plan(project) or {}, writer.project(project)
    scene = writer.scene(wish.get("scene") or _first_scene(kept))
    idea, plan, form = idea_of(kept, record), Plan.from_json(record), kept["form"]
    told = to_template(scene["text"], form)
    refuse([told[-NEAR:]])
    generation: Generation | None = None
    own = {**writer.settings(), **kept["settings"]}
    settings, watch = settings_of(wish, own), watch_of(own, kept)
    seed = _seed(wish)
    beat = None if wish.get("from_beat") is None else str(wish["from_beat"])
    events = draft_beats(plan, idea, teller, from_beat=beat, story=told, seed=seed, settings=settings)
    words = 0
    for event in events:
        if isinstance(event, Began):
            words = 0
            if generation is None:
                generation = _begin(writer, scene["id"], event.beat, teller.name, seed, idea, watch, say)
        elif isinstance(event, Wrote):
            words += 1
            if words % 8 == 0 and not say("progress", {"read": words, "total": 2 * max(event.beat.words, 1)}):
                break
        elif isinstance(event, Kept) and generation is not None:
            text = to_manuscript(event.text, form)
            faults = "; ".join(fault.said(idea.language) for fault in event.faults)
            generation.say(0, text)
            generation.end(0, "stop", {"doubt": faults, "left_out": list(Members(teller).dropped)})
            generation.done()
            for _, name, data in generation.log.since(0):
                if name in ("text", "candidate"):
                    say(name, data)
            generation = None
            latest = writer.plan(project) or record
            writer.save_plan(project, {**latest, "summary": event.summary})
            if not say("progress", {"read": 0, "total": 0}):
                break
    if generation is not None:
        generation.stop()
        say("done", {"generation": generation.id})
    else:
        say("done", {})


def _begin(
    writer: Any, scene: str, beat: Beat, model: str, seed: int, idea: Idea, watch: Watch, say: Say
) -> Generation:
    """A generation for a beat, at the end of the scene as it stands now."""
    now = writer.scene(scene)
    at = len(now["text"].encode("utf-16-le")) // 2
    asked = {"mode": "continue", "instruction": beat.text, "words": beat.words, "beat": beat.id}
    record = writer.create_generation(scene, "continue", at, now["head"], model=model, seed=seed, request=asked)
    generation = Generation(record["id"], writer, idea.language, model, watch=watch)
    context = {"parts": [{"name": "beat", "text": beat.text, "tokens": 0, "why": ""}], "tokens": 0, "limit": 0}
    generation.started([seed], context, {"words": beat.words})
    say("beat", {"id": beat.id})
    say("started", {"generation": generation.id, "model": model, "seeds": [seed], "context": context})
    return generation


def _seed(wish: Mapping[str, Any]) -> int:
    """The seed that was asked for, else another one each time: who asks again wants other proposals."""
    return secrets.randbelow(1 << 30) if wish.get("seed") is None else int(wish["seed"])


def _first_scene(project: Mapping[str, Any]) -> str:
    scenes = [str(item["id"]) for item in project["tree"] if item["kind"] == "scene"]
    if not scenes:
        raise GenerationError("the project has no scene to write into. Add one first.")
    return scenes[0]
