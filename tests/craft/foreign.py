"""Files as other programs write them."""

from __future__ import annotations

import io
import json
import zipfile

from storyteller.craft.book import Book
from storyteller.craft.formats import read_book

__all__ = ["CONTAINER", "epub", "read", "zipped"]


def read(name: str, value: object) -> Book:
    return read_book(name, json.dumps(value, ensure_ascii=False).encode())


def zipped(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="p.opf"/></rootfiles></container>'
)


def epub(pages: dict[str, str], *, ncx: str = "", head: str = "") -> bytes:
    items = "".join(
        f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(pages)
    )
    items += '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>' if ncx else ""
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(pages)))
    package = (
        f'{head}<package xmlns="http://www.idpf.org/2007/opf" version="2.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>A Book</dc:title><dc:creator>Ann</dc:creator><dc:language>en-GB</dc:language>"
        f"<dc:publisher>P</dc:publisher></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    return zipped({"META-INF/container.xml": CONTAINER, "p.opf": package, **pages, **({"toc.ncx": ncx} if ncx else {})})
