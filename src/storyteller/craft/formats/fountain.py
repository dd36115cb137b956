"""Fountain, the plain text of screenplays, in and out: https://fountain.io/syntax.

The parser takes everything: what is nothing else is action. Chinese is read as Chinese writers type it (内景 without INT., cues
after `@`, full-width brackets) and written in the one dialect that five other parsers were found to read correctly: headings as
`INT. 内景 茶馆 - 夜`, cues as `@小明`, parentheticals in ASCII brackets, transitions as `> 切至:`. `write_script` writes only
what `parse_script` reads back as the same elements.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from storyteller.craft.formats.title_page import Line, title_like, title_page

__all__ = [
    "Element",
    "ElementKind",
    "Script",
    "heading_of",
    "is_heading",
    "parse_script",
    "write_elements",
    "write_script",
]

ElementKind = Literal[
    "section", "synopsis", "heading", "action", "character", "parenthetical", "dialogue", "lyrics", "transition", "centered",
    "page_break", "note", "boneyard",
]  # fmt: skip

_HEADING = re.compile(r"(?:INT\.?/EXT|EXT\.?/INT|INT|EXT|EST|I/E)(?:\.|(?= ))\s*\S", re.I)
_BARE_HEADING = re.compile(r"(?:INT\.?/EXT|EXT\.?/INT|INT|EXT|EST|I/E)\.", re.I)  # a heading to other parsers alone
_CHINESE_HEADING = re.compile(r"(?:内外景|外内景|內外景|内景|外景|內景|[内内外][/／][外内]景?)[\s.。．:：,，、·—–-]+\S")
_SCENE_NUMBER = re.compile(r"\s*#([^#\n]{1,20})#$")
_HAN = re.compile("[\u3400-\u9fff]")
_PLAIN_CUE = re.compile(r"[A-Z][A-Z0-9 '-]*(?: \([A-Z0-9 .'-]+\))?")
_PLAIN_TRANSITION = re.compile(r"[A-Z][A-Z ]* TO:")
_WIDE_BRACKETS = str.maketrans("（）", "()")
_GUARD = "\u2060"  # invisible; before a line of speech that some parsers would take for a heading or a transition
_SPOKEN = ("parenthetical", "dialogue")


@dataclass(slots=True)
class Element:
    """One element. `level` is a section's depth, `number` a scene's; `dual` marks the second of two who speak at once."""

    kind: ElementKind
    text: str = ""
    level: int = 0
    number: str = ""
    dual: bool = False
    line: int = field(default=0, compare=False)  # where it begins in its source, from 0


@dataclass(slots=True)
class Script:
    """A screenplay: its title page in the order of its lines, and its elements."""

    title_page: dict[str, str] = field(default_factory=dict)
    elements: list[Element] = field(default_factory=list)


def is_heading(line: str) -> bool:
    """Whether a line is a scene heading by its first word, in English or Chinese."""
    line = line.strip()
    return len(line) <= 200 and (_HEADING.match(line) or _CHINESE_HEADING.match(line)) is not None


def heading_of(text: str) -> tuple[str, str]:
    """A scene heading's canonical text, and its number; where parsers would not see one, `INT.` or `EXT.` is put before."""
    text = " ".join(text.split())
    number = _SCENE_NUMBER.search(text)
    if number:
        text = text[: number.start()].strip()
    first = text.lstrip("0123456789.、 ")[:1] or text[:1]
    if not _HEADING.match(text) and not (first.isascii() and text[:1].isascii() and text[:1].isalnum()):
        both = re.match(r"内外|外内|內外|[内內外][/／]", text)
        text = f"{'INT./EXT.' if both else 'EXT.' if text.startswith('外') else 'INT.'} {text}"
    return text, number.group(1).strip() if number else ""


def parse_script(text: str) -> Script:
    """The screenplay that a text is; every text is one."""
    lines = _with_comments_joined(text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4).split("\n"))
    page, start = title_page(lines)
    return Script(page, list(_elements(lines, start)))


def write_script(script: Script) -> str:
    """The screenplay as Fountain in canonical form, its title page first."""
    head = ""
    for key, value in script.title_page.items():
        lines = [line.strip() for line in value.split("\n") if line.strip()]
        head += (
            f"{key}:\n" + "".join(f"    {line}\n" for line in lines) if len(lines) > 1 else f"{key}: {''.join(lines)}\n"
        )
    return f"{head}\n{write_elements(script.elements)}" if head else write_elements(script.elements)


def write_elements(elements: list[Element]) -> str:
    """Elements as Fountain, without a title page."""
    out: list[str] = []
    for element in _speakable(elements):
        if out and element.kind not in _SPOKEN:
            out.append("")
        out += _written(element)
    return "\n".join(out) + ("\n" if out else "")


def _speakable(elements: list[Element]) -> Iterator[Element]:
    """Elements without empty ones; a speech that nobody gives and a cue without a speech become action.

    Two may speak at once, a third may not: `dual` holds only after the speech of one who speaks alone.
    """
    elements = [element for element in elements if element.text.strip() or element.kind == "page_break"]
    speaking = alone = False
    for number, element in enumerate(elements):
        if element.kind == "character":
            dual = element.dual and speaking and alone
            speaking = number + 1 < len(elements) and elements[number + 1].kind in _SPOKEN
            alone = speaking and not dual
            yield replace(element, dual=dual) if speaking else Element("action", element.text)
        elif element.kind in _SPOKEN and not speaking:
            yield Element("action", f"({element.text})" if element.kind == "parenthetical" else element.text)
        else:
            speaking = element.kind in _SPOKEN
            yield element


def _written(element: Element) -> list[str]:
    """The lines of one element."""
    text = _apart(element.text) if element.kind in ("note", "boneyard") else _balanced(element.text)
    text = text.strip()
    flat = " ".join(text.split())
    match element.kind:
        case "heading":
            text, number = heading_of(flat)
            number = element.number or number
            return [("" if is_heading(text) else ".") + text + (f" #{number}#" if number else "")]
        case "character":
            flat = _cue_name(flat)
            bare = _PLAIN_CUE.fullmatch(flat) and not is_heading(flat)
            return [("" if bare else "@") + flat + (" ^" if element.dual else "")]
        case "parenthetical":
            return [f"({flat.translate(_WIDE_BRACKETS)})"]
        case "dialogue":
            lines = [_ascii_brackets(line.strip()) or "  " for line in text.split("\n")]
            return [_GUARD + line if line.strip() and _is_special(line) else line for line in lines]
        case "action":
            return _action(text)
        case "section":
            return [f"{'#' * max(1, min(element.level, 6))} {flat}"]
        case "synopsis":
            return [f"= {flat}"]
        case "lyrics":
            verses = [f"~{line}" for line in _solid(text)]
            apart = len(verses) > 1 and any(map(_is_shouted, verses))  # some parsers hear a cue in "~LA LA"
            return "\n\n".join(verses).split("\n") if apart else verses
        case "transition":
            return [flat if _PLAIN_TRANSITION.fullmatch(flat) else f"> {flat.rstrip('< ')}"]
        case "centered":
            return [f"> {line} <" for line in _solid(text)]
        case "note":
            text = "\n".join(_solid(text))
            return [f"[[{' ' * text.startswith('[')}{text}{' ' * text.endswith(']')}]]"]
        case "boneyard":
            return ["/* " + text + " */"]
        case "page_break":
            return ["==="]


def _balanced(text: str) -> str:
    """The text with whole notes and comments; a mark without its partner would swallow what follows, so it is parted."""
    out: list[str] = []
    place = 0
    closers = {"/*": "*/", "[[": "]]"}
    while found := [(start, mark) for mark in closers if (start := text.find(mark, place)) >= 0]:
        start, mark = min(found)
        end = text.find(closers[mark], start + 2)
        if end < 0:
            del closers[mark]  # none of this kind ends any more
            continue
        out += [_apart(text[place:start]), mark, _apart(text[start + 2 : end]), text[end : end + 2]]
        place = end + 2
    return "".join([*out, _apart(text[place:])])


def _apart(text: str) -> str:
    """Marks of notes and comments with a space inside, so that they are none."""
    return re.sub(r"/(?=\*)|\*(?=/)|\[(?=\[)|\](?=\])", r"\g<0> ", text)


def _action(text: str) -> list[str]:
    """Lines of action; one that would be read as something else is forced, and begins a paragraph."""
    out: list[str] = []
    lines = _solid(text)
    for number, line in enumerate(lines):
        followed = number + 1 < len(lines) and not _is_special(lines[number + 1])
        first = not out or out[-1] == ""
        shouted = _is_shouted(line) and (followed or line.endswith("TO:"))  # elsewhere that is a cue or a transition
        begins = first and (shouted or title_like(line))
        if begins or _is_special(line):
            out += ["", f"!{line}"] if out else [f"!{line}"]
        else:
            out.append(line)
    return out


def _is_shouted(line: str) -> bool:
    return line.isupper() or line.partition("(")[0].isupper()


def _solid(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _elements(lines: list[Line], start: int) -> Iterator[Element]:
    """The elements of the lines from `start` on."""
    place = start
    while place < len(lines):
        number, line = lines[place]
        bare = line.strip()
        if not bare:
            place += 1
            continue
        begins = place == start or not lines[place - 1][1].strip()
        ends = place + 1 >= len(lines) or not lines[place + 1][1].strip()
        element = _single(bare)
        if element is None and _is_heading_here(bare, begins):
            text, scene = heading_of(bare)
            element = Element("heading", text, number=scene)
        if element is None and begins and ends and _is_transition(bare):
            element = Element("transition", bare)
        cue = None if element is not None or ends else _cue(bare, begins)
        if cue is not None:
            cue.line = number
            yield cue
            place = yield from _speech(lines, place + 1)
        elif element is not None:
            element.line = number
            place += 1
            while element.kind in ("lyrics", "centered") and (following := _single(_bare(lines, place))) is not None:
                if following.kind != element.kind:
                    break
                element.text += f"\n{following.text}"
                place += 1
            yield element
        else:
            held = [bare[1:].strip() if bare.startswith("!") else bare]
            place += 1
            while place < len(lines) and (bare := lines[place][1].strip()) and not _is_special(bare):
                held.append(bare)
                place += 1
            if text := "\n".join(line for line in held if line):
                yield Element("action", text, line=number)


def _bare(lines: list[Line], place: int) -> str:
    return lines[place][1].strip() if place < len(lines) else ""


def _speech(lines: list[Line], place: int) -> Generator[Element, None, int]:
    """What is said after a cue, to the empty line that ends it; returns the place after it."""
    said: list[str] = []
    begun = place
    while place < len(lines) and (lines[place][1].strip() or (lines[place][1] == "  " and said)):
        bare = lines[place][1].replace("\n", " ").strip().lstrip(_GUARD).strip()
        bare = _ascii_brackets(bare)
        if _is_parenthetical(bare):
            if said:
                yield Element("dialogue", "\n".join(said), line=lines[begun][0])
            yield Element("parenthetical", bare[1:-1].strip(), line=lines[place][0])
            said, begun = [], place + 1
        else:
            said.append(bare)
        place += 1
    if any(said):
        yield Element("dialogue", "\n".join(said).strip(), line=lines[begun][0])
    return place


def _ascii_brackets(line: str) -> str:
    """A line that is all in brackets with those that every parser knows; any other line as it is."""
    wide = line.translate(_WIDE_BRACKETS)
    return wide if _is_parenthetical(wide) else line


def _is_parenthetical(line: str) -> bool:
    return line.startswith("(") and line.endswith(")") and bool(line[1:-1].strip())


def _single(bare: str) -> Element | None:
    """The element that a line is by its forcing mark alone."""
    if bare.startswith("/*") and bare.find("*/", 2) == len(bare) - 2 and bare[2:-2].strip():
        return Element("boneyard", bare[2:-2].strip())
    if bare.startswith("[[") and bare.find("]]") == len(bare) - 2 and bare[2:-2].strip():
        return Element("note", "\n".join(_solid(bare[2:-2])))
    if re.fullmatch(r"={3,}", bare):
        return Element("page_break")
    mark, rest = bare[:1], bare[1:].strip()
    if mark == "#" and bare.lstrip("#").strip():
        return Element("section", bare.lstrip("#").strip(), level=min(6, len(bare) - len(bare.lstrip("#"))))
    if mark == "." and rest[:1].isalnum() and bare[1:2].strip():
        text, number = heading_of(rest)
        return Element("heading", text, number=number)
    if mark == "=" and rest:
        return Element("synopsis", rest)
    if mark == "~" and rest:
        return Element("lyrics", rest)
    if mark == ">" and rest.strip("< "):
        return Element("centered", rest[:-1].strip()) if rest.endswith("<") else Element("transition", rest)
    return None


def _is_special(line: str) -> bool:
    """Whether a line begins an element of its own wherever it stands, here or for another parser."""
    forced = line[0] in "!@>~=#" or (line[0] == "." and not line.startswith(".."))
    heading = _is_heading_here(line, False) or _BARE_HEADING.fullmatch(line) is not None
    return forced or line.startswith(("[[", "/*")) or heading


def _is_heading_here(line: str, begins: bool) -> bool:
    return is_heading(line) and (begins or line[:3].isupper() or not line[0].isascii())


def _is_transition(line: str) -> bool:
    return line.endswith("TO:") and line.isupper() and line[0].isalpha() and not _HAN.search(line)


def _is_cue(line: str) -> bool:
    name = re.sub(r"\([^()]*\)|\^$", "", line).strip()
    return (
        name.isupper() and name[0].isalnum() and not _HAN.search(name) and not name.endswith(":") and len(line) <= 120
    )


def _cue(bare: str, begins: bool) -> Element | None:
    """The cue that a line is when something follows it: forced, or in capitals after an empty line."""
    if bare.startswith("@"):
        text = bare[1:].strip()
    elif begins and _is_cue(bare):
        text = bare
    else:
        return None
    dual = text.endswith("^")
    text = _cue_name(text.rstrip("^"))
    return Element("character", text, dual=dual) if text else None


def _cue_name(text: str) -> str:
    """A name with what is said of it in ASCII brackets, one space before them."""
    return " ".join(text.translate(_WIDE_BRACKETS).replace("(", " (").split()).rstrip(":： ")


def _with_comments_joined(lines: list[str]) -> list[Line]:
    """The lines with their numbers; a comment or a note that goes over several is one, on one line unless it stands alone."""
    closed, noted = len(lines), len(lines)
    ends: list[tuple[int, int]] = [(0, 0)] * len(lines)  # for each line: where the next "*/" and "]]" are
    for number in range(len(lines) - 1, -1, -1):
        closed = number if "*/" in lines[number] else closed
        noted = number if "]]" in lines[number] else noted if lines[number].strip() else len(lines)
        ends[number] = (closed, noted)
    out: list[Line] = []
    number = 0
    while number < len(lines):
        held, first = [lines[number]], number
        while number + 1 < len(lines):
            last = lines[number]
            comment, note = last.rfind("/*"), last.rfind("[[")
            if comment >= 0 and last.find("*/", comment + 2) < 0:
                end = ends[number + 1][0]
            elif note >= 0 and last.find("]]", note) < 0:
                end = ends[number + 1][1]
            else:
                break
            if end >= len(lines):
                break
            held += lines[number + 1 : end + 1]
            number = end
        line = "\n".join(held)
        alone = len(held) == 1 or _single(line.strip()) is not None
        out.append((first, line if alone else " ".join(line.split())))
        number += 1
    return out
