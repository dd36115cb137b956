"""Training sets: JSON Lines with `text` or `messages`, out and back in."""

from __future__ import annotations

import json
from typing import Any

from storyteller.craft.book import Book, Part
from storyteller.craft.formats.plain import language_of, one_line, title_of
from storyteller.craft.formats.values import line_of, list_of, manuscript, object_of, text_of
from storyteller.errors import DataError

__all__ = ["read_records", "write_messages", "write_texts"]


def write_texts(book: Book) -> bytes:
    """A line of `{"text", "title", "form", "language", "work"}` for each scene that has text; `prepare` reads it."""
    return _lines([{"text": _prose(book, scene), **about} for scene, about in _scenes(book)])


def write_messages(book: Book) -> bytes:
    """A line of OpenAI's `{"messages"}` for each scene: what was asked for, and the scene as the answer.

    The request of a scene after the first says to go on, with the end of the scene before it.
    """
    records = []
    before = ""
    for scene, about in _scenes(book):
        text = _prose(book, scene)
        turns = [{"role": "user", "content": _request(book, about, before)}, {"role": "assistant", "content": text}]
        records.append({"messages": turns})
        before = text[-1500:]
    return _lines(records)


def read_records(name: str, records: list[dict[str, Any]]) -> Book:
    """Records of `text` or `messages` as scenes; `work` or `title` of the first names the book."""
    scenes = []
    for record in records:
        text = text_of(record.get("text")) or "\n".join(
            text_of(message.get("content"))
            for message in map(object_of, list_of(record.get("messages")))
            if message.get("role") == "assistant"
        )
        form = record.get("form")
        known = form if form in ("story", "chapter", "screenplay", "play", "dialogue", "lesson", "fable") else None
        if text:
            kept = text if known == "screenplay" else manuscript(text)
            scenes.append(Part("scene", line_of(record.get("title")), kept, form=known))
    if not scenes:
        raise DataError(f"{name} holds no record with text.")
    first = records[0]
    language = language_of("\n".join(scene.text for scene in scenes[:20]), text_of(first.get("language")))
    book = Book(line_of(first.get("work")) or title_of(name), line_of(first.get("author")), language)
    book.parts = [Part("chapter", parts=scenes)]
    return book


def _scenes(book: Book) -> list[tuple[Part, dict[str, str]]]:
    """The scenes with text, and what is known of each."""
    found = []
    for scene in book.scenes():
        if scene.text.strip():
            about = {"title": one_line(scene.title), "form": book.form_of(scene), "language": book.language}
            about |= {"work": one_line(book.title), "author": one_line(book.author)}
            found.append((scene, {key: value for key, value in about.items() if value}))
    return found


def _prose(book: Book, scene: Part) -> str:
    """A scene as models read it: an empty line between paragraphs, a screenplay as it is."""
    if book.form_of(scene) == "screenplay":
        return scene.text
    return "\n\n".join(line for line in scene.text.split("\n") if line.strip())


def _request(book: Book, about: dict[str, str], before: str) -> str:
    title = about.get("title") or about.get("work", "")
    if book.language == "zh":
        return f"接着写《{title}》。前文：\n\n{before}" if before else f"写一篇作品：《{title}》。"
    return f"Go on with “{title}”. This is how it went so far:\n\n{before}" if before else f"Write “{title}”."


def _lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
