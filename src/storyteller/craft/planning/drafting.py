"""From beats to prose: each beat told after a running memory, looked over, told again when it is broken, and kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from storyteller.corpus.language import ends_sentence, split_sentences
from storyteller.craft.planning.endings import Landing, Until
from storyteller.craft.planning.faults import SERIOUS, Fault, find_faults, strangers
from storyteller.craft.planning.lines import Teller, characters_of
from storyteller.craft.planning.memory import Memory
from storyteller.craft.planning.names import common_names
from storyteller.craft.planning.plan import Beat, Idea, Plan, clean
from storyteller.craft.planning.scoring import coverage, distinctness, length_score, mentioned, total, why
from storyteller.errors import GenerationError
from storyteller.generate.constraint import Cast, Constraint, Fresh, Together
from storyteller.generate.sampling import SamplingSettings
from storyteller.tokens import StoryTokenizer
from storyteller.tokens.request import Request

__all__ = ["Began", "Event", "Kept", "Tried", "Wrote", "draft"]

#: A beat is told again at most so often.
AGAIN = 2

#: The share of the beats after which nobody new may come in who is not in the plan.
NEWCOMERS = 1 / 3

Critic = Callable[[Sequence[str]], Sequence[float]]
"""Scores for texts, higher is better; NaN where it cannot tell. Such as the coherence scorer's logits."""


@dataclass(frozen=True, slots=True)
class Began:
    """A beat is begun, for the `attempt`th time from 0; `request` is what the model is asked."""

    beat: Beat
    attempt: int
    request: Request


@dataclass(frozen=True, slots=True)
class Wrote:
    """A token of an attempt; a forced opening has the id -1."""

    beat: Beat
    attempt: int
    token: Any


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt is over: its text, what is wrong with it, and its score."""

    beat: Beat
    attempt: int
    text: str
    faults: tuple[Fault, ...]
    score: float
    scores: dict[str, float]
    why: str


@dataclass(frozen=True, slots=True)
class Kept:
    """The attempt that stands, with its faults if even the best one has some, and the summary of all that is told.

    `text` is what follows the story so far directly, white space included.
    """

    beat: Beat
    attempt: int
    text: str
    faults: tuple[Fault, ...]
    summary: str


Event = Began | Wrote | Tried | Kept


@dataclass
class _Scene:
    """The state of a draft: the story so far, who is known, and how many beats are told."""

    idea: Idea
    plan: Plan
    teller: Teller
    candidates: int
    seed: int
    settings: SamplingSettings
    critic: Critic | None
    lead: bool
    story: str
    memory: Memory
    beats: list[Beat]

    @property
    def tokenizer(self) -> StoryTokenizer | None:
        """The tokenizer of a model on this machine."""
        return getattr(self.teller, "tokenizer", None)

    @property
    def stops(self) -> Collection[int]:
        """The ids with which the model ends a story."""
        return self.tokenizer.stop_ids if self.tokenizer is not None else ()


def draft(
    plan: Plan,
    idea: Idea,
    teller: Teller,
    *,
    from_beat: str | None = None,
    story: str = "",
    candidates: int = 1,
    seed: int = 0,
    settings: SamplingSettings | None = None,
    critic: Critic | None = None,
    lead: bool = True,
) -> Iterator[Event]:
    """Tell the beats of a plan one after the other; what comes is events, the last of each beat a `Kept`.

    `story` is what stands already, and `from_beat` the id of the beat to begin with. Each beat is told `candidates` times
    and the best is kept; one that is empty, loops, repeats the story or is none is told again, at most twice more, and
    when that does not help its faults stand in `Kept`. The same seed gives the same story. Raises `GenerationError` for
    a plan without beats and for an unknown beat.
    """
    beats = list(plan.beats())
    ids = [beat.id for beat in beats]
    if not beats:
        raise GenerationError("the plan has no beats. Make an outline first, or write lines of your own.")
    if from_beat is not None and from_beat not in ids:
        raise GenerationError(f"the plan has no beat {from_beat!r}. It has: {', '.join(ids)}.")
    memory = Memory(idea.language, [person.name for person in plan.people])
    if story.strip():
        memory.sentences = [plan.summary] if plan.summary else []
    scene = _Scene(
        idea, plan, teller, max(1, candidates), seed, settings or SamplingSettings(), critic, lead, story, memory, beats
    )
    for number in range(ids.index(from_beat) if from_beat else 0, len(beats)):
        yield from _tell(scene, number)


def _tell(scene: _Scene, number: int) -> Iterator[Event]:
    """One beat: its attempts, and the one that is kept."""
    beat = scene.beats[number]
    tried: list[Tried] = []
    while len(tried) < scene.candidates or (_all_broken(tried) and len(tried) < scene.candidates + AGAIN):
        attempt = len(tried)
        request, constraint = _asked(scene, number)
        yield Began(beat, attempt, request)
        seed = (scene.seed * 1009 + number * 31 + attempt) % (1 << 30)
        last = number == len(scene.beats) - 1
        landing, text = Landing(scene.stops if last else ()), ""
        writing = scene.teller.write(
            request, seed=seed, settings=scene.settings, alternatives=8 if last else 0, constraint=constraint
        )
        for token in writing:
            text += token.text
            landing.feed(token)
            yield Wrote(beat, attempt, token)
            if "\n" in token.text and any(fault.kind == "loop" for fault in find_faults(text, "", scene.idea.language)):
                break
        result = _look_over(scene, number, attempt, landing.cut(text, beat.words, scene.idea.language), request)
        tried.append(result)
        yield result
    chosen = max(tried, key=lambda one: (not _broken(one), one.score))
    scene.story += chosen.text
    scene.memory.add(chosen.text, beat.text)
    yield Kept(beat, chosen.attempt, chosen.text, chosen.faults, scene.memory.summary)


def _asked(scene: _Scene, number: int) -> tuple[Request, Constraint | None]:
    """The request for a beat as the template was trained to read one, and what its text must not do.

    The first is asked for as a story with the length of the whole, at whose pace it is told, and ends when its own
    length is reached; the others continue, where `about` is the sentence that stands for the part to come.
    """
    idea, plan, beat = scene.idea, scene.plan, scene.beats[number]
    language = idea.language
    shown = [person for person in plan.people if mentioned([person.name], beat.text)] or list(plan.people[:1])
    begins = not scene.story.strip()
    joint = " " if language == "en" else ""
    request = Request(
        task="write" if begins else "continue",
        language=language,
        form=idea.form,
        about=f"{plan.premise}{joint}{beat.text}" if begins else beat.text,
        words=max(idea.words, beat.words) if begins else beat.words,
        characters=characters_of(plan.people if begins else shown),
        before=None if begins else scene.memory.before(scene.story),
        opening=_opening(scene, number) if scene.lead else None,
    )
    rules: list[Constraint] = [Until(beat.words, language)] if begins and len(scene.beats) > 1 else []
    if scene.tokenizer is not None:
        rules.append(Fresh(scene.tokenizer, language, scene.story))
        if number >= len(scene.beats) * NEWCOMERS:
            rules.append(Cast(scene.tokenizer, language, _known(scene), common_names()))
    return request, Together(tuple(rules)) if rules else None


def _opening(scene: _Scene, number: int) -> str:
    """The beat's own line as the first sentence of what tells it, in a paragraph of its own beginning."""
    line = scene.beats[number].text
    return line if not scene.story.strip() else f"\n\n{line}"


def _known(scene: _Scene) -> list[str]:
    """The texts whose names may occur: the writer's, the plan's and the story's own."""
    lines = [beat.text for beat in scene.beats]
    people = [f"{person.name} {person.who}" for person in scene.plan.people]
    return [scene.idea.own_words, scene.plan.premise, *people, *lines, scene.story]


def _look_over(scene: _Scene, number: int, attempt: int, text: str, request: Request) -> Tried:
    """An attempt with its faults and its score."""
    idea, beat, language = scene.idea, scene.beats[number], scene.idea.language
    faults = find_faults(text, scene.story, language, idea.form)
    new = strangers(text, _known(scene), language) if number >= len(scene.beats) * NEWCOMERS else []
    faults += [Fault("stranger", name) for name in new]
    names = [person.name for person in request.characters]
    if names and not any(mentioned([name], text) for name in names) and number:
        faults.append(Fault("nobody", ", ".join(names)))
    recent = scene.memory.sentences[-6:]
    sentences = [clean(one) for one in split_sentences(text, language)]
    near = [1 - distinctness(one, recent, language) for one in sentences] if recent else [0.0]
    scores = {
        "relevance": min(1.0, 1.5 * coverage(f"{beat.text} {scene.plan.premise}", text, language)),
        "people": mentioned(names, text),
        "length": length_score(text, beat.words, language),
        "distinct": 1 - max(near, default=0.0),
        "strangers": 1.0 if not new else 0.0,
        "sound": float(ends_sentence(text)),
        "coherence": _criticised(scene.critic, text),
    }
    known = {name: round(score, 3) for name, score in scores.items() if not math.isnan(score)}
    return Tried(beat, attempt, text, tuple(faults), total(known), known, why(known, language))


def _criticised(critic: Critic | None, text: str) -> float:
    return float(critic([text])[0]) if critic is not None and text.strip() else math.nan


def _broken(tried: Tried) -> bool:
    return any(fault.kind in SERIOUS for fault in tried.faults)


def _all_broken(tried: Sequence[Tried]) -> bool:
    return all(_broken(one) for one in tried)
