"""PDF out, typeset by Typst: a book on A5, a screenplay on A4; English and Chinese."""

from __future__ import annotations

import json
import re
import unicodedata
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from storyteller.craft.book import Book
from storyteller.craft.formats.emphasis import runs_of
from storyteller.craft.formats.layout import Line, lines_of
from storyteller.craft.formats.plain import one_line, tidy
from storyteller.errors import DataError

__all__ = ["write_pdf"]

_SERIF = ("Libertinus Serif",)  # Typst brings it along, with Latin, Greek and Cyrillic
_MONO = ("Courier Prime", "Courier New", "Liberation Mono", "DejaVu Sans Mono")
_CHINESE = [
    "Noto Serif CJK SC",
    "Noto Serif SC",
    "Source Han Serif SC",
    "Songti SC",
    "STSong",
    "SimSun",
    "NSimSun",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "AR PL UMing CN",
    "Droid Sans Fallback",
    "LXGW WenKai",
]
_FONT_WHEEL = "pylopdf_fonts_zh_cn"  # Noto Serif SC and Noto Sans SC (SIL OFL 1.1) as a package of Python
_COVERED = re.compile("[\u0000-\u052f\u1e00-\u1fff\u2000-\u206f\u20a0-\u20bf\u2100-\u214f]+")
_EPOCH = 946_684_800  # 2000-01-01: the same book gives the same bytes


def write_pdf(book: Book) -> bytes:
    """The manuscript as a PDF; `DataError` that says what to install when no font has its letters."""
    import typst

    lines = list(lines_of(book))
    script = any(line.role == "heading" for line in lines)
    pieces = [_piece(line) for line in lines]
    fonts = typst.Fonts(font_paths=_font_paths())
    families = set(fonts.families())
    wanted = [*(_MONO if script else _SERIF), *_CHINESE]
    title, author = tidy(one_line(book.title)), tidy(one_line(book.author))
    _check_fonts("".join(line.text for line in lines) + title + author, fonts, wanted)
    data = {
        "title": title,
        "author": author,
        "lang": book.language,
        "region": "cn" if book.language == "zh" else "us",
        "script": script,
        "fonts": _fonts(book, [family for family in wanted if family in families]),
        "pieces": pieces,
    }
    template = files("storyteller.craft.formats").joinpath("page.typ").read_bytes()
    inputs = {"book": json.dumps(data, ensure_ascii=False)}
    try:
        compiler = typst.Compiler(template, font_paths=fonts, sys_inputs=inputs)
        pdf = compiler.compile(format="pdf", timestamp=_EPOCH)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"The PDF could not be made: {error}. Export DOCX or EPUB instead.") from error
    if not isinstance(pdf, bytes):
        raise DataError("The PDF could not be made. Export DOCX or EPUB instead.")
    return pdf


def _piece(line: Line) -> dict[str, Any]:
    runs = runs_of(tidy(line.text), underline=line.role != "paragraph")
    role = "paragraph" if line.role == "blank" else line.role
    return {"role": role, "level": line.level, "runs": [list(run) for run in runs]}


def _fonts(book: Book, families: list[str]) -> list[Any]:
    """The fonts in their order; in Chinese the Latin one has only letters, so that “quotes” and dashes are full-width."""
    western = [family for family in families if family not in _CHINESE]
    chinese = [family for family in families if family in _CHINESE]
    if book.language != "zh" or not chinese:
        return families
    return [*({"name": family, "covers": "latin-in-cjk"} for family in western), *chinese]


def _font_paths() -> list[str]:
    """The folder of the font wheel, if it is installed; system fonts are found by Typst itself."""
    spec = find_spec(_FONT_WHEEL)
    return [str(place) for place in (spec.submodule_search_locations or [])] if spec else []


def _check_fonts(text: str, fonts: Any, wanted: list[str]) -> None:
    """Raise when letters of the text are in no font; symbols may stay empty boxes."""
    missing = {char for char in set(_COVERED.sub("", text)) if unicodedata.category(char)[0] == "L"}
    order = {family: place for place, family in enumerate(wanted)}
    known = sorted((font for font in fonts.fonts() if font.path), key=lambda font: order.get(font.family, len(order)))
    seen: set[tuple[str, int]] = set()
    for font in known:
        if not missing:
            return
        if (font.path, font.index) not in seen and font.weight <= 400:
            seen.add((font.path, font.index))
            missing -= _letters(font.path, font.index)
    if missing:
        shown = "".join(sorted(missing)[:12])
        raise DataError(
            f"No font on this computer has {shown!r}, so the PDF would be full of empty boxes. Install one: "
            "`pip install pylopdf-fonts-zh-cn`, on Debian or Ubuntu `apt install fonts-noto-cjk`; or export EPUB or DOCX."
        )


def _letters(path: str, index: int) -> set[str]:
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(path, fontNumber=index, lazy=True) as font:
            return {chr(code) for code in font.getBestCmap() or ()}
    except (TTLibError, OSError, KeyError, AssertionError, ValueError):
        return set()
