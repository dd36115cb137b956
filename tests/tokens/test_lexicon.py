"""The words that may fill a blank."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tokens.stories import LAMP, SEAL

from storyteller.errors import ModelError
from storyteller.tokens.lexicon import count_words, load_words, save_words


def test_words_are_counted_and_marks_are_not() -> None:
    counts = count_words(['The seal sang. "The seal\'s song!" (The end?)', "seal, 12 seals"], least=1)
    assert counts["The"] == 3
    assert counts["seal"] == 2
    assert counts["seal's"] == counts["12"] == 1
    assert not any(mark in counts for mark in ('"', ".", "!", "(", ",", " "))
    assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_chinese_words_are_those_that_rjieba_finds() -> None:
    counts = count_words([LAMP])
    assert counts["海豹"] >= 3
    assert counts["灯笼"] >= 3
    assert "，" not in counts


def test_rare_words_and_those_over_the_limit_are_left_out() -> None:
    assert "lighthouse" in count_words([SEAL])
    assert "fisherman" not in count_words([SEAL])
    assert len(count_words([SEAL], least=1, most=5)) == 5


def test_words_are_kept_beside_a_model(tmp_path: Path) -> None:
    assert load_words(tmp_path) == {}
    save_words(tmp_path, {"seal": 3, "海豹": 2})
    assert load_words(tmp_path) == {"seal": 3, "海豹": 2}
    (tmp_path / "words.json").write_text("{", "utf-8")
    with pytest.raises(ModelError, match="damaged"):
        load_words(tmp_path)
