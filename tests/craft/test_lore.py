from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyteller.corpus.story import Language
from storyteller.craft.book import Entry
from storyteller.craft.lore import fired, mentions


def named(entries: list[Entry], text: str, language: Language = "en") -> list[str]:
    return [text[found.start : found.end] for found in mentions(entries, text, language)]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("AI", "It ain't here, but an AI is. AIs too.", ["AI", "AIs"]),
        ("Mara", "Mara's lamp; Marathon; MARA", ["Mara's", "MARA"]),
        ("fairy", "Fairies and the fairy’s hat", ["Fairies", "fairy’s"]),
        ("Will", "I will ask Will.", ["Will"]),
        ("fox", "Two foxes, one fox-hole", ["foxes", "fox"]),
        ("the old keeper", "Then the  old\nkeeper spoke", ["the  old\nkeeper"]),
        ("James", "James' hat and James's coat", ["James'", "James's"]),
        ("Zoë", "Zoë laughed. Zoëtrope.", ["Zoë"]),
    ],
)
def test_an_english_name_is_a_word_of_its_own(name: str, text: str, found: list[str]) -> None:
    assert named([Entry(name=name)], text) == found


@pytest.mark.parametrize(
    ("names", "text", "found"),
    [
        (["关云长"], "关云长温酒斩华雄", ["关云长"]),
        (["云", "云南"], "他去了云南。", ["云南"]),
        (["光"], "阳光很好。光，走吧！", ["光"]),
        (["Mara"], "他对Mara说了一句话。", ["Mara"]),
        (["小雨", "雨"], "小雨说：雨！", ["小雨", "雨"]),
    ],
)
def test_a_chinese_name_stands_among_other_characters(names: list[str], text: str, found: list[str]) -> None:
    assert named([Entry(name=name) for name in names], text, "zh") == found


def test_a_name_inside_a_longer_one_is_not_meant() -> None:
    entries = [Entry(name="Mara"), Entry(name="Mara Lane", kind="place")]
    assert [found.entry.name for found in mentions(entries, "In Mara Lane lived Mara.", "en")] == ["Mara Lane", "Mara"]


def test_two_entries_of_one_name_both_fire() -> None:
    entries = [Entry(name="Rose", text="a woman"), Entry(name="rose", text="a flower")]
    assert [found.entry.text for found in fired(entries, "Rose came.", "en")] == ["a woman", "a flower"]
    assert [found.entry.text for found in fired(entries, "A rose grew.", "en")] == ["a flower"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("O'Brien", "“Sit,” O’Brien said."),
        ("O’Brien", "O'Brien's hat."),
        ("Anne-Marie", "Anne\u2011Marie came."),
        ("Anne‐Marie", "Anne-Marie came."),
        ("José", "Jose\u0301 came."),
        ("Jose\u0301", "José came."),
    ],
)
def test_a_name_may_be_set_in_other_marks(name: str, text: str) -> None:
    assert [found.key for found in mentions([Entry(name=name)], text, "en")] == [name]
    assert mentions([Entry(name="Smith", avoid=[name])], f"Smith: {text}", "en") == []


def test_a_name_that_ends_in_a_mark_is_no_part_of_a_word() -> None:
    assert named([Entry(name="ed.")], "He walked. He stopped.") == []
    assert named([Entry(name="Jose")], "Jose\u0301 came.") == []
    assert named([Entry(name="Mr. T."), Entry(name="C++")], "Mr. T. knows C++ well.") == ["Mr. T.", "C++"]


def test_what_is_avoided_takes_its_own_mentions_or_silences_the_entry() -> None:
    cloud = Entry(name="云中", avoid=["云中君"])
    assert named([cloud], "云中君走了。云中来了。", "zh") == ["云中"]
    mark = Entry(name="Mark", avoid=["Mark Twain", "dream"])
    assert named([mark], "Mark read Mark Twain.") == ["Mark"]
    assert named([mark], "Mark had a dream.") == []


def test_capitals_count_as_the_writer_wishes() -> None:
    assert named([Entry(name="Will", extra={"case_sensitive": False})], "I will.") == ["will"]
    assert named([Entry(name="will", extra={"case_sensitive": True})], "Will I? I will.") == ["will"]


def test_each_firing_says_by_what_and_why() -> None:
    keeper = Entry(name="Mara", aliases=["the keeper"])
    sea = Entry(name="the sea", always=True, priority=5)
    silent = Entry(name="Mara", enabled=False)
    first, second = fired([keeper, sea, silent], "Mara slept. The keeper woke.", "en")
    assert (first.entry, first.why, first.start) == (sea, "always", -1)
    assert (second.entry, second.key, second.why, second.start) == (keeper, "the keeper", "alias", 12)


def test_reading_is_linear_and_fast_with_many_names() -> None:
    entries = [Entry(name=f"Name{number} Of{number % 7}") for number in range(500)]
    text = "He said that Name77 Of0 had gone to the house of Name4. "
    times = []
    for copies in (2_000, 20_000):
        started = time.perf_counter()
        assert len(mentions(entries, text * copies, "en")) == copies
        times.append(time.perf_counter() - started)
    assert times[1] < 25 * times[0]


@given(st.lists(st.text(min_size=1, max_size=12), max_size=8), st.text(max_size=200))
def test_any_names_and_any_text_are_read(names: list[str], text: str) -> None:
    entries = [Entry(name=name, avoid=names[:1]) for name in names]
    for language in ("en", "zh"):
        for found in mentions(entries, text, language):
            assert 0 <= found.start < found.end <= len(text)
        assert len(fired(entries, text, language)) <= len(entries)
