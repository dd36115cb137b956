from __future__ import annotations

import gzip
import json
import lzma
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storyteller.corpus import books, records, text_files
from storyteller.corpus.piece import Piece, Skipped
from storyteller.corpus.read import find_files, read_file
from storyteller.errors import DataError

TEXT = "The fox came down to the river and looked at the moon in the water for a long time."


def read(path: Path, said: list[str] | None = None) -> list[Piece | Skipped]:
    return list(read_file(path, advance=lambda n: None, say=(said if said is not None else []).append))


def pieces(path: Path) -> list[Piece]:
    found = read(path)
    assert all(isinstance(piece, Piece) for piece in found), found
    return [piece for piece in found if isinstance(piece, Piece)]


def reasons(path: Path) -> list[str]:
    return [piece.reason for piece in read(path) if isinstance(piece, Skipped)]


@pytest.mark.parametrize(
    ("record", "prompt"),
    [
        ({"title": "Fox", "text": TEXT, "lang": "en", "kind": "fable", "collection": "Foxes"}, None),
        ({"prompt": "A fox", "completion": TEXT}, "A fox"),
        ({"messages": [{"role": "user", "content": "A fox"}, {"role": "assistant", "content": TEXT}]}, "A fox"),
        ({"instruction": "Tell", "input": "A fox", "output": TEXT}, "Tell\n\nA fox"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_reads_every_shape_of_records(
    tmp_path: Path, record: dict[str, object], prompt: str | None, suffix: str
) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    data = (json.dumps(record) + "\n").encode()
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix](data))
    said: list[str] = []
    (piece,) = read(path, said)
    assert isinstance(piece, Piece)
    assert (piece.text, piece.prompt) == (TEXT, prompt)
    assert len(said) == 1
    assert "records" in said[0]


def test_unknown_columns_name_file_line_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "x"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 1.*body.*Expected: text"):
        read(path)


def test_bad_lines_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD", 1000)
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": TEXT}), "{broken", "", '{"no": 1}', json.dumps({"text": "x" * 5000}), '{"text": 7}']
    path.write_text("\n".join([*lines, json.dumps({"text": TEXT})]))
    found = read(path)
    assert [type(piece) for piece in found].count(Piece) == 2
    assert reasons(path) == ["broken JSON", "column missing", "record too long", "no text"]


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_a_cut_archive_keeps_what_came_before(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    data = "".join(json.dumps({"text": f"{TEXT} {n}"}) + "\n" for n in range(20000)).encode()
    packed = gzip.compress(data) if suffix == ".gz" else lzma.compress(data)
    path.write_bytes(packed[: len(packed) // 2])
    assert reasons(path)[-1] == "damaged archive"
    path.write_bytes(b"nothing of the kind")
    assert reasons(path) == ["damaged archive"]


def test_markdown_front_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(
        f"---\ntitle: 狐狸\nauthor: Me\nlanguage: en\nform: fable\nlicence: CC0\n---\n\n# 狐狸\n\n{TEXT} *Yes.*\n"
    )
    (piece,) = pieces(path)
    assert (piece.title, piece.author, piece.kind, piece.licence) == ("狐狸", "Me", "fable", "CC0")
    assert piece.text.strip() == f"{TEXT} Yes."


def test_broken_front_matter_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("---\ntitle: [a\n---\nText")
    assert reasons(path) == ["broken front matter"]


def test_html(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(
        "<html lang=en><head><title>T</title><style>p{}</style></head><body><h1>The Fox</h1><script>x()</script>"
        "<p>One &amp; <b>two</b>\n three.<br>Four.</p><div>Five.</div></body></html>"
    )
    (piece,) = pieces(path)
    assert piece.title == "The Fox"
    assert [line.strip() for line in piece.text.split("\n") if line] == ["One & two three.", "Four.", "Five."]


@pytest.mark.parametrize(
    "broken", ["<![foo]>", "<![foo", "<![", "<![CDATA[x", "<!-", "<!x[", "<!DOCTYPE [<!foo", "</", "<a b='"]
)
def test_broken_markup_ends_nothing(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "a.html"
    path.write_text(f"<html><body><p>{TEXT}</p>{broken}</body></html>")
    (piece,) = pieces(path)
    assert piece.text.startswith(TEXT)
    path.write_text(f"<html><body><p>{TEXT}</p>{broken}")
    assert pieces(path)[0].text.startswith(TEXT)


def test_fountain(tmp_path: Path) -> None:
    path = tmp_path / "a.fountain"
    path.write_text(
        "Title: _The Fox_\nAuthor: Me\nLanguage: en\n\n# Act\n\nINT. DEN - NIGHT\n\n"
        "/* cut */The fox wakes. [[note]]\n\n"
        "@McFox\nHello.\n\n> CUT TO:\n"
    )
    (piece,) = pieces(path)
    assert (piece.title, piece.author, piece.kind) == ("The Fox", "Me", "screenplay")
    assert piece.text.split() == ["INT.", "DEN", "-", "NIGHT", "The", "fox", "wakes.", "McFox", "Hello.", "CUT", "TO:"]


def epub(path: Path, *, chapter: bytes | None = None) -> None:
    container = '<container xmlns="urn:x"><rootfiles><rootfile full-path="o/p.opf"/></rootfiles></container>'
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        "<dc:title>Foxes</dc:title><dc:creator>Jane Roe</dc:creator><dc:language>en</dc:language></metadata><manifest>"
        '<item id="t" href="titlepage.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="a" href="a%20b.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="t"/><itemref idref="a"/></spine></package>'
    )
    page = f"<html><body><h2>The First Fox</h2><p>{TEXT}</p></body></html>".encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("o/p.opf", package)
        archive.writestr("o/titlepage.xhtml", "<html><body>Foxes</body></html>")
        archive.writestr("o/a b.xhtml", chapter if chapter is not None else page)


def test_epub(tmp_path: Path) -> None:
    path = tmp_path / "a.epub"
    epub(path)
    skipped, piece = read(path)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "front or back matter"
    assert isinstance(piece, Piece)
    assert (piece.title, piece.author, piece.work, piece.text) == ("The First Fox", "Jane Roe", "Foxes", TEXT)


@pytest.mark.parametrize(
    "inside",
    [
        '<body>{}<section epub:type="footnotes"><section><p>1. A note.</p></section><p>2. More.</p></section></body>',
        '<body epub:type="bodymatter"><section epub:type="chapter"><p epub:type="dedication"/>{}</section></body>',
        '<body><p>{}<a epub:type="noteref">1</a></p><aside epub:type="footnote"><p>1. A note.</p></aside></body>',
        '<body><section epub:type="chapter">{}<div epub:type="index endnotes">1. A note.</div></section></body>',
    ],
)
def test_a_chapter_keeps_its_text_and_not_its_notes(tmp_path: Path, inside: str) -> None:
    path = tmp_path / "a.epub"
    epub(path, chapter=f"<html>{inside.format(TEXT)}</html>".encode())
    _, piece = read(path)
    assert isinstance(piece, Piece)
    assert piece.text == TEXT


@pytest.mark.parametrize("kind", ["dedication", "endnotes", "frontmatter copyright-page"])
def test_a_page_of_other_matter_is_left_out(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.epub"
    wrapped = f'<body epub:type="backmatter"><section epub:type="{kind}"><p>{TEXT}</p></section></body>'
    epub(path, chapter=wrapped.encode())
    assert reasons(path) == ["front or back matter"] * 2


def test_a_zip_bomb_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "MAX_ENTRY", 10_000)
    path = tmp_path / "a.epub"
    epub(path, chapter=b"<p>" + b"0" * 1_000_000)
    assert "archive unpacks too large" in reasons(path)


def docx(path: Path, document: str, title: str = "") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", document)
        if title:
            named = f'<p xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></p>'
            archive.writestr("docProps/core.xml", named)


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def test_docx(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    title = '<w:p><w:pPr><w:pStyle w:val="Title"/></w:pPr><w:r><w:t>The Fox</w:t></w:r></w:p>'
    docx(
        path,
        f"<w:document {W}><w:body>{title}<w:p><w:r><w:t>One </w:t><w:t>fox.</w:t></w:r></w:p></w:body></w:document>",
    )
    (piece,) = pieces(path)
    assert (piece.title, piece.text) == ("The Fox", "One fox.")


@pytest.mark.parametrize(
    ("headings", "core", "title", "work"),
    [
        (
            ["Chapter One", "Chapter Two", "Chapter Three"],
            "The Long Winter",
            "The Long Winter — Chapter One",
            "The Long Winter",
        ),
        (["Chapter One", "Chapter Two", "Chapter Three"], "", "Chapter One", "a.docx"),
        (["第一章", "第二章", "第三章"], "", "第一章", "a.docx"),
        (["Snow", "Ice", "Thaw"], "The Long Winter", "The Long Winter", None),
        (["Snow", "Ice", "Thaw"], "", None, None),
        (["第一章"], "", None, None),
        (["Snow"], "", "Snow", None),
    ],
)
def test_a_word_book_is_not_named_after_its_first_chapter(
    tmp_path: Path, headings: list[str], core: str, title: str | None, work: str | None
) -> None:
    path = tmp_path / "a.docx"
    prose = f"<w:p><w:r><w:t>{TEXT}</w:t></w:r></w:p>" * 200
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>{heading}</w:t></w:r></w:p>{prose}'
        for heading in headings
    )
    docx(path, f"<w:document {W}><w:body>{body}</w:body></w:document>", core)
    first, *others = pieces(path)
    assert len(others) == (2 if work else 0)
    assert (first.title, first.work) == (title, work)
    assert {piece.work for piece in others} <= {work}


def test_entities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    docx(path, f'<!DOCTYPE x [<!ENTITY a "aaaa">]><w:document {W}><w:body>&a;</w:body></w:document>')
    assert reasons(path) == ["XML with entities"]


@pytest.mark.parametrize("name", ["a.epub", "a.docx"])
def test_damaged_books_are_counted(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04 not really")
    assert reasons(path) == ["damaged archive"]


def test_a_chinese_book_is_cut_at_its_chapters(tmp_path: Path) -> None:
    path = tmp_path / "水.txt"
    path.write_bytes(
        "".join(f"第{n}回　英雄下山\n\n" + "他一个人走下山去，天已经黑了。\n" * 800 for n in "一二三").encode("gb18030")
    )
    assert [piece.kind for piece in pieces(path)] == ["chapter"] * 3


def test_files_that_cannot_be_used_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MAX_FILE", 5000)
    (tmp_path / "big.txt").write_text("x" * 6000)
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    (tmp_path / "empty.txt").write_text(" \n")
    assert [reasons(path)[0] for path in sorted(tmp_path.iterdir())] == [
        "file too large",
        "binary or unknown encoding",
        "empty file",
    ]


def test_finds_files_in_a_fixed_order_and_counts_the_rest(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", "README.md", ".hidden", "x.png", "deep/c.jsonl", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = list(find_files([tmp_path, tmp_path / "b.txt"]))
    assert [path.name for path in found if isinstance(path, Path)] == ["a.md", "b.txt", "c.jsonl"]
    assert sorted(path.reason for path in found if isinstance(path, Skipped)) == [
        "file named twice",
        "hidden file",
        "hidden folder",
        "read-me or licence file",
        "unknown file type",
    ]


def test_records_of_another_shape_are_skipped_where_they_were_only_found(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "x"}\n')
    found = list(read_file(path, advance=lambda n: None, say=print, named=False))
    assert [piece.reason for piece in found if isinstance(piece, Skipped)] == ["column missing"]


def test_a_date_that_is_none_is_broken_front_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"---\ndate: 2024-02-30\n---\n{TEXT}")
    assert reasons(path) == ["broken front matter"]


def test_an_archive_damaged_anywhere_is_counted(tmp_path: Path) -> None:
    """Whatever byte is wrong, reading ends with pieces or a reason, never with an error of the library."""
    whole = tmp_path / "whole.epub"
    epub(whole)
    data, path = whole.read_bytes(), tmp_path / "a.epub"
    for place in range(0, len(data), 3):
        for value in (0, 9, 12, 14, 255):
            path.write_bytes(data[:place] + bytes([value]) + data[place + 1 :])
            read(path)


def test_a_missing_chapter_does_not_cost_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.epub"
    epub(path)
    cut = tmp_path / "cut.epub"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(cut, "w") as new:
        for name in old.namelist():
            if "titlepage" not in name:
                new.writestr(name, old.read(name))
    damaged, piece = read(cut)
    assert isinstance(damaged, Skipped)
    assert damaged.reason == "damaged archive"
    assert isinstance(piece, Piece)
    assert piece.text == TEXT


def test_linked_and_locked_folders_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path)
    locked = PermissionError(13, "Permission denied", str(tmp_path / "here" / "locked"))
    walk = os.walk

    def refused(folder: Path, onerror: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
        onerror(locked)
        yield from walk(folder)

    monkeypatch.setattr(os, "walk", refused)
    found = list(find_files([tmp_path / "here"]))
    assert [path.reason for path in found if isinstance(path, Skipped)] == ["link to a folder", "no permission to read"]


def test_records_in_utf_16_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.JSONL"
    path.write_text(
        "".join(json.dumps({"text": f"{TEXT} 狐狸 {n}"}, ensure_ascii=False) + "\n" for n in range(9)), "utf-16"
    )
    assert [piece.text for piece in pieces(path)] == [f"{TEXT} 狐狸 {n}" for n in range(9)]


def test_a_script_may_begin_with_a_fade(tmp_path: Path) -> None:
    path = tmp_path / "a.fountain"
    path.write_text("FADE IN:\n\nINT. DEN - NIGHT\n\nThe fox wakes.\n")
    (piece,) = pieces(path)
    assert piece.text.startswith("FADE IN:")


def test_several_authors_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"---\nauthor: [Jane Roe, 李白]\n---\n{TEXT}")
    assert [piece.author for piece in pieces(path)] == ["Jane Roe, 李白"]


def test_a_title_in_a_chinese_word(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    title = '<w:p><w:pPr><w:pStyle w:val="1"/></w:pPr><w:r><w:t>狐狸</w:t></w:r></w:p>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "word/document.xml", f"<w:document {W}>{title}<w:p><w:r><w:t>{TEXT}</w:t></w:r></w:p></w:document>"
        )
        archive.writestr(
            "word/styles.xml", f'<w:styles {W}><w:style w:styleId="1"><w:name w:val="heading 1"/></w:style></w:styles>'
        )
    assert [piece.title for piece in pieces(path)] == ["狐狸"]
