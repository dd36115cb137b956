"""The algebra: spans cover texts, splices act on both alike, what is joined does what its parts do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from storyteller.studio.errors import StudioError
from storyteller.studio.store.splices import (
    EMPTY,
    Source,
    Span,
    Splice,
    State,
    apply,
    between,
    joined,
    units,
    written_by,
)

_TEXT = st.text(alphabet="ab 海豹。\n😀𠀀", max_size=12)
_SOURCES: list[Source] = ["person", "model", "edited", "prompt", "import"]


def _splice(state: State, start: int, remove: int, text: str, source: Source, generation: str | None) -> Splice:
    """A splice at characters `start` to `start + remove` of a state."""
    before = state.text[:start]
    removed = state.text[start : start + remove]
    spans = written_by(state, units(before), units(removed), text, source, generation)
    return Splice(units(before), removed, text, spans)


@st.composite
def _histories(draw: st.DrawFn, most: int = 6) -> list[tuple[State, Splice]]:
    """A text in the making: each splice with the state that it is for."""
    state, steps = EMPTY, []
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(state.text)))
        remove = draw(st.integers(0, len(state.text) - start))
        source = draw(st.sampled_from(["person", "person", "model", "import"]))
        generation = draw(st.sampled_from(["g1", "g2"])) if source == "model" else None
        splice = _splice(state, start, remove, draw(_TEXT), source, generation)
        steps.append((state, splice))
        state = apply(state, splice)
    return steps


@given(_histories())
def test_spans_cover_the_text_exactly_and_no_two_neighbours_are_alike(steps: list[tuple[State, Splice]]) -> None:
    for state, splice in steps:
        after = apply(state, splice)
        assert sum(span.length for span in after.spans) == units(after.text) == after.units
        assert all(span.length > 0 and span.source in _SOURCES for span in after.spans)
        assert not any(one.same_hand(other) for one, other in zip(after.spans, after.spans[1:], strict=False))


@given(_histories())
def test_a_splice_changes_the_text_as_javascript_would_and_the_spans_of_nothing_else(
    steps: list[tuple[State, Splice]],
) -> None:
    for state, splice in steps:
        after = apply(state, splice)
        coded, start, gone = state.text.encode("utf-16-le"), 2 * splice.start, 2 * units(splice.removed)
        assert (
            after.text.encode("utf-16-le")
            == coded[:start] + splice.inserted.encode("utf-16-le") + coded[start + gone :]
        )
        hands = _hands(state)
        assert _hands(after) == hands[: splice.start] + _flat(splice.spans) + hands[splice.start + gone // 2 :]


@given(_histories())
def test_the_inverse_of_a_splice_brings_text_and_spans_back(steps: list[tuple[State, Splice]]) -> None:
    for state, splice in steps:
        after = apply(state, splice)
        old = state.slice(splice.start, splice.start + units(splice.removed))
        assert apply(after, Splice(splice.start, splice.inserted, splice.removed, old)) == state
        assert apply(apply(after, Splice(splice.start, splice.inserted, splice.removed, old)), splice) == after


@given(_histories())
def test_two_splices_that_touch_are_one(steps: list[tuple[State, Splice]]) -> None:
    for (state, first), (_, second) in itertools.pairwise(steps):
        after = apply(apply(state, first), second)
        both = joined(first, second, after)
        touching = second.start <= first.end and second.start + units(second.removed) >= first.start
        assert (both is not None) == touching
        if both is not None:
            assert apply(state, both) == after


@given(_histories(), _histories())
def test_the_splice_between_two_texts_leads_from_one_to_the_other(
    one: list[tuple[State, Splice]], other: list[tuple[State, Splice]]
) -> None:
    old, new = (apply(*steps[-1]) for steps in (one, other))
    splice = between(old, new)
    assert apply(old, splice).text == new.text
    if old.text and new.text and old.text[0] != new.text[0] and old.text[-1] != new.text[-1]:
        assert apply(old, splice) == new
    same = between(new, State(new.text, new.spans))
    assert not same.removed
    assert not same.inserted


def test_a_range_that_splits_a_character_or_leaves_the_text_is_refused() -> None:
    state = State("a😀b", (Span(4, "person"),))
    assert state.cut(1, 2) == ("a", "😀", "b")
    for start, length in ((2, 0), (0, 2), (1, 1), (2, 2)):
        with pytest.raises(StudioError, match="splits a character"):
            state.cut(start, length)
    for start, length in ((-1, 1), (0, 5), (5, 0), (1, -1)):
        with pytest.raises(StudioError, match="no range"):
            state.cut(start, length)


def test_a_splice_for_another_text_is_refused() -> None:
    with pytest.raises(StudioError, match="does not fit"):
        apply(State("abc", (Span(3, "person"),)), Splice(0, "b", "", ()))


@given(st.integers(0, 6), st.integers(0, 6), _TEXT)
def test_a_person_inside_one_generation_edits_and_outside_writes(start: int, remove: int, text: str) -> None:
    assume(text and start + remove <= 6)
    state = State("..mmmmmm..", (Span(2, "person"), Span(6, "model", "g", "tiny", 1), Span(2, "person")))
    (span,) = written_by(state, 2 + start, remove, text, "person")
    inside = start > 0 and start + remove < 6
    assert span == (Span(units(text), "edited", "g", "tiny", 1) if inside else Span(units(text), "person"))


def test_typing_on_in_an_edit_is_the_same_edit() -> None:
    state = State("mmmm", (Span(4, "model", "g", "tiny"),))
    for place, letter in enumerate("new"):
        state = apply(state, _splice(state, 2 + place, 0, letter, "person", None))
    assert [(span.length, span.source) for span in state.spans] == [(2, "model"), (3, "edited"), (2, "model")]


def test_between_two_generations_a_person_writes_their_own() -> None:
    state = State("aabb", (Span(2, "model", "g"), Span(2, "model", "h")))
    assert written_by(state, 2, 0, "x", "person") == (Span(1, "person"),)
    assert written_by(state, 1, 2, "x", "person") == (Span(1, "person"),)


def _flat(spans: tuple[Span, ...]) -> list[tuple[str, str | None]]:
    return [(span.source, span.generation) for span in spans for _ in range(span.length)]


def _hands(state: State) -> list[tuple[str, str | None]]:
    return _flat(state.spans)
