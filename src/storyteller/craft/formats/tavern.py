"""SillyTavern's chats (JSON Lines), in: a dialogue whose swipes are alternatives."""

from __future__ import annotations

from typing import Any

from storyteller.craft.book import Alternative, Book, Part
from storyteller.craft.formats.plain import language_of, title_of
from storyteller.craft.formats.values import flag_of, line_of, list_of, manuscript, object_of, text_of
from storyteller.errors import DataError

__all__ = ["is_chat", "read_chat"]

_KNOWN = ("name", "mes", "swipes", "swipe_id", "is_user")


def is_chat(records: list[dict[str, Any]]) -> bool:
    """Whether JSON Lines are a chat: they have messages, or the header of one."""
    return any("mes" in record for record in records[:3]) or "chat_metadata" in records[0] or "user_name" in records[0]


def read_chat(name: str, records: list[dict[str, Any]]) -> Book:
    """The chat as one scene of dialogue, each message with its speaker's name before it."""
    header = records[0] if "mes" not in records[0] else {}
    messages = [record for record in records if text_of(record.get("mes"))]
    if not messages:
        raise DataError(f"{name} is a chat without messages.")
    language = language_of("\n".join(text_of(message.get("mes")) for message in messages[:50]))
    title = line_of(header.get("character_name")) or title_of(name)
    book = Book(title, language=language, form="dialogue")
    lines: list[str] = []
    length = 0
    for message in messages:
        said = _line(message, text_of(message.get("mes")), language)
        for number, swipe in enumerate(list_of(message.get("swipes"))):
            other = _line(message, text_of(swipe), language) if text_of(swipe) else said
            if other != said:
                book.alternatives.append(Alternative(0, length, length + len(said), other, {"swipe": number}))
        lines.append(said)
        length += len(said) + 1
    book.parts = [Part("chapter", parts=[Part("scene", text="\n".join(lines))])]
    rest = [{key: kept for key, kept in message.items() if key not in _KNOWN} for message in messages]
    book.extra["chat"] = {"header": header, "messages": rest}
    note = text_of(object_of(header.get("chat_metadata")).get("note_prompt"))
    book.note = note
    return book


def _line(message: dict[str, Any], text: str, language: str) -> str:
    """A message as paragraphs, the speaker before the first; what the program itself said has none."""
    who = "" if flag_of(message.get("is_system")) else line_of(message.get("name"))
    text = manuscript(text)
    return f"{who}{'：' if language == 'zh' else ': '}{text}" if who else text
