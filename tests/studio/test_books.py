from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storyteller.craft.book import Alternative, Book, Entry, Part
from storyteller.studio.books import book_of, shelve, utf16_offsets
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
