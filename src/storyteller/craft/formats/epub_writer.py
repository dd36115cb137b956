"""EPUB 3 out: a document for each chapter, a table of contents, real metadata; the same bytes for the same book."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from html import escape

from storyteller.craft.book import Book
from storyteller.craft.formats.archive import pack
from storyteller.craft.formats.emphasis import runs_of
from storyteller.craft.formats.layout import Line, lines_of
from storyteller.craft.formats.outline import SCRIPT
from storyteller.craft.formats.plain import one_line, tidy

__all__ = ["write_epub"]

_CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
  <rootfiles><rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""
_STYLE = """body { margin: 5%; line-height: 1.5; }
p { margin: 0; text-indent: 1.5em; white-space: pre-wrap; }
html:lang(zh) p { text-indent: 2em; }
h1, h2, h3, h4, h5, h6, .title, .author, .centered { text-align: center; text-indent: 0; }
h1 { margin: 3em 0 2em; }
h1 + p, h2 + p, h3 + p, hr + p, html:lang(en) .first { text-indent: 0; }
hr { border: 0; margin: 1.5em 0; text-align: center; }
hr::after { content: "* * *"; }
.title { font-size: 2em; margin: 4em 0 1em; }
.heading, .action, .character, .parenthetical, .dialogue, .lyrics, .transition { font-family: monospace; text-indent: 0; }
.heading { font-weight: bold; margin: 1.5em 0 1em; }
.action { margin: 0 0 1em; }
.character { margin: 1em 0 0 40%; }
.parenthetical { margin: 0 20% 0 30%; }
.dialogue, .lyrics { margin: 0 15% 0 20%; }
.transition { margin: 1em 0; text-align: right; }
"""
_MODIFIED = "2000-01-01T00:00:00Z"


def write_epub(book: Book) -> bytes:
    """The manuscript as an EPUB 3 that passes epubcheck, its language marked throughout."""
    language = "zh-CN" if book.language == "zh" else "en"
    title = tidy(one_line(book.title)) or ("无题" if book.language == "zh" else "Untitled")
    documents = _documents(book, title)
    pages = [("title.xhtml", title, _title_page(title, tidy(one_line(book.author))))]
    pages += [(f"chapter-{n:03}.xhtml", head, "\n".join(_body(lines))) for n, (head, lines) in enumerate(documents, 1)]
    files = [("mimetype", b"application/epub+zip"), ("META-INF/container.xml", _CONTAINER.encode())]
    files.append(("EPUB/package.opf", _package(book, title, language, [name for name, _, _ in pages]).encode()))
    files.append(("EPUB/nav.xhtml", _navigation(title, language, pages[1:]).encode()))
    files.append(("EPUB/style.css", _STYLE.encode()))
    files += [(f"EPUB/{name}", _page(head, language, body).encode()) for name, head, body in pages]
    return pack(files, stored=("mimetype",))


def _documents(book: Book, title: str) -> list[tuple[str, list[Line]]]:
    """The chapters of the first level with their lines; what stands before the first one is a document, too."""
    documents: list[tuple[str, list[Line]]] = []
    for line in lines_of(book):
        if not documents or (line.role == "chapter" and line.level == 1):
            documents.append((line.text if line.role == "chapter" else title, []))
        documents[-1][1].append(line)
    return documents or [(title, [])]


def _title_page(title: str, author: str) -> str:
    by = f'\n<p class="author">{escape(author)}</p>' if author else ""
    return f'<section epub:type="titlepage">\n<p class="title">{escape(title)}</p>{by}\n</section>'


def _body(lines: list[Line]) -> Iterator[str]:
    yield '<section epub:type="chapter">'
    if not lines:
        yield "<p></p>"
    for line in lines:
        if line.role in ("chapter", "scene"):
            level = min(line.level, 6)
            yield f"<h{level}>{escape(tidy(line.text))}</h{level}>"
        elif line.role in ("break", "page_break"):
            yield "<hr/>"
        else:
            types = "blank" if line.role == "blank" else f"{SCRIPT} {line.role}"
            kind = "" if line.role == "paragraph" else f' class="{types}"'
            yield f"<p{kind}>{_styled(line)}</p>"
    yield "</section>"


def _styled(line: Line) -> str:
    out = []
    for run in runs_of(tidy(line.text), underline=line.role != "paragraph"):
        text = escape(run.text)
        for tag, on in (("u", run.underline), ("em", run.italic), ("strong", run.bold)):
            text = f"<{tag}>{text}</{tag}>" if on else text
        out.append(text)
    return "".join(out)


def _page(title: str, language: str, body: str) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="{language}" xml:lang="{language}">
<head><title>{escape(title)}</title><link rel="stylesheet" type="text/css" href="style.css"/></head>
<body>
{body}
</body>
</html>
"""


def _navigation(title: str, language: str, pages: list[tuple[str, str, str]]) -> str:
    items = "\n".join(f'<li><a href="{name}">{escape(tidy(head))}</a></li>' for name, head, _ in pages)
    contents = "目录" if language == "zh-CN" else "Contents"
    body = f'<nav epub:type="toc" role="doc-toc"><h1>{contents}</h1>\n<ol>\n{items}\n</ol></nav>'
    return _page(title, language, body)


def _package(book: Book, title: str, language: str, names: list[str]) -> str:
    items = "\n".join(
        f'<item id="p{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(names)
    )
    spine = "".join(f'<itemref idref="p{n}"/>' for n in range(len(names)))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="{language}">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
{_metadata(book, title, language)}
</metadata>
<manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="style" href="style.css" media-type="text/css"/>
{items}
</manifest>
<spine>{spine}</spine>
</package>
"""


def _metadata(book: Book, title: str, language: str) -> str:
    kept = book.extra.get("metadata")
    kept = kept if isinstance(kept, dict) else {}
    known = next((text for text in _texts(kept.get("identifier"))), "")
    lines = [f'<dc:identifier id="id">{escape(known or _identifier(book))}</dc:identifier>']
    lines += [f"<dc:title>{escape(title)}</dc:title>", f"<dc:language>{language}</dc:language>"]
    if author := tidy(one_line(book.author)):
        lines.append(f"<dc:creator>{escape(author)}</dc:creator>")
    for key in ("publisher", "description", "subject", "rights"):
        lines += [f"<dc:{key}>{escape(text)}</dc:{key}>" for text in _texts(kept.get(key))]
    if (dates := _texts(kept.get("date"))) and re.fullmatch(
        r"\d{4}(-\d\d(-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?)?)?", dates[0]
    ):
        lines.append(f"<dc:date>{dates[0]}</dc:date>")
    modified = str(book.extra.get("modified", ""))
    stamp = modified if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", modified) else _MODIFIED
    lines.append(f'<meta property="dcterms:modified">{stamp}</meta>')
    for name, value in (
        ("accessMode", "textual"),
        ("accessModeSufficient", "textual"),
        ("accessibilityHazard", "none"),
    ):
        lines.append(f'<meta property="schema:{name}">{value}</meta>')
    lines += [
        f'<meta property="schema:accessibilityFeature">{name}</meta>' for name in ("tableOfContents", "readingOrder")
    ]
    return "\n".join(lines)


def _texts(value: object) -> list[str]:
    return [text for item in value if (text := tidy(one_line(str(item))))] if isinstance(value, list) else []


def _identifier(book: Book) -> str:
    digest = hashlib.sha256(f"{book.title}\n{book.author}\n{book.language}".encode("utf-8", "replace")).digest()
    return f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"
