"""Screenplays as books: Fountain and Final Draft's FDX, in and out.

A scene of the book is a scene of the screenplay, its text literal Fountain from its heading on; sections of the first level are
chapters. Prose that is written out as a screenplay becomes action.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from storyteller.craft.book import Book, Part
from storyteller.craft.formats.archive import parse_xml
from storyteller.craft.formats.emphasis import Run, marked, runs_of
from storyteller.craft.formats.fountain import (
    Element,
    ElementKind,
    Script,
    heading_of,
    is_heading,
    parse_script,
    write_elements,
    write_script,
)
from storyteller.craft.formats.outline import BREAK
from storyteller.craft.formats.plain import language_of, named_language, one_line, text_lines, tidy, title_of
from storyteller.craft.screenplay import scene_elements
from storyteller.errors import DataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element as Node

__all__ = ["parse_fdx", "read_fdx", "read_fountain", "script_of", "write_fdx", "write_fountain"]

_TITLES = ("title", "标题", "片名", "剧名")
_AUTHORS = ("author", "authors", "作者", "编剧")
_TYPES: dict[ElementKind, str] = {
    "heading": "Scene Heading",
    "action": "Action",
    "character": "Character",
    "parenthetical": "Parenthetical",
    "dialogue": "Dialogue",
    "transition": "Transition",
    "lyrics": "Lyrics",
    "centered": "Action",
    "synopsis": "Outline Body",
}
_KINDS: dict[str, ElementKind] = {
    "scene heading": "heading",
    "shot": "heading",
    "character": "character",
    "parenthetical": "parenthetical",
    "dialogue": "dialogue",
    "transition": "transition",
    "lyrics": "lyrics",
    "singing": "lyrics",
    "outline body": "synopsis",
}
_STYLED = (("Bold", "bold"), ("Italic", "italic"), ("Underline", "underline"))


def read_fountain(name: str, text: str) -> Book:
    """A Fountain file; each scene keeps its source text."""
    return _book(name, parse_script(text), text.expandtabs(4).split("\n"))


def write_fountain(book: Book) -> bytes:
    """The book as Fountain, in the dialect that other programs read."""
    return write_script(script_of(book)).encode()


def script_of(book: Book) -> Script:
    """The book as one screenplay, with a title page."""
    kept = dict(book.extra.get("title_page", {}))
    for names, value in ((_TITLES, book.title), (_AUTHORS, book.author)):
        key = next((key for key in kept if key.lower() in names), names[0].title())
        kept[key] = one_line(value)
    page = {key: value for key, value in {"Title": kept.pop("Title", ""), **kept}.items() if value}
    return Script(page, [element for part in book.parts for element in _part_elements(book, part, 1)])


def read_fdx(name: str, data: bytes) -> Book:
    """A Final Draft file; the text of its scenes becomes Fountain."""
    script = parse_fdx(name, data)
    text = write_elements(script.elements)
    parsed = parse_script(f"\n{text}")
    book = _book(name, Script(script.title_page, parsed.elements), f"\n{text}".split("\n"))
    return book


def write_fdx(book: Book) -> bytes:
    """The book as a Final Draft 12 document."""
    return _fdx_document(script_of(book), book)


def _book(name: str, script: Script, lines: list[str]) -> Book:
    page = script.title_page
    title = next((value for key, value in page.items() if key.lower() in _TITLES and value), "")
    author = next((value for key, value in page.items() if key.lower() in _AUTHORS), "")
    declared = next((value for key, value in page.items() if key.lower() in ("language", "lang", "语言")), None)
    spoken = "\n".join(e.text for e in script.elements[:400] if e.kind in ("action", "dialogue"))
    book = Book(_clear(title) or title_of(name), _clear(author), language_of(spoken, declared), "screenplay")
    rest = {key: value for key, value in page.items() if key.lower() not in (*_TITLES, *_AUTHORS)}
    if page:
        book.extra["title_page"] = {**{key: "" for key in page if key not in rest}, **rest}
    for section, heading, start, end in _cuts(script.elements, len(lines)):
        text = "\n".join(line.rstrip() for line in lines[start:end]).strip("\n")
        if section is not None:
            book.parts.append(Part("chapter", section))
        if text:
            if not book.parts:
                book.parts.append(Part("chapter"))
            book.parts[-1].parts.append(Part("scene", heading, text))
    for chapter in book.parts:
        chapter.parts = chapter.parts or [Part("scene")]
    return book


def _cuts(elements: list[Element], end: int) -> list[tuple[str | None, str, int, int]]:
    """Where scenes are: the title of a section that begins there, the scene's heading, its first line, the line after it.

    Synopses and notes between a section and its first heading belong to that heading's scene.
    """
    cuts: list[tuple[str | None, str, int, int]] = []
    section: str | None = None
    open_heading: str | None = None  # of the scene that is being gathered; None before there is one
    start = -1
    for element in [*elements, Element("section", level=1, line=end)]:
        upper = element.kind == "section" and element.level == 1
        if upper or (element.kind == "heading" and open_heading is not None):
            if start >= 0 or section is not None:
                cuts.append((section, open_heading or "", max(start, 0), element.line if start >= 0 else max(start, 0)))
            section, open_heading, start = (element.text, None, -1) if upper else (None, None, -1)
        if not upper:
            start = element.line if start < 0 else start
            if element.kind == "heading":
                open_heading = element.text
            elif element.kind not in ("synopsis", "note"):
                open_heading = open_heading or ""
    return cuts


def _clear(value: str) -> str:
    """A title page's value without its marks, on one line."""
    return one_line(re.sub(r"[*_]{1,3}(\S(?:.*?\S)?)[*_]{1,3}", r"\1", value.replace("\n", " ")))


def _part_elements(book: Book, part: Part, level: int) -> list[Element]:
    if part.kind == "chapter":
        found = [Element("section", one_line(part.title), level=level)] if part.title.strip() else []
        for number, inner in enumerate(part.parts):
            untitled = inner.kind == "scene" and not inner.title.strip() and book.form_of(inner) != "screenplay"
            found += [Element("centered", BREAK)] if number and untitled else []
            found += _part_elements(book, inner, level + 1)
        return found
    if part.kind != "scene":
        return []
    if book.form_of(part) == "screenplay":
        elements = scene_elements(part.text)
        if is_heading(part.title) and not any(element.kind == "heading" for element in elements):
            text, scene_number = heading_of(part.title)
            elements.insert(0, Element("heading", text, number=scene_number))
        return elements
    own = [Element("section", one_line(part.title), level=max(2, level))] if part.title.strip() else []
    return own + [Element("action", line) for line in text_lines(part.text)]


def _fdx_document(script: Script, book: Book) -> bytes:
    from xml.etree.ElementTree import Element as Make
    from xml.etree.ElementTree import SubElement, indent, tostring

    root = Make("FinalDraft", DocumentType="Script", Template="No", Version="5")
    content = SubElement(root, "Content")
    elements = parse_script("\n" + write_elements(script.elements)).elements  # canonical: what Fountain would read
    holder = content
    for number, element in enumerate(elements):
        if element.kind == "character":
            holder = content
            if _begins_dual(elements, number):
                holder = SubElement(SubElement(content, "Paragraph"), "DualDialogue")
            elif element.dual and len(content) and content[-1].find("DualDialogue") is not None:
                holder = content[-1][0]
        elif element.kind not in ("parenthetical", "dialogue"):
            holder = content
        _fdx_paragraph(holder, element)
    page = SubElement(SubElement(root, "TitlePage"), "Content")
    for key, value in script.title_page.items():
        for line in value.split("\n"):
            node = SubElement(page, "Paragraph", Type=key, Alignment="Center" if key.lower() in _TITLES else "Left")
            SubElement(node, "Text").text = tidy(line)
    SubElement(SubElement(root, "UserData"), "Storyteller", Language=book.language)
    indent(root, "  ")
    written: bytes = tostring(root, "utf-8")
    return b'<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n' + written + b"\n"


def _begins_dual(elements: list[Element], number: int) -> bool:
    """Whether the next cue after this one's speech is its dual."""
    place = number + 1
    while place < len(elements) and elements[place].kind in ("parenthetical", "dialogue"):
        place += 1
    return (
        place < len(elements)
        and elements[place].kind == "character"
        and elements[place].dual
        and not elements[number].dual
    )


def _fdx_paragraph(holder: Node, element: Element) -> None:
    from xml.etree.ElementTree import SubElement

    if element.kind in ("note", "boneyard", "page_break"):
        node = SubElement(holder, "Paragraph", Type="General")
        if element.kind == "page_break":
            node.set("StartsNewPage", "Yes")
            SubElement(node, "Text")
            return
        note = SubElement(node, "ScriptNote", Type="Omitted" if element.kind == "boneyard" else "Note")
        for line in element.text.split("\n"):
            _fdx_runs(SubElement(note, "Paragraph"), line)
        return
    for line in element.text.split("\n") if element.kind in ("lyrics", "centered") else [element.text]:
        kind = f"Outline {min(element.level, 6)}" if element.kind == "section" else _TYPES[element.kind]
        node = SubElement(holder, "Paragraph", Type=kind)
        if element.number:
            node.set("Number", element.number)
        if element.kind == "centered":
            node.set("Alignment", "Center")
        _fdx_runs(node, f"({line})" if element.kind == "parenthetical" else line)


def _fdx_runs(node: Node, text: str) -> None:
    from xml.etree.ElementTree import SubElement

    for run in runs_of(tidy(text), underline=True) or [Run("")]:
        styles = "+".join(name for name, style in _STYLED if getattr(run, style))
        SubElement(node, "Text", {"Style": styles} if styles else {}).text = run.text


def parse_fdx(name: str, data: bytes) -> Script:
    """The screenplay of a Final Draft file."""
    root = parse_xml(name, data)
    content = root.find("Content")
    if root.tag != "FinalDraft" or content is None:
        raise DataError(f"{name} is XML, but no Final Draft document. Export the screenplay as .fdx or .fountain.")
    page: dict[str, str] = {}
    for node in root.iterfind("TitlePage/Content/Paragraph"):
        text = _node_text(node).strip()
        key = node.get("Type") or ""
        if key and text and key not in ("General", "Action"):
            page[key] = f"{page[key]}\n{text}" if key in page else text
        elif text:
            page.setdefault("Title" if "Title" not in page else "Notes", text)
    language = root.find("UserData/Storyteller")
    if language is not None and named_language(language.get("Language")):
        page.setdefault("Language", language.get("Language") or "")
    elements: list[Element] = []
    for node in content.iterfind("Paragraph"):
        dual = node.find("DualDialogue")
        cues = 0
        for inner in [node] if dual is None else dual.iterfind("Paragraph"):
            for element in _fdx_elements(inner):
                if element.kind in ("lyrics", "centered") and elements and elements[-1].kind == element.kind:
                    elements[-1].text += f"\n{element.text}"
                else:
                    elements.append(element)
            if dual is not None and elements and elements[-1].kind == "character":
                cues += 1
                elements[-1].dual = cues == 2
    return Script(page, elements)


def _fdx_elements(node: Node) -> list[Element]:
    kind = (node.get("Type") or "Action").lower().partition(" (")[0]
    found: list[Element] = []
    if node.get("StartsNewPage") == "Yes":
        found.append(Element("page_break"))
    text = _node_text(node).strip()
    if kind.startswith("outline ") and kind[8:].isdigit():
        found.append(Element("section", one_line(text), level=int(kind[8:])))
    elif kind in ("new act", "cold opening", "act"):
        found.append(Element("section", one_line(text), level=1))
    elif text:
        element = Element(_KINDS.get(kind, "action"), text)
        if element.kind == "heading":
            element.text, element.number = heading_of(text)
            element.number = node.get("Number") or element.number
        elif element.kind == "parenthetical":
            element.text = text[1:-1].strip() if text[0] in "(（" and text[-1] in ")）" else text
        elif element.kind == "action" and node.get("Alignment") == "Center":
            element.kind = "centered"
        found.append(element)
    for note in node.iterfind("ScriptNote"):
        lines = [_node_text(inner).strip() for inner in note.iterfind("Paragraph")] or [_node_text(note).strip()]
        found.append(Element("boneyard" if note.get("Type") == "Omitted" else "note", "\n".join(filter(None, lines))))
    return [element for element in found if element.text or element.kind == "page_break"]


def _node_text(node: Node) -> str:
    """The text of a paragraph, its styles as marks of emphasis."""
    runs = []
    for text in node.iterfind("Text"):
        styles = (text.get("Style") or "").split("+")
        runs.append(Run("".join(text.itertext()), *(name in styles for name, _ in _STYLED)))
    return tidy(marked(runs, underline=True))
