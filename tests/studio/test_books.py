from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storyteller.craft.book import Alternative, Book, Entry, Part
from storyteller.studio.books import book_of, keepable, shelve, utf16_offsets
from storyteller.studio.errors import StudioError
from storyteller.studio.store import Store, Writer


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    store = Store(f"sqlite:///{tmp_path / 'studio.db'}")
    yield store.writer("")
    store.close()


def a_book() -> Book:
    return Book(
        title="海豹",
        language="zh",
        form="story",
        parts=[
            Part("scene", "序", "🦭来了。\n它说话。"),
            Part("chapter", "一", parts=[Part("scene", "甲", "甲的话。"), Part("note", "记", "别忘了雨。")]),
            Part("chapter", "二", parts=[Part("scene", "乙", "INT. 内景 茶馆 - 夜", form="screenplay")]),
        ],
        entries=[Entry("person", "小舟", ["舟"], ["小舟山"], "守塔人", always=True, priority=3, extra={"uid": 7})],
        memory="雨。",
        note="写短。",
        extra={"card": {"nickname": "Z"}},
        warnings=["guessed"],
    )


def test_a_book_goes_in_and_comes_out_the_same(writer: Writer) -> None:
    book = a_book()
    made = shelve(writer, book)
    assert made["warnings"] == ["guessed"]
    assert (len(made["items"]), len(made["entries"])) == (6, 1)
    out = book_of(writer, made["project"])
    book.warnings = []
    assert out == book
    again = shelve(writer, out, made["project"])  # added to it: nothing is overwritten
    assert again["project"] == made["project"]
    assert len(book_of(writer, made["project"]).scenes()) == 6


def test_a_chapter_with_text_of_its_own_keeps_it(writer: Writer) -> None:
    made = shelve(writer, Book(parts=[Part("chapter", "One", "Text.", [Part("scene", "A", "More.")])]))
    assert [scene.text for scene in book_of(writer, made["project"]).scenes()] == ["Text.", "More."]


def test_an_entry_gets_a_name_or_is_left_out(writer: Writer) -> None:
    book = keepable(
        Book(entries=[Entry(name="Mara"), Entry(), Entry(text="A seal\nthat talks."), Entry(aliases=["舟"])])
    )
    made = shelve(writer, book)
    assert [entry["name"] for entry in writer.entries(made["project"])] == ["Mara", "A seal that talks.", "舟"]
    assert made["warnings"] == ["Entries without a name and a text were left out: 1."]


@pytest.mark.parametrize(
    "book",
    [
        Book(parts=[Part("scene", "One", "half \ud800")]),
        Book(parts=[Part("chapter", "One", parts=[Part("note", "\0")])]),
        Book(entries=[Entry(name="Mara", text="\udfff")]),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is(book: Book) -> None:
    with pytest.raises(StudioError):
        keepable(book)


def test_a_project_takes_what_it_has_not_and_is_told_of_the_rest(writer: Writer) -> None:
    project = writer.create_project({"memory": "It rains."})["id"]
    made = shelve(writer, Book(memory="On the moon.", note="写短。", extra={"card": {"name": "Bob"}}), project)
    kept = writer.project(project)
    assert (kept["memory"], kept["note"], kept["settings"]) == (
        "It rains.",
        "写短。",
        {"extra": {"card": {"name": "Bob"}}},
    )
    assert made["warnings"] == ["The project keeps its own memory; left out was: On the moon."]


def test_other_texts_become_branches_and_versions(writer: Writer) -> None:
    text = "🦭 One. Two."
    book = Book(parts=[Part("scene", "", "first"), Part("scene", "", text)])
    book.alternatives = [
        Alternative(1, 0, len(text), "Another whole."),
        Alternative(1, 7, 11, "Zwei."),
        Alternative(1, 7, 11, "二。"),
    ]
    project = writer.project(shelve(writer, book)["project"])
    scene = [item["id"] for item in project["tree"] if item["kind"] == "scene"][1]
    kept = writer.scene(scene)
    assert kept["text"] == text
    assert {span[1] for span in kept["provenance"]} == {"import"}
    passage = writer.alternatives(scene, 10)
    assert {one["text"] for one in passage["alternatives"]} == {"Two.", "Zwei.", "二。"}
    chosen = next(one for one in passage["alternatives"] if one["text"] == "二。")
    moved = writer.choose(scene, kept["head"], 10, chosen["generation"], chosen["candidate"])
    assert moved["text"] == "🦭 One. 二。"
    (branch,) = [one for one in writer.branches(scene) if one["label"] == "alternative 1"]
    assert writer.at(scene, branch["node"])["text"] == "Another whole."


def test_offsets_count_what_the_page_counts() -> None:
    assert [utf16_offsets("a🦭b")(place) for place in (-1, 0, 1, 2, 3)] == [-1, 0, 1, 3, 4]
    assert utf16_offsets("ab")(2) == 2


def test_half_a_character_in_what_a_file_says_besides_is_dropped(writer: Writer, tmp_path: Path) -> None:
    half = "Nice \ud83d"
    book = Book(entries=[Entry(name="Ana", extra={"lorebook": {half: [half, {"x": half}]}})], extra={"card": half})
    made = shelve(writer, keepable(book))
    assert book_of(writer, made["project"]).extra == {"card": "Nice "}
    assert writer.entries(made["project"])[0]["extra"] == {"lorebook": {"Nice ": ["Nice ", {"x": "Nice "}]}}
    writer.backup(tmp_path / "mine.storyteller")


def test_an_author_comes_back_from_the_store(writer: Writer) -> None:
    made = shelve(writer, keepable(Book("Tides", "Jane Doe", parts=[Part("scene", "", "It rained.")])))
    out = book_of(writer, made["project"])
    assert (out.author, out.extra) == ("Jane Doe", {})
    shelve(writer, keepable(Book("Other", "Tom", extra={"chat": {}})), made["project"])
    out = book_of(writer, made["project"])
    assert (out.author, out.extra) == ("Jane Doe", {"chat": {}})
