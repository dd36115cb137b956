"""The algebra of a manuscript: texts, the splices that change them, and the spans that say who wrote what.

Pure functions over frozen values. Offsets and lengths count UTF-16 code units, as JavaScript does. Of every state the
spans cover the text exactly, no two neighbours are alike, and none is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from storyteller.studio.errors import StudioError

__all__ = ["EMPTY", "Source", "Span", "Splice", "State", "apply", "between", "joined", "units", "written_by"]

Source = Literal["person", "model", "edited", "prompt", "import"]

_HIGH = re.compile("[\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Span:
    """`length` units of one source; an `edited` one keeps the generation inside which the person wrote."""

    length: int
    source: Source
    generation: str | None = None
    model: str | None = None
    candidate: int | None = None

    def same_hand(self, other: Span) -> bool:
        """Whether the two differ in nothing but their length."""
        mine = self.source, self.generation, self.model, self.candidate
        return mine == (other.source, other.generation, other.model, other.candidate)

    def row(self) -> list[Any]:
        """As it is stored."""
        return [self.length, self.source, self.generation, self.model, self.candidate]


@dataclass(frozen=True, slots=True)
class Splice:
    """At `start`, `removed` went and `inserted` came; `spans` cover what came."""

    start: int
    removed: str
    inserted: str
    spans: tuple[Span, ...]

    @property
    def end(self) -> int:
        """The end of what came."""
        return self.start + sum(span.length for span in self.spans)


@dataclass(frozen=True, slots=True)
class State:
    """A text with its spans."""

    text: str
    spans: tuple[Span, ...] = ()
    units: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", sum(span.length for span in self.spans))

    def cut(self, start: int, length: int) -> tuple[str, str, str]:
        """The text before, in and after a range. Raises `StudioError` outside the text and inside a surrogate pair."""
        end = start + length
        if start < 0 or length < 0 or end > self.units:
            raise StudioError(
                f"there is no range {start} to {end} in a text of {self.units} UTF-16 units. Read the scene again."
            )
        if self.units == len(self.text):
            return self.text[:start], self.text[start:end], self.text[end:]
        data = self.text.encode("utf-16-le")
        pieces = data[: 2 * start], data[2 * start : 2 * end], data[2 * end :]
        try:
            before, inside, after = (piece.decode("utf-16-le") for piece in pieces)
        except UnicodeDecodeError:
            raise StudioError(
                f"the range {start} to {end} splits a character of two UTF-16 units. Move its end by one."
            ) from None
        return before, inside, after

    def slice(self, start: int, end: int) -> tuple[Span, ...]:
        """The spans of a range."""
        return tuple(_cut_spans(self.spans, start, end))


EMPTY = State("")


def units(text: str) -> int:
    """The length of a text in UTF-16 code units."""
    return len(text) + (0 if text.isascii() else sum(1 for _ in _HIGH.finditer(text)))


def written_by(
    state: State, start: int, removed: int, inserted: str, source: Source, generation: str | None = None, **whose: Any
) -> tuple[Span, ...]:
    """The spans of an insertion: a person's strictly within one generation's words is `edited`, and belongs to it."""
    length = units(inserted)
    if not length:
        return ()
    if source == "person" and (around := _around(state.spans, start, start + removed)):
        return (Span(length, "edited", around.generation, around.model, around.candidate),)
    return (Span(length, source, generation, **whose),)


def apply(state: State, splice: Splice) -> State:
    """The state after a splice. Raises `StudioError` when what it removes does not stand there."""
    length = units(splice.removed)
    before, removed, after = state.cut(splice.start, length)
    if removed != splice.removed:
        raise StudioError("the change does not fit the text that it is for. Read the scene again.")
    end = splice.start + length
    spans = (
        *_cut_spans(state.spans, 0, splice.start),
        *splice.spans,
        *_cut_spans(state.spans, end, state.units),
    )
    return State(before + splice.inserted + after, _merged(spans))


def joined(first: Splice, second: Splice, after: State) -> Splice | None:
    """The one splice that does what two do one after the other, None where they do not touch; `after` is the end state."""
    start, end = first.start, first.end
    second_end = second.start + units(second.removed)
    if second.start > end or second_end < start:
        return None
    middle = State(first.inserted, first.spans)
    left = max(second.start - start, 0)
    right = min(second_end, end) - start
    kept_left = middle.cut(0, left)[1]
    kept_right = middle.cut(right, middle.units - right)[1]
    gone = State(second.removed, _plain(second.removed))
    gone_before = gone.cut(0, max(start - second.start, 0))[1]
    over = max(second_end - end, 0)
    gone_after = gone.cut(gone.units - over, over)[1]
    inserted = kept_left + second.inserted + kept_right
    at = min(start, second.start)
    return Splice(at, gone_before + first.removed + gone_after, inserted, after.slice(at, at + units(inserted)))


def between(old: State, new: State) -> Splice:
    """The smallest single splice that turns the old text into the new one, with the new one's spans."""
    prefix = _common(old.text, new.text)
    shorter = min(len(old.text), len(new.text)) - prefix
    suffix = _common_end(old.text, new.text, shorter)
    start = units(new.text[:prefix])
    inserted = new.text[prefix : len(new.text) - suffix]
    removed = old.text[prefix : len(old.text) - suffix]
    return Splice(start, removed, inserted, new.slice(start, start + units(inserted)))


def _plain(text: str) -> tuple[Span, ...]:
    return (Span(units(text), "person"),) if text else ()


def _around(spans: Sequence[Span], start: int, end: int) -> Span | None:
    """A span of the generation that stands on both sides of a range, and all through it."""
    place, found = 0, []
    for span in spans:
        after = place + span.length
        if after >= start and place <= end:
            found.append((place, after, span))
        if place > end:
            break
        place = after
    named = {(span.generation, span.model) for _, _, span in found}
    if not found or len(named) != 1 or found[0][2].generation is None:
        return None
    return found[0][2] if found[0][0] < start and found[-1][1] > end else None


def _cut_spans(spans: Iterable[Span], start: int, end: int) -> Iterator[Span]:
    """What of the spans lies in a range."""
    place = 0
    for span in spans:
        low, high = max(place, start), min(place + span.length, end)
        if low < high:
            yield span if high - low == span.length else replace(span, length=high - low)
        place += span.length
        if place >= end:
            return


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The spans with like neighbours made one."""
    merged: list[Span] = []
    for span in spans:
        if merged and merged[-1].same_hand(span):
            merged[-1] = replace(span, length=merged[-1].length + span.length)
        else:
            merged.append(span)
    return tuple(merged)


def _common(one: str, other: str) -> int:
    """The length of the common beginning in characters, by halving: comparing slices is memcmp."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle)
    return low


def _common_end(one: str, other: str, most: int) -> int:
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[len(one) - middle :] == other[len(other) - middle :] else (low, middle)
    return low
