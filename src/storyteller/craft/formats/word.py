"""Word documents (DOCX), in and out."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from storyteller.craft.book import Book
from storyteller.craft.formats.archive import Archive, pack, parse_xml
from storyteller.craft.formats.emphasis import runs_of
from storyteller.craft.formats.layout import Line, lines_of
from storyteller.craft.formats.markup import Block, blocks_of
from storyteller.craft.formats.outline import SCRIPT, chapters_of, is_break, settled
from storyteller.craft.formats.plain import language_of, one_line, tidy, title_of
from storyteller.errors import DataError

if TYPE_CHECKING:
    from docx.document import Document

__all__ = ["read_docx", "write_docx"]

_SCRIPT_STYLES = {
    "heading": "Scene Heading",
    "action": "Action",
    "character": "Character",
    "parenthetical": "Parenthetical",
    "dialogue": "Dialogue",
    "lyrics": "Lyrics",
    "transition": "Transition",
    "centered": "Centered",
}
_STYLES = """
p[style-name='Title'] => h1.title:fresh
p[style-name='标题'] => h1.title:fresh
p[style-name='Subtitle'] => p.subtitle:fresh
p[style-name='Author'] => p.author:fresh
p[style-name='Blank'] => p.blank:fresh
""" + "\n".join(f"p[style-name='{style}'] => p.{SCRIPT}.{kind}:fresh" for kind, style in _SCRIPT_STYLES.items())
_BEFORE_XML = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"  # byte order marks and white space
_INDENTS = {  # inches from the left, from the right, and how the line is aligned
    "character": (2.2, 0.0, ""),
    "parenthetical": (1.6, 1.9, ""),
    "dialogue": (1.0, 1.5, ""),
    "lyrics": (1.0, 1.5, ""),
    "transition": (0.0, 0.0, "RIGHT"),
    "centered": (0.0, 0.0, "CENTER"),
}


def read_docx(name: str, data: bytes, archive: Archive) -> Book:
    """A Word document: its headings make chapters and scenes, emphasis is kept; pictures are not."""
    import mammoth

    # mammoth unpacks without limits of its own, and reads what the file names, whatever its ending: look first, at everything.
    for entry in archive.names:
        content = archive.read(entry)
        if entry.endswith((".xml", ".rels")) or content[:64].lstrip(_BEFORE_XML).startswith(b"<"):
            parse_xml(f"{name} ({entry})", content)
    try:
        result = mammoth.convert_to_html(
            io.BytesIO(data), style_map=_STYLES, convert_image=mammoth.images.img_element(lambda image: {"src": ""})
        )
    except (KeyError, ValueError, AttributeError, TypeError, IndexError, OSError, RecursionError) as error:
        raise DataError(f"{name} is not a Word document that can be read: {error}. Save it again as .docx.") from error
    core = archive.xml("docProps/core.xml") if "docProps/core.xml" in archive else None
    properties = {e.tag.rpartition("}")[2]: one_line(e.text or "") for e in core.iter()} if core is not None else {}
    blocks = [
        Block("", rule=True) if is_break(block.text) else block
        for block in blocks_of(tidy(result.value), keep_spaces=True)
    ]
    title = next((block for block in blocks[:3] if block.level == 1 and "title" in block.types.split()), None)
    author = next((block for block in blocks[:4] if not block.level and block.types == "author"), None)
    blocks = [block for block in blocks if block is not title and block is not author]
    if not any(block.text for block in blocks) and title is None:
        raise DataError(f"{name} holds no text.")
    language = language_of("\n".join(block.text for block in blocks[:200]), properties.get("language"))
    named = title.text if title is not None else properties.get("title", "")
    book = Book(named or title_of(name), author.text if author is not None else properties.get("creator", ""), language)
    book.author = "" if book.author == "python-docx" else book.author
    book.parts = chapters_of(blocks)
    settled(book)
    if "<img" in result.value:
        book.warnings.append(f"Pictures in {name} were left out.")
    return book


def write_docx(book: Book) -> bytes:
    """The manuscript as a Word document in the styles that Word knows; the same bytes for the same book."""
    import docx
    from docx.enum.text import WD_ALIGN_PARAGRAPH, WD_BREAK

    document = docx.Document()
    _set_up(document, book)
    document.add_paragraph(tidy(one_line(book.title)), style="Title")
    if book.author:
        document.add_paragraph(tidy(one_line(book.author)), style="Author")
    for line in lines_of(book):
        if line.role in ("chapter", "scene"):
            document.add_heading(tidy(line.text), level=min(line.level, 9))
        elif line.role == "break":
            document.add_paragraph("* * *").alignment = WD_ALIGN_PARAGRAPH.CENTER
        elif line.role == "page_break":
            document.add_paragraph().add_run().add_break(WD_BREAK.PAGE)
        else:
            _paragraph(document, line)
    buffer = io.BytesIO()
    document.save(buffer)
    saved = Archive("the document", buffer.getvalue())
    return pack([(entry, saved.read(entry)) for entry in saved.names])


def _set_up(document: Document, book: Book) -> None:
    """Metadata, and the styles: the manuscript's own, and those of a screenplay."""
    from docx.enum.style import WD_STYLE_TYPE
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.oxml.ns import qn
    from docx.shared import Inches, Pt

    core = document.core_properties
    core.title, core.author = tidy(one_line(book.title))[:255], tidy(one_line(book.author))[:255]
    core.language, core.comments, core.revision = "zh-CN" if book.language == "zh" else "en", "", 1
    core.created = core.modified = datetime(2000, 1, 1, tzinfo=UTC)  # the same book gives the same bytes
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = "Times New Roman", Pt(12)
    fonts = normal.element.get_or_add_rPr().get_or_add_rFonts()
    fonts.set(qn("w:eastAsia"), "SimSun")
    normal.paragraph_format.first_line_indent = None
    for name in ("Author", "Blank"):
        document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH).base_style = normal
    for role, name in _SCRIPT_STYLES.items():
        style = document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.base_style, style.font.name = normal, "Courier New"
        left, right, aligned = _INDENTS.get(role, (0.0, 0.0, ""))
        style.paragraph_format.left_indent, style.paragraph_format.right_indent = Inches(left), Inches(right)
        style.paragraph_format.space_after = Pt(0 if role in ("character", "parenthetical") else 12)
        style.paragraph_format.keep_with_next = role in ("heading", "character", "parenthetical")
        if aligned:
            style.paragraph_format.alignment = WD_ALIGN_PARAGRAPH[aligned]


def _paragraph(document: Document, line: Line) -> None:
    paragraph: Any = document.add_paragraph(style="Blank" if line.role == "blank" else _SCRIPT_STYLES.get(line.role))
    for run in runs_of(tidy(line.text), underline=line.role != "paragraph"):
        made = paragraph.add_run(run.text)
        made.bold, made.italic, made.underline = run.bold or None, run.italic or None, run.underline or None
