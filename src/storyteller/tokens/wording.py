"""A request in words: the lines that a writer's wishes become, in the story's own language."""

from __future__ import annotations

import math

from storyteller.corpus.story import Form
from storyteller.tokens.request import Character, Request

__all__ = ["LENGTH_BANDS", "length_band", "request_text"]

#: The lengths that the model is taught, in words or 字; a wish is rounded to the nearest by ratio.
LENGTH_BANDS = (50, 100, 150, 200, 300, 400, 500, 600, 800, 1000, 1500, 2000, 3000)

_ENGLISH: dict[Form, str] = {
    "story": "a short story",
    "chapter": "a chapter of a novel",
    "screenplay": "a screenplay scene in Fountain format",
    "play": "a scene of a play",
    "dialogue": "a dialogue",
    "lesson": "a lesson",
    "fable": "a fable",
}

# Measure words go with the noun: 一篇小说, 一场戏, 一则寓言.
_CHINESE: dict[Form, tuple[str, str]] = {
    "story": ("一篇", "短篇小说"),
    "chapter": ("一章", "长篇小说"),
    "screenplay": ("一场", "Fountain格式的电影剧本"),
    "play": ("一场", "话剧"),
    "dialogue": ("一段", "对话"),
    "lesson": ("一篇", "课文"),
    "fable": ("一则", "寓言"),
}


def length_band(words: int) -> int:
    """The band nearest to `words` by ratio; the same rounding in training and in use."""
    return min(LENGTH_BANDS, key=lambda band: abs(math.log(max(words, 1) / band)))


def request_text(request: Request) -> str:
    """The request as plain lines, first what to do, then a line for each condition that is there.

    The opening is not among them: the template forces it.
    """
    lines = _chinese(request) if request.language == "zh" else _english(request)
    return "\n".join(line for line in lines if line)


def _english(request: Request) -> list[str | None]:
    noun = _ENGLISH[request.form]
    bare = noun.split(" ", 1)[1]
    first = {
        "write": f"Write {noun}",
        "continue": f"Continue this {bare}",
        "infill": f"Write the middle of this {bare}, between its beginning and its ending",
        "passage": f"Write a passage of {noun if request.form != 'chapter' else 'a novel'}",
    }[request.task]
    length = f" of about {length_band(request.words)} words" if request.words else ""
    if length and request.task != "write":
        length = f", about {length_band(request.words or 0)} words"
    return [
        f"{first}{length}.",
        _field("Title: ", request.title),
        _field("Characters: ", ", ".join(_person(person, " ({})") for person in request.characters)),
        _field("Keywords: ", ", ".join(request.keywords)),
        _field("About: ", request.about),
        _field("Tell this part: ", request.outline),
        _field("The story so far:\n" if request.task == "continue" else "Beginning:\n", request.before),
        _field("Ending:\n", request.after),
    ]


def _chinese(request: Request) -> list[str | None]:
    measure, noun = _CHINESE[request.form]
    length = f"约{length_band(request.words)}字" if request.words else ""
    after = f"，{length}" if length else ""
    first = {
        "write": f"写{measure}{length}{'的' if length else ''}{noun}",
        "continue": f"续写这{measure}{noun}{after}",
        "infill": f"补写这{measure}{noun}的中间部分，连接开头和结尾{after}",
        "passage": f"写{noun}中的一段{after}",
    }[request.task]
    return [
        f"{first}。",
        _field("标题：", request.title),
        _field("人物：", "、".join(_person(person, "（{}）") for person in request.characters)),
        _field("关键词：", "、".join(request.keywords)),
        _field("内容：", request.about),
        _field("讲述这一段：", request.outline),
        _field("前文：\n" if request.task == "continue" else "开头：\n", request.before),
        _field("结尾：\n", request.after),
    ]


def _field(label: str, value: str | None) -> str | None:
    value = value.strip() if value else None
    return f"{label}{value}" if value else None


def _person(person: Character, brackets: str) -> str:
    return person.name + (brackets.format(person.who) if person.who else "")
