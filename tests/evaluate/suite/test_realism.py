"""Judges on the bench: what they are shown, and what they are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.evaluate.passages import people

from storyteller.corpus.story import Language
from storyteller.evaluate.statistics import Resampled
from storyteller.evaluate.suite import lay_out
from storyteller.evaluate.suite.meanings import Meanings
from storyteller.evaluate.suite.realism import JUDGED, measure_judges


@pytest.mark.parametrize(
    ("language", "mark"),
    [("en", lambda text: text.replace(",", ";")), ("zh", lambda text: text.replace("，", ""))],
    ids=["en", "zh"],
)
def test_where_marks_give_a_system_away_no_judge_sees_them_or_where_they_stood(
    language: Language, mark: Callable[[str], str], tmp_path: Path
) -> None:
    """The system's texts are people's own but for a mark: with words alone nobody can tell them apart."""
    human = people(language, 40)[:300]
    system = [replace(text, system="marked", text=mark(text.text)) for text in human]
    part = measure_judges(lay_out([*human, *system], language), Meanings(language, tmp_path / "vectors.safetensors"))
    assert part.notes == ["Punctuation alone tells marked from people, so all judges see words without punctuation."]
    for metric in JUDGED.values():
        area = part.values[metric.key, "marked"]
        assert isinstance(area, Resampled), area
        assert area.value == pytest.approx(0.5, abs=0.02), metric.key
