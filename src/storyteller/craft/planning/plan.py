"""A plan: what a writer asks for in one box, and the steps from there to beats. Plain data that goes to JSON and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Generic, TypeVar

from storyteller.corpus.language import identify_language
from storyteller.corpus.story import FORMS, LANGUAGES, Form, Language
from storyteller.errors import GenerationError

__all__ = ["Beat", "Idea", "Person", "Plan", "Proposal", "Section", "clean", "people_of"]

Value = TypeVar("Value")

#: The length that is planned when the writer names none, in words or 字.
USUAL_WORDS = 1000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the story; `who` is a short description and may be empty."""

    name: str
    who: str = ""


@dataclass(frozen=True, slots=True)
class Idea:
    """The box "What is your story about?" with what may stand beside it; `age` is the reader's.

    Theme, plot and people are the writer's own words: a plan keeps them as they are, and uses them.
    """

    text: str
    language: Language = "en"
    form: Form = "story"
    words: int = USUAL_WORDS
    age: int | None = None
    theme: str = ""
    plot: str = ""
    people: tuple[Person, ...] = ()

    def __post_init__(self) -> None:
        if not (self.text.strip() or self.plot.strip()):
            raise GenerationError('the idea is empty. Say what the story is about: "A keeper finds a talking seal"')
        if self.words < 1:
            raise GenerationError(f"a story of {self.words} words cannot be planned; ask for 1 or more.")
        if self.form not in FORMS or self.language not in LANGUAGES:
            raise GenerationError(f"no {self.form!r} in {self.language!r}; see `storyteller write --help`.")

    @classmethod
    def of(cls, text: str, **others: Any) -> Idea:
        """An idea whose language is that of its words unless it is given; wishes that are None are left out."""
        others = {name: value for name, value in others.items() if value is not None}
        others.setdefault("language", identify_language(f"{text} {others.get('plot', '')}") or "en")
        return cls(text, **others)

    @property
    def own_words(self) -> str:
        """Everything that the writer said, for what must be known or kept."""
        people = " ".join(f"{person.name} {person.who}" for person in self.people)
        return "\n".join(part for part in (self.text, self.plot, self.theme, people) if part)


@dataclass(frozen=True, slots=True)
class Beat:
    """One line of what happens, and the words or 字 that telling it should take."""

    id: str
    text: str
    words: int


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the outline: beats that belong together."""

    id: str
    title: str
    beats: tuple[Beat, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Premise, people and outline; `structure` names the way the story goes, `summary` what is told so far.

    `chosen` says which proposal was taken for each step, by the step's name; it is the caller's to fill.
    """

    premise: str = ""
    people: tuple[Person, ...] = ()
    outline: tuple[Section, ...] = ()
    summary: str = ""
    structure: str = ""
    chosen: Mapping[str, int] = field(default_factory=dict)

    def beats(self) -> Iterator[Beat]:
        """All beats in order."""
        for section in self.outline:
            yield from section.beats

    def with_beats(self, section: str, beats: Sequence[Beat]) -> Plan:
        """The plan with other beats in one section; raises `GenerationError` when there is no such section."""
        if all(section != known.id for known in self.outline):
            raise GenerationError(f"the outline has no section {section!r}. Make an outline first, or name one of it.")
        changed = (replace(known, beats=tuple(beats)) if known.id == section else known for known in self.outline)
        return replace(self, outline=tuple(changed))

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON's own types: `{premise, people, outline, summary, structure, chosen}`."""
        return asdict(self) | {"chosen": dict(self.chosen)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Plan:
        """The plan of `to_json`; whatever else a page keeps in it is ignored, beats without an id are given one.

        Raises `GenerationError` for what is no plan.
        """
        try:
            sections = tuple(
                Section(
                    str(section.get("id") or f"s{number}"),
                    str(section.get("title", "")),
                    tuple(
                        Beat(
                            str(beat.get("id") or f"s{number}b{place}"), str(beat["text"]), int(beat.get("words") or 0)
                        )
                        for place, beat in enumerate(section.get("beats") or (), 1)
                    ),
                )
                for number, section in enumerate(record.get("outline") or (), 1)
            )
            return cls(
                premise=str(record.get("premise") or ""),
                people=people_of(record),
                outline=sections,
                summary=str(record.get("summary") or ""),
                structure=str(record.get("structure") or ""),
                chosen=dict(chosen) if isinstance(chosen := record.get("chosen"), Mapping) else {},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise GenerationError(f"this is no plan ({type(error).__name__}: {error}). Make one anew.") from error


@dataclass(frozen=True, slots=True)
class Proposal(Generic[Value]):
    """One candidate for a step of the plan: its total score, what the score is made of, and why in words."""

    value: Value
    score: float
    scores: Mapping[str, float]
    why: str

    def to_json(self) -> dict[str, Any]:
        """`{value, score, scores, why}` as JSON's own types."""
        return {"value": _plain(self.value), "score": self.score, "scores": dict(self.scores), "why": self.why}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return asdict(value)


def people_of(record: Mapping[str, Any]) -> tuple[Person, ...]:
    """The people of a kept plan who have a name; the page keeps an empty line for the next one."""
    people = (
        Person(str(one.get("name") or "").strip(), str(one.get("who") or "")) for one in record.get("people") or ()
    )
    return tuple(person for person in people if person.name)


def clean(text: str) -> str:
    """A text on one line."""
    return re.sub(r"\s+", " ", text).strip()
