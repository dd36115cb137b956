"""Character cards, versions 1 to 3, in and out: JSON, PNG with `chara` and `ccv3`, and `.charx`.

The character becomes a person who is always remembered, the first message a scene, other greetings its alternatives, the
scenario the memory, the instructions after the history the author's note. Whatever a card says in a field that the writer did
not change is written back letter by letter. A script in a card is text like any other.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from storyteller.craft.book import Alternative, Book, Entry, Part
from storyteller.craft.formats.archive import Archive
from storyteller.craft.formats.lorebooks import entries_of, lorebook_of, read_lorebook
from storyteller.craft.formats.plain import language_of, title_of
from storyteller.craft.formats.png import blank_picture, is_png, text_chunks, with_text_chunks
from storyteller.craft.formats.values import line_of, manuscript, object_of, text_of, texts_of
from storyteller.errors import DataError

__all__ = ["read_card", "read_charx", "read_png_card", "write_card", "write_card_v2", "write_png_card"]

MAX_PICTURE = 4 << 20  # bytes of a card's picture that are kept for writing it again
_CHAR = re.compile(r"\{\{char\}\}|<BOT>", re.I)
_NOTES = {  # fields of a card that become notes: their titles in English and Chinese
    "mes_example": ("Example dialogue", "对话示例"),
    "system_prompt": ("System prompt", "系统提示"),
    "creator_notes": ("The creator's notes", "作者附言"),
}
_OLD = {"char_name": "name", "char_persona": "description", "world_scenario": "scenario", "char_greeting": "first_mes"}
_OLD |= {"example_dialogue": "mes_example"}
_V3_ONLY = (
    "assets",
    "nickname",
    "creator_notes_multilingual",
    "source",
    "group_only_greetings",
    "creation_date",
    "modification_date",
)


def read_card(name: str, value: dict[str, Any]) -> Book:
    """The book of a card's JSON."""
    spec = text_of(value.get("spec"))
    data = object_of(value.get("data")) if "data" in value else dict(value)
    data = {_OLD.get(key, key): kept for key, kept in data.items()}
    who = line_of(data.get("name"))
    first = text_of(data.get("first_mes"))
    if not (who or first or text_of(data.get("description"))):
        raise DataError(f"{name} is a character card without a name, a description or a first message.")
    called = line_of(data.get("nickname")) or who
    language = language_of(" ".join(text_of(data.get(key)) for key in ("first_mes", "description", "scenario")))
    book = Book(who or title_of(name), line_of(data.get("creator")), language)
    person = Entry("person", who, always=True, text=_described(data, called), extra={"card": True})
    person.aliases = [called] if called and called != who else []
    book.entries = [person, *entries_of(object_of(data.get("character_book")), book.warnings)]
    book.memory = _said(data.get("scenario"), called)
    book.note = _said(data.get("post_history_instructions"), called)
    chapter = Part("chapter", parts=[Part("scene", text=manuscript(_said(first, called)))])
    book.parts = [chapter]
    book.parts += [
        Part("note", titles[language == "zh"], text, extra={"field": field})
        for field, titles in _NOTES.items()
        if (text := _said(data.get(field), called))
    ]
    end = len(chapter.parts[0].text)
    for number, greeting in enumerate(texts_of(data.get("alternate_greetings"))):
        book.alternatives.append(Alternative(0, 0, end, manuscript(_said(greeting, called)), {"greeting": number}))
    lore = object_of(data.get("character_book"))
    book.extra["card"] = {
        "top": {key: kept for key, kept in value.items() if key not in ("data", "spec", "spec_version")}
        if spec
        else {},
        "data": {key: kept for key, kept in data.items() if key != "character_book"},
    }
    if lore:
        book.extra["lorebook"] = {key: kept for key, kept in lore.items() if key != "entries"}
    if "{{user}}" in json.dumps(data, ensure_ascii=False).lower():
        book.warnings.append("The card speaks of {{user}}; put a name or “you” in its place where you use it.")
    return book


def read_png_card(name: str, data: bytes) -> Book:
    """The book of a PNG card, `ccv3` before `chara`; NovelAI's lorebooks in pictures are read, too."""
    keywords = ("ccv3", "chara", "naidata")
    chunks = text_chunks(name, data, keywords)
    for keyword in keywords:
        if keyword not in chunks:
            continue
        try:
            value = json.loads(base64.b64decode(chunks[keyword], validate=False).decode("utf-8", "replace"))
        except (ValueError, binascii.Error, RecursionError) as error:
            raise DataError(f"{name}: the card in this picture is damaged ({error}). Export it again.") from error
        book = read_lorebook(name, object_of(value)) if keyword == "naidata" else read_card(name, object_of(value))
        if len(data) <= MAX_PICTURE:
            book.extra["picture"] = base64.b64encode(with_text_chunks(name, data, {})).decode()
        else:
            book.warnings.append(
                f"The picture of {name} is too large to be kept; a plain one takes its place on export."
            )
        return book
    raise DataError(
        f"{name} is a picture without a character card in it. Cards lose it when a site converts the picture."
    )


def read_charx(name: str, archive: Archive) -> Book:
    """The book of a `.charx` archive; its pictures and sounds are left out."""
    try:
        value = json.loads(archive.read("card.json"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: card.json is damaged ({error}). Export the card again.") from error
    book = read_card(name, object_of(value))
    assets = [entry for entry in archive.names if entry != "card.json" and not entry.endswith("/")]
    if assets:
        book.warnings.append(f"{len(assets)} pictures or sounds in {name} were left out: {', '.join(assets[:10])}.")
    return book


def write_card(book: Book) -> bytes:
    """A card of version 3, as JSON."""
    return _json(_card(book, 3))


def write_card_v2(book: Book) -> bytes:
    """A card of version 2, as JSON."""
    return _json(_card(book, 2))


def write_png_card(book: Book) -> bytes:
    """A card as a picture, with both versions in it, so that every program finds one that it reads."""
    try:
        picture = base64.b64decode(str(book.extra.get("picture", "")))
    except (ValueError, binascii.Error):
        picture = b""
    texts = {key: base64.b64encode(_json(_card(book, version))) for key, version in (("chara", 2), ("ccv3", 3))}
    return with_text_chunks("the card's picture", picture if is_png(picture) else blank_picture(), texts)


def _card(book: Book, version: int) -> dict[str, Any]:
    kept = object_of(book.extra.get("card"))
    data = dict(object_of(kept.get("data")))
    person = next((entry for entry in book.entries if "card" in entry.extra), None)
    person = person or next((entry for entry in book.entries if entry.kind == "person"), Entry("person", book.title))
    before = line_of(data.get("nickname")) or line_of(data.get("name"))
    scenes = book.scenes()
    written: dict[str, str] = {
        "name": person.name or book.title,
        "creator": book.author or line_of(data.get("creator")),
        "scenario": book.memory,
        "post_history_instructions": book.note,
        "first_mes": scenes[0].text if scenes else "",
    }
    for part in book.walk():
        if part.kind == "note" and (field := _field_of(part)):
            written[field] = part.text
    if person.text != _described(data, before) or "description" not in data:
        written |= {"description": person.text, "personality": ""}
    for field, text in written.items():
        prose = field == "first_mes"
        original = data.get(field)
        if not isinstance(original, str) or (manuscript if prose else str)(_said(original, before)) != text:
            data[field] = text.replace("\n", "\n\n") if prose else text
    others = [
        a.text for a in book.alternatives if a.scene == 0 and scenes and (a.start, a.end) == (0, len(scenes[0].text))
    ]
    originals = {manuscript(_said(text, before)): text for text in texts_of(data.get("alternate_greetings"))}
    data["alternate_greetings"] = [originals.get(text, text.replace("\n", "\n\n")) for text in others]
    nickname = next(iter(person.aliases), "")
    if nickname != line_of(data.get("nickname")) and version == 3:
        data["nickname"] = nickname
    empty: dict[str, Any] = dict.fromkeys(
        (
            "name",
            "description",
            "personality",
            "scenario",
            "first_mes",
            "mes_example",
            "creator_notes",
            "system_prompt",
        ),
        "",
    )
    empty |= {
        "post_history_instructions": "",
        "alternate_greetings": [],
        "tags": [],
        "creator": "",
        "character_version": "",
    }
    empty |= {"extensions": {}} | ({"group_only_greetings": []} if version == 3 else {})
    data = empty | data
    if version == 2:
        data = {key: value for key, value in data.items() if key not in _V3_ONLY}
    if book.extra.get("lorebook") or any("card" not in entry.extra for entry in book.entries if entry is not person):
        lore = lorebook_of(Book(book.title, entries=[e for e in book.entries if e is not person], extra=book.extra))
        name = object_of(book.extra.get("lorebook")).get("name")
        data["character_book"] = {**lore, **({"name": name} if name else {})}
    spec = {"spec": f"chara_card_v{version}", "spec_version": f"{version}.0", "data": data}
    return {**object_of(kept.get("top")), **spec}


def _field_of(part: Part) -> str:
    """The field of a card that a note holds, by its title where that is all that was kept; "" for another note."""
    titled = next((field for field, titles in _NOTES.items() if part.title in titles), "")
    return str(part.extra.get("field") or titled)


def _described(data: dict[str, Any], called: str) -> str:
    """What a card says of its character, the personality after the description."""
    texts = [_said(data.get(key), called) for key in ("description", "personality")]
    return "\n".join(text for text in texts if text)


def _said(value: Any, called: str) -> str:
    """A field's text with the character's name in place of its macro."""
    text = text_of(value)
    return _CHAR.sub(lambda _: called, text) if called else text


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "replace")
