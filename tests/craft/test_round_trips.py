"""What goes out comes back: every format that goes both ways, in English and Chinese."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.craft.books import BOOKS, CHINESE, CHINESE_SCRIPT, ENGLISH, ENGLISH_SCRIPT, books, manuscript
from tests.craft.test_screenplay import oracles, ours

from storyteller.corpus.story import Language
from storyteller.craft.book import Alternative, Book, Entry, Part
from storyteller.craft.formats import KINDS, read_book, write_book
from storyteller.craft.formats.emphasis import Run, marked, plain, runs_of
from storyteller.craft.formats.fountain import Element, Script, parse_script, write_elements, write_script
from storyteller.craft.formats.screenplays import parse_fdx

SUITE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def again(book: Book, kind: str) -> Book:
    return read_book(f"file{KINDS[kind].suffix}", write_book(book, kind))


@pytest.mark.parametrize("kind", ["md", "docx", "epub"])
@pytest.mark.parametrize("book", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_a_manuscript_survives(book: Book, kind: str) -> None:
    read = again(book, kind)
    assert manuscript(read) == manuscript(book)
    assert (read.title, read.author, read.language) == (book.title, book.author, book.language)
    assert read.warnings == []


@SUITE
@given(books())
def test_any_manuscript_survives_markdown(book: Book) -> None:
    read = again(book, "md")
    assert (manuscript(read), read.title, read.author, read.language) == (
        manuscript(book),
        book.title,
        book.author,
        book.language,
    )


@SUITE
@given(books())
def test_any_manuscript_survives_epub(book: Book) -> None:
    assert manuscript(again(book, "epub")) == manuscript(canonical(book))


@settings(SUITE, max_examples=4)
@given(books())
def test_any_manuscript_survives_word(book: Book) -> None:
    assert manuscript(again(book, "docx")) == manuscript(canonical(book))


VERSE = {
    "en": "Roses are red,\nViolets are blue,\n\nSugar is sweet,\nAnd so are you.",
    "zh": "床前明月光，\n疑是地上霜。\n\n举头望明月，\n低头思故乡。",
}


@pytest.mark.parametrize("kind", ["md", "docx", "epub"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_stanzas_stay_apart(kind: str, language: Language) -> None:
    book = Book(
        "Verse",
        language=language,
        parts=[Part("chapter", "One", parts=[Part("scene", "", f"\n{VERSE[language]}\n\n")])],
    )
    assert [scene.text for scene in again(book, kind).scenes()] == [VERSE[language]]
    first, second = VERSE[language].split("\n\n")
    text = write_book(book, "txt").decode()
    assert "\n\n\n".join(part.replace("\n", "\n\n") for part in (first, second)) in text


@pytest.mark.parametrize("kind", ["md", "docx"])
def test_tabs_and_spaces_stay(kind: str) -> None:
    text = "Name:\tMara  (keeper)\nAge:\t\t40"
    book = Book("Table", parts=[Part("chapter", "One", parts=[Part("scene", "", text)])])
    assert [scene.text for scene in again(book, kind).scenes()] == [text]
    assert (
        "white-space: pre-wrap" in zipfile.ZipFile(io.BytesIO(write_book(book, "epub"))).read("EPUB/style.css").decode()
    )


@pytest.mark.parametrize("kind", ["docx", "epub"])
@pytest.mark.parametrize("book", [ENGLISH_SCRIPT, CHINESE_SCRIPT], ids=["en", "zh"])
def test_a_screenplay_comes_back_as_one(book: Book, kind: str) -> None:
    def printed(scenes: list[Part]) -> list[tuple[str, str]]:
        elements = parse_script("\n" + "\n\n".join(scene.text for scene in scenes)).elements
        shown = [
            one for one in elements if one.kind in ("heading", "character", "parenthetical", "dialogue", "transition")
        ]
        return [(one.kind, plain(one.text)) for one in shown]

    read = again(book, kind)
    assert read.form == "screenplay"
    assert printed(read.scenes()) == printed(book.scenes())


def canonical(book: Book) -> Book:
    """The book with its emphasis as it would be written: formats with runs know no marks."""
    for scene in book.scenes():
        scene.text = "\n".join(marked(runs_of(line)) for line in scene.text.split("\n"))
    return book


@pytest.mark.parametrize("kind", ["fountain", "fdx", "md"])
@pytest.mark.parametrize("book", [ENGLISH_SCRIPT, CHINESE_SCRIPT], ids=["en", "zh"])
def test_a_screenplay_survives(book: Book, kind: str) -> None:
    read = again(book, kind)
    assert manuscript(read) == manuscript(book)
    assert (read.title, read.author, read.language, read.form) == (book.title, book.author, book.language, "screenplay")


@pytest.mark.parametrize("book", BOOKS, ids=["en", "zh", "en script", "zh script"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pdf"])
def test_the_same_book_gives_the_same_bytes_and_no_file_loses_its_words(book: Book, kind: str) -> None:
    book = dataclasses.replace(book, entries=book.entries or ENGLISH.entries)
    data = write_book(book, kind)
    assert write_book(book, kind) == data
    if kind == "lorebook":
        assert [entry.name for entry in again(book, kind).entries] == [entry.name for entry in book.entries]
        return
    text = (
        data.decode()
        if kind == "twee"
        else "\n".join(part.title + "\n" + part.text for part in again(book, kind).walk())
    )
    scenes = book.scenes()[:1] if kind.startswith("card") else book.scenes()
    for scene in scenes:
        for line in scene.text.split("\n"):
            if line and not line.startswith("[["):
                words = plain(line).strip("@^>< #1").split("(")[0].strip()
                assert words in plain_lines(text), (kind, line)


def plain_lines(text: str) -> str:
    return "\n".join(plain(line) for line in text.split("\n"))


RUN = st.builds(Run, st.text("ab *_\\.中。", max_size=6), st.booleans(), st.booleans())


@settings(deadline=None)
@given(st.lists(RUN, max_size=5))
def test_emphasis_never_loses_a_character(runs: list[Run]) -> None:
    line = marked(runs)
    assert "".join(run.text for run in runs_of(line)) == "".join(run.text for run in runs)
    assert marked(runs_of(line)) == marked(runs_of(marked(runs_of(line))))


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(list("ab *_\\.中。")), max_size=12))
def test_marks_around_nothing_are_text(line: str) -> None:
    said = "".join(run.text for run in runs_of(line, underline=True))
    assert [char for char in said if char not in "*_\\"] == [char for char in line if char not in "*_\\"]
    assert bool(said.strip()) == bool(line.strip())


# ---- screenplays -------------------------------------------------------------------------------------------------------

SAID = st.text(st.sampled_from(list("abcXYZ .,!?*_#=>@~()[]/:雨夜他说，。！？（）\n")), min_size=1, max_size=20)
NAME = st.sampled_from(
    ["MARY", "MARY (V.O.)", "Mary", "小明", "小红（画外音）", "O'NEIL", "ÉLODIE", "R2-D2", "INT. X", "TO:"]
)
PLACE = st.sampled_from(
    ["INT. HOUSE - DAY", "ext. sea", "内景 茶馆 - 夜", "外景。码头", "FLASHBACK", "茶馆 夜", "(later)", "1. 茶馆"]
)
ELEMENT = st.one_of(
    st.builds(Element, st.just("heading"), PLACE, number=st.sampled_from(["", "1", "12A"])),
    st.builds(Element, st.just("character"), NAME, dual=st.booleans()),
    st.builds(
        Element,
        st.sampled_from(["action", "dialogue", "dialogue", "parenthetical", "lyrics", "note", "boneyard"]),
        SAID,
    ),
    st.builds(Element, st.sampled_from(["synopsis", "transition", "centered"]), SAID),
    st.builds(Element, st.just("section"), SAID, level=st.integers(1, 3)),
    st.just(Element("page_break")),
)


@settings(max_examples=4000, deadline=None)
@given(st.lists(ELEMENT, max_size=10))
def test_fountain_reads_back_what_it_writes_and_others_read_the_same(elements: list[Element]) -> None:
    written = write_elements(elements)
    read = parse_script(f"\n{written}").elements
    assert write_elements(read) == written
    page = write_script(Script({"Title": "x"}, read))
    mine = [(kind, text.upper()) for kind, text in ours(read) if kind != "transition"]
    for seen in oracles(page):
        assert [(kind, text.upper()) for kind, text in seen if kind != "transition"] == mine


@settings(max_examples=2000, deadline=None)
@given(st.lists(ELEMENT, max_size=10))
def test_fountain_to_final_draft_and_back(elements: list[Element]) -> None:
    once = parse_script("\n" + write_elements(elements)).elements
    book = Book("T", "A", "zh", "screenplay", parts=[Part("chapter", parts=[Part("scene", text=write_elements(once))])])
    data = write_book(book, "fdx")
    back = parse_script("\n" + write_elements(parse_fdx("x.fdx", data).elements)).elements
    assert told(back) == told(once)


def told(elements: list[Element]) -> list[tuple[str, str, str, int, bool]]:
    """The elements without the empty lines between verses, which Final Draft does not have."""
    found: list[tuple[str, str, str, int, bool]] = []
    for element in elements:
        text = canonical_emphasis(element)
        if element.kind in ("lyrics", "centered") and found and found[-1][0] == element.kind:
            text = canonical_emphasis(dataclasses.replace(element, text=f"{found.pop()[1]} {text}"))
        found.append((element.kind, text, element.number, element.level, element.dual))
    return found


def canonical_emphasis(element: Element) -> str:
    return " ".join(marked(runs_of(element.text, underline=True), underline=True).split())


@pytest.mark.parametrize("book", [ENGLISH_SCRIPT, CHINESE_SCRIPT], ids=["en", "zh"])
def test_final_draft_is_read_by_others(book: Book) -> None:
    from screenplay_tools.fdx.parser import Parser

    script = Parser().parse(write_book(book, "fdx").decode())
    kinds = [type(element).__name__ for element in script.elements]
    assert kinds.count("SceneHeading") == 2
    assert "Transition" in kinds


def test_fountain_keeps_the_source_of_each_scene() -> None:
    source = (
        "Title: The _Lamp_\nCredit: by\nAuthor: Ann\nContact:\n    A house\n    A street\n\n"
        "FADE IN:\n\n# Act One\n\n= They meet.\n\n"
        "INT. HOUSE - DAY\n\nSome   spaces.\n/* cut\nall this */\n\n## Middle\n\n"
        "EXT. SEA - NIGHT\n\n[[note\nover lines]]\n\nBOAT\n"
    )
    book = read_book("x.fountain", source.encode())
    assert [(part.kind, part.title) for part in book.walk()] == [
        ("chapter", ""),
        ("scene", ""),
        ("chapter", "Act One"),
        ("scene", "INT. HOUSE - DAY"),
        ("scene", "EXT. SEA - NIGHT"),
    ]
    assert (book.title, book.author) == ("The Lamp", "Ann")
    assert book.scenes()[1].text.startswith("= They meet.\n\nINT. HOUSE - DAY\n\nSome   spaces.\n/* cut\nall this */")
    written = write_book(book, "fountain").decode()
    assert "Contact:\n    A house\n    A street\n" in written
    assert "Credit: by" in written
    assert [e.text for e in parse_script(written).elements] == [e.text for e in parse_script(source).elements]


# ---- cards and lorebooks -----------------------------------------------------------------------------------------------

JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
WORDS = st.text(st.sampled_from(list("abc {}雨夜。\n")), max_size=20).map(str.strip)
CARD = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["Ann", "小明"]),
        "description": WORDS,
        "first_mes": WORDS,
        "alternate_greetings": st.lists(WORDS, max_size=2),
    },
    optional={
        "personality": WORDS,
        "scenario": WORDS,
        "mes_example": WORDS,
        "creator": st.sampled_from(["", "somebody"]),
        "nickname": st.sampled_from(["", "Annie"]),
        "extensions": st.dictionaries(st.text(max_size=4), JSON_VALUE, max_size=2),
        "tags": st.lists(st.text(max_size=3), max_size=2),
        "unheard_of": JSON_VALUE,
        "system_prompt": st.sampled_from(["", "Be {{char}}."]),
        "post_history_instructions": WORDS,
    },
)


@settings(max_examples=100, deadline=None)
@given(CARD, st.sampled_from([2, 3]), st.booleans())
def test_a_card_that_nobody_changed_is_written_back_as_it_was(
    data: dict[str, object], version: int, picture: bool
) -> None:
    card = {"spec": f"chara_card_v{version}", "spec_version": f"{version}.0", "data": data, "extra": 1}
    book = read_book("x.json", json.dumps(card).encode())
    if picture:
        book = read_book("x.png", write_book(book, "card-png"))
    back = json.loads(write_book(book, "card" if version == 3 or picture else "card-v2"))["data"]
    for key, value in data.items():
        if key == "nickname" and version == 2:
            continue
        kept = back[key]
        if key == "alternate_greetings":
            value = [text for text in value if text]  # type: ignore[attr-defined]
        assert kept == value, key


def test_a_changed_card_says_what_the_writer_said() -> None:
    data = {
        "name": "Ann",
        "description": "{{char}} is kind.",
        "first_mes": "Hello.\n\nI am {{char}}.",
        "alternate_greetings": ["Hi {{user}}."],
    }
    book = read_book("x.json", json.dumps({"spec": "chara_card_v2", "spec_version": "2.0", "data": data}).encode())
    assert book.scenes()[0].text == "Hello.\nI am Ann."
    assert book.alternatives == [Alternative(0, 0, 16, "Hi {{user}}.", {"greeting": 0})]
    assert (book.entries[0].name, book.entries[0].text, book.entries[0].always) == ("Ann", "Ann is kind.", True)
    book.scenes()[0].text = "Good day.\nI am Ann."
    book.entries[0].text = "Ann is cruel."
    back = json.loads(write_book(book, "card"))["data"]
    assert back["first_mes"] == "Good day.\n\nI am Ann."
    assert (back["description"], back["personality"]) == ("Ann is cruel.", "")


ENTRY = st.builds(
    Entry,
    st.sampled_from(["person", "place", "thing", "other"]),
    st.sampled_from(["Ann", "茶馆", "The War"]),
    st.lists(st.sampled_from(["Annie", "阿明", "war"]), max_size=2, unique=True),
    st.lists(st.sampled_from(["bookmark", "关云"]), max_size=1),
    WORDS.filter(lambda text: not text.startswith("@@")),
    st.booleans(),
    st.booleans(),
    st.integers(-5, 500),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ENTRY, min_size=1, max_size=4))
def test_any_lorebook_survives(entries: list[Entry]) -> None:
    read = again(Book("World", entries=entries), "lorebook").entries
    assert [dataclasses.replace(entry, extra={}) for entry in read] == entries


def test_a_lorebook_keeps_its_decorators_and_what_it_says_beside() -> None:
    entry = {
        "keys": ["war", "battle"],
        "content": "@@depth 4\n@@@role system\nIt was long.",
        "extensions": {"a": {"b": 1}},
        "enabled": True,
        "insertion_order": 7,
        "use_regex": False,
        "constant": False,
        "name": "The War",
        "priority": 3,
        "id": 9,
        "secondary_keys": ["peace"],
        "selective": True,
        "position": "after_char",
        "case_sensitive": True,
    }
    value = {"spec": "lorebook_v3", "data": {"name": "W", "scan_depth": 5, "extensions": {"z": 1}, "entries": [entry]}}
    book = read_book("x.json", json.dumps(value).encode())
    found = book.entries[0]
    assert (found.name, found.aliases, found.text, found.priority) == ("The War", ["war", "battle"], "It was long.", 3)
    back = json.loads(write_book(book, "lorebook"))
    assert back["data"]["entries"] == [entry]
    assert (back["data"]["scan_depth"], back["data"]["extensions"]) == (5, {"z": 1})
