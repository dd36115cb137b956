"""Proposals for each step of a plan: premises, people, outlines, beats; several of each, scored, one to be chosen.

What the writer said stands in every proposal as it is. What is missing our structures give, and a model fills lines in
them. Each function yields its candidates as they are made; `best` takes one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from storyteller.corpus.language import count_words, split_sentences
from storyteller.corpus.story import Language
from storyteller.craft.planning.lines import Lines, Teller
from storyteller.craft.planning.names import how_many, names_in, others_in, protagonist, relations, some_names
from storyteller.craft.planning.outlining import outline_lines, sections_of, spread
from storyteller.craft.planning.plan import Beat, Idea, Person, Plan, Proposal, Section, clean
from storyteller.craft.planning.scoring import distinctness, mentioned, total, why
from storyteller.craft.planning.structures import Structure, structure_named, structures_for

__all__ = ["beats", "best", "make_plan", "outlines", "people", "premises"]

Value = TypeVar("Value")

#: How a premise is sharpened: what could stand against its person, in our words, and where it leads, in the model's.
_SHARPER = {
    "en": ("But one day", "Nobody knows that", "Then", "But there is one thing that"),
    "zh": ("可是有一天，", "谁也不知道，", "后来，", "只有一件事，"),
}


def premises(idea: Idea, teller: Teller, n: int = 3, *, seed: int = 0) -> Iterator[Proposal[str]]:
    """The writer's idea as it is, and `n - 1` times with a sentence of the model's after it."""
    own = clean(idea.text or idea.plot)
    cast = tuple(Person(name) for name in names_in(own, idea.language))
    lines = Lines(idea, teller, idea.people or cast, own)
    starts = _SHARPER[idea.language]
    for number in range(n):
        if number == 0:
            yield _proposal(own, {"relevance": 1.0, "sound": 1.0, "distinct": 1.0}, idea)
            continue
        filled = lines.fill([own], starts[(number - 1 + seed) % len(starts)], seed=_seed(seed, number))
        joint = " " if idea.language == "en" else ""
        yield _proposal(f"{own}{joint}{filled.text}", filled.scores, idea)


def people(
    idea: Idea, teller: Teller, n: int = 3, *, premise: str = "", seed: int = 0
) -> Iterator[Proposal[tuple[Person, ...]]]:
    """Casts of two or three: the writer's people first, then those whom the premise names or speaks of.

    Who has no name gets one from our lists. Where nobody else is spoken of, the model says in a few words who there is,
    or our list does.
    """
    premise = clean(premise or idea.text or idea.plot)
    for number in range(n):
        chance = random.Random(f"{seed}/{number}/{premise}")
        cast = _given(idea, premise, chance)
        lines = Lines(idea, teller, cast, premise)
        likely: list[float] = []
        while len(cast) < (2 if number < 2 else 3):
            person, likelihood = _companion(cast, lines, idea, chance, _seed(seed, number))
            cast = [*cast, person]
            likely.append(likelihood)
        described = sum(bool(person.who) for person in cast) / len(cast)
        scores = {
            "likelihood": sum(likely) / len(likely) if likely else math.nan,
            "relevance": described,
            "people": mentioned([person.name for person in idea.people], " ".join(person.name for person in cast)),
            "distinct": len({person.name[0] for person in cast}) / len(cast),
        }
        yield _proposal(tuple(cast), scores, idea)


def outlines(idea: Idea, plan: Plan, teller: Teller, n: int = 3, *, seed: int = 0) -> Iterator[Proposal[Plan]]:
    """Plans with an outline: each of another structure or with other frames, every section with its beats.

    The writer's plot stands in it sentence by sentence, verbatim and in order; the theme where the story turns.
    """
    fitting = structures_for(idea.form, idea.language)
    for number in range(n):
        structure = fitting[number % len(fitting)]
        yield _outlined(idea, plan, structure, teller, _seed(seed, number))


def beats(
    idea: Idea, plan: Plan, teller: Teller, n: int = 3, *, part: str, seed: int = 0
) -> Iterator[Proposal[tuple[Beat, ...]]]:
    """Other beats for the section `part` of an outline, as many as it has; the rest of the plan is what they follow."""
    section = next((one for one in plan.outline if one.id == part), None)
    if section is None:
        plan.with_beats(part, ())
        return
    structure = structure_named(plan.structure or structures_for(idea.form, idea.language)[0].id, idea.language)
    place = plan.outline.index(section)
    before = [beat.text for one in plan.outline[:place] for beat in one.beats]
    lines = Lines(idea, teller, plan.people, plan.premise)
    step = structure.steps[min(place, len(structure.steps) - 1)]
    plot = "\n".join(clean(sentence) for sentence in split_sentences(idea.plot, idea.language))
    for number in range(n):
        chance = random.Random(f"{seed}/{number}/{part}")
        told: list[str] = []
        found: list[dict[str, float]] = []
        for beat in section.beats or (Beat(f"{part}b1", "", max(40, idea.words // len(plan.outline))),):
            if beat.text and beat.text in plot:  # the writer's own words stay
                filled = lines.rate(beat.text, [*before, *told])
            else:
                frame = chance.choice(step.possible(len(plan.people)) or [step.frames[0]])
                filled = lines.fill([*before, *told], spread(frame, plan.people), seed=_seed(seed, number))
            told.append(filled.text)
            found.append(filled.scores)
        value = tuple(
            replace(beat, text=text)
            for beat, text in zip(section.beats or (Beat(f"{part}b1", "", 150),), told, strict=True)
        )
        yield _proposal(value, _mean(found), idea)


def best(proposals: Iterable[Proposal[Value]]) -> Proposal[Value]:
    """The proposal with the highest score, the first of equals."""
    return max(proposals, key=lambda proposal: proposal.score)


def make_plan(idea: Idea, teller: Teller, n: int = 3, *, seed: int = 0) -> Plan:
    """A whole plan in one call: the writer's premise, the best of `n` casts, the best of `n` outlines."""
    premise = clean(idea.text or idea.plot)
    cast = best(people(idea, teller, n, premise=premise, seed=seed)).value
    return best(outlines(idea, Plan(premise=premise, people=cast), teller, n, seed=seed)).value


def _outlined(idea: Idea, plan: Plan, structure: Structure, teller: Teller, seed: int) -> Proposal[Plan]:
    lines = Lines(idea, teller, plan.people, plan.premise)
    told = outline_lines(idea, plan.people, structure, lines, seed)
    outline: tuple[Section, ...] = sections_of(idea, structure, [(step, filled.text) for step, filled in told])
    texts = [filled.text for _, filled in told]
    scores = _mean([filled.scores for _, filled in told])
    whole = " ".join(texts)
    scores["people"] = mentioned([person.name for person in plan.people], whole)
    scores["distinct"] = min(
        (distinctness(text, texts[:at], idea.language) for at, text in enumerate(texts)), default=1
    )
    return _proposal(replace(plan, outline=outline, structure=structure.id), scores, idea)


def _given(idea: Idea, premise: str, chance: random.Random) -> list[Person]:
    """The writer's people, those with a name in the premise or the plot, and those of whom the premise only speaks."""
    cast = list(idea.people)
    for name in names_in(f"{premise}\n{idea.plot}", idea.language):
        if not any(mentioned([person.name], name) for person in cast):
            cast.append(Person(name))
    who = protagonist(premise, idea.language)
    several = how_many(who, idea.language)
    one_of = f"one of the {who}" if idea.language == "en" else f"{who}之一"
    spoken = [one_of if several > 1 else who] * several if who else []
    spoken += others_in(premise, idea.language)
    # Whom the writer has described himself is not there twice.
    known = " ".join(f"{person.name} {person.who}" for person in cast)
    heads = [phrase for phrase in spoken if not _same(phrase, known, idea.language)]
    if who and cast and not any(person.who for person in cast) and idea.people == () and heads:
        heads = heads[1:]  # the name in the premise is its protagonist's
    for phrase in heads[: max(0, 3 - len(cast))]:
        (name,) = some_names(1, idea.language, chance, [person.name for person in cast], phrase)
        cast.append(Person(name, phrase))
    if not cast:
        (name,) = some_names(1, idea.language, chance, hint=premise)
        cast.append(Person(name))
    return cast[:5]


def _same(phrase: str, known: str, language: Language) -> bool:
    head = phrase.split(" ")[-1].rstrip("s") if language == "en" else phrase[-2:]
    return head.lower() in known.lower()


def _companion(
    cast: Sequence[Person], lines: Lines, idea: Idea, chance: random.Random, seed: int
) -> tuple[Person, float]:
    """Another person, named from our list and described by a few words of the model, or else of ours."""
    english = idea.language == "en"
    (name,) = some_names(1, idea.language, chance, [person.name for person in cast])
    hero = cast[0].name
    frame = f"{hero} knew {name}, a" if english else f"{hero}认识{name}，一个"
    filled = lines.fill([lines.premise], frame, seed=seed)
    who = _short(filled.text[len(frame) - (1 if english else 2) :], english)
    taken = " ".join([person.who for person in cast])
    if not who or _same(who, f"{taken} {lines.premise}", idea.language):
        who = chance.choice(relations(idea.language))
    return Person(name, who), filled.scores["likelihood"]


def _short(text: str, english: bool) -> str:
    """The first few words of a description, up to a comma or a relative clause."""
    cut = text.strip().rstrip(".!?。！？")
    for mark in (",", " who ", " that ", " which ", " and ", "，", "、", "的时候"):
        cut = cut.split(mark)[0]
    words = cut.split(" ") if english else [cut]
    fits = 2 <= len(words) <= 6 if english else 2 <= count_words(cut, "zh") <= 10
    return " ".join(words).strip() if fits else ""


def _proposal(value: Value, scores: dict[str, float], idea: Idea) -> Proposal[Value]:
    known = {name: round(score, 3) for name, score in scores.items() if not math.isnan(score)}
    return Proposal(value, total(known), known, why(known, idea.language))


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each score over lines, NaN left out."""
    names = scores[0] if scores else {}
    means = {}
    for name in names:
        known = [one[name] for one in scores if not math.isnan(one[name])]
        means[name] = sum(known) / len(known) if known else math.nan
    return means


def _seed(seed: int, number: int) -> int:
    return (seed * 1009 + number * 101) % (1 << 30)
