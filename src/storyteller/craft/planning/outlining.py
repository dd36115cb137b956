"""From a structure to lines and sections: what the writer's plot says stays in its place, frames fill what is between."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from storyteller.corpus.language import count_words, ends_sentence, split_sentences
from storyteller.craft.planning.lines import Filled, Lines
from storyteller.craft.planning.plan import Beat, Idea, Person, Section, clean
from storyteller.craft.planning.scoring import mentioned
from storyteller.craft.planning.structures import ROLES, Step, Structure

__all__ = ["beats_for", "outline_lines", "sections_of", "spread"]

#: Words or 字 that a beat is told in. The template was trained with passages of 50 to 500 words; a small model holds one
#: thought for about this long.
PER_BEAT = {"en": 150, "zh": 220}
FEWEST, MOST = 3, 60

#: How the theme and people whom no line names come in, where the writer's own words are all that can be said.
_THEME = {
    "en": ("{hero} understood at last: {theme}", "It was all about {theme}"),
    "zh": ("{hero}终于明白：{theme}", "说到底，这是{theme}"),
}
#: What goes on when a step's own frames are used up.
_MORE = {
    "en": (
        "The next day {hero}",
        "Meanwhile {other}",
        "After that {hero}",
        "Soon",
        "A little later {hero} and {other}",
    ),
    "zh": ("第二天，{hero}", "与此同时，{other}", "后来{hero}", "不久，", "过了一会儿，{hero}和{other}"),
}
_COMES = {"en": "Then {other} came and", "zh": "这时{other}来了，"}


def beats_for(words: int, language: str) -> int:
    """How many beats a story of that length has."""
    return max(FEWEST, min(MOST, round(words / PER_BEAT["zh" if language == "zh" else "en"])))


def outline_lines(
    idea: Idea, people: Sequence[Person], structure: Structure, lines: Lines, seed: int
) -> list[tuple[int, Filled]]:
    """The lines of a story in order, each with the number of its step.

    The sentences of the writer's plot are spread over the steps from the first to the last; what is free is filled.
    """
    chance = random.Random(f"{seed}/{structure.id}")
    count = beats_for(idea.words, idea.language)
    given = _placed(_plot(idea), count)
    count = max(count, len(given))
    steps = _steps(count, len(structure.steps))
    told: list[tuple[int, Filled]] = []
    used: set[str] = set()
    turn = _turn(count, given)
    for number, step in enumerate(steps):
        before = [filled.text for _, filled in told]
        if number in given:
            filled = lines.rate(given[number], before)
        else:
            frame = _frame(structure.steps[step], used, people, before, number / count, idea, chance)
            used.add(frame)
            filled = lines.fill(before, spread(frame, people, chance), tries=4, seed=seed + 7 * number)
            if number == turn and idea.theme:
                joint = " " if idea.language == "en" else ""
                filled = replace(filled, text=f"{filled.text}{joint}{_theme(idea, people)}")
        told.append((step, filled))
    return told


def sections_of(idea: Idea, structure: Structure, lines: Sequence[tuple[int, str]]) -> tuple[Section, ...]:
    """The lines as sections, one for each step that has any; the words are shared out evenly, to the last one."""
    shares = [
        idea.words * (number + 1) // len(lines) - idea.words * number // len(lines) for number in range(len(lines))
    ]
    sections: list[Section] = []
    for number, step in enumerate(structure.steps):
        mine = [(text, share) for (at, text), share in zip(lines, shares, strict=True) if at == number]
        beats = tuple(Beat(f"s{number + 1}b{place}", text, share) for place, (text, share) in enumerate(mine, 1))
        if beats:
            sections.append(Section(f"s{number + 1}", step.title, beats))
    return tuple(sections)


def spread(frame: str, people: Sequence[Person], chance: random.Random | None = None) -> str:
    """The frame with names for its roles; of several others anybody may play the other."""
    names = [person.name for person in people] or ["Somebody"]
    others = names[1:]
    if chance is not None:
        others = chance.sample(others, len(others))
    parts = dict(zip(ROLES, [names[0], *others], strict=False))
    return re.sub(r"\{(\w+)\}", lambda match: parts.get(match[1], names[0]), frame)


def _plot(idea: Idea) -> list[str]:
    """The sentences or lines of the writer's plot, each closed by a full stop so that it is a line."""
    sentences = [
        clean(sentence) for line in idea.plot.splitlines() for sentence in split_sentences(line, idea.language)
    ]
    return [sentence for sentence in sentences if sentence]


def _placed(plot: Sequence[str], count: int) -> dict[int, str]:
    """Where each sentence of the plot stands among `count` lines: the first first, the last last."""
    if not plot:
        return {}
    if len(plot) >= count:
        return dict(enumerate(plot))
    if len(plot) == 1:
        return {0: plot[0]}
    return {round(number * (count - 1) / (len(plot) - 1)): sentence for number, sentence in enumerate(plot)}


def _steps(count: int, steps: int) -> list[int]:
    """The step of each of `count` lines; with fewer lines than steps the first and the last step are kept."""
    if count == 1:
        return [0]
    if count < steps:
        return [round(number * (steps - 1) / (count - 1)) for number in range(count)]
    return [number * steps // count for number in range(count)]


def _turn(count: int, given: dict[int, str]) -> int:
    """The line where the story turns, which is where a theme is said: about four fifths, and free."""
    free = [number for number in range(1, count) if number not in given]
    return min(free, key=lambda number: abs(number - 0.8 * count), default=-1)


def _theme(idea: Idea, people: Sequence[Person]) -> str:
    theme = idea.theme.strip()
    whole = count_words(theme, idea.language) > (3 if idea.language == "en" else 6)
    text = spread(_THEME[idea.language][0 if whole else 1].replace("{theme}", theme), people)
    return text if ends_sentence(text) else text + ("。" if idea.language == "zh" else ".")


def _frame(
    step: Step,
    used: set[str],
    people: Sequence[Person],
    before: Sequence[str],
    share: float,
    idea: Idea,
    chance: random.Random,
) -> str:
    """A frame of the step that was not used yet, in the step's order; later, one for whoever has not come in."""
    unseen = [person.name for person in people if not mentioned([person.name], " ".join(before))]
    if share >= 0.3 and unseen and unseen[0] != people[0].name:
        return _COMES[idea.language].replace("{other}", unseen[0])
    possible = step.possible(len(people))
    last = max((place for place, frame in enumerate(possible) if frame in used), default=-1)
    more = Step("", _MORE[idea.language]).possible(len(people))
    return chance.choice(possible[last + 1 :] or [frame for frame in more if frame not in used] or more)
