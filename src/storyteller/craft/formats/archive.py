"""Zip archives and XML from strangers: read within limits, nothing expanded that was not asked for."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from storyteller.corpus.unpacking import DamagedError, unpacking
from storyteller.errors import DataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Archive", "pack", "parse_xml"]

MAX_ENTRIES = 20_000
MAX_ENTRY = 64 << 20  # bytes of one unpacked file
MAX_UNPACKED = 256 << 20  # bytes of everything read from one archive
MAX_RATIO = 200  # prose packs to a half or a third; what packs better than this holds nothing
MAX_DIRECTORY = 4 << 20  # bytes of the archive's table of contents
_SMALL = 4 << 20  # below this a high ratio is harmless


class Archive:
    """A zip archive in memory; `DataError` for one that is damaged, locked or a bomb."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self._left = MAX_UNPACKED
        end = data.rfind(b"PK\x05\x06", max(0, len(data) - 66_000))
        if end >= 0 and int.from_bytes(data[end + 12 : end + 16], "little") > MAX_DIRECTORY:
            raise DataError(f"{name} lists more files than any book has. It is damaged, or made to do harm.")
        try:
            with unpacking():
                self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (DamagedError, NotImplementedError) as error:
            raise DataError(f"{name} is damaged: {error}. Download or export it again.") from error
        self._names = set(self._zip.namelist())
        if len(self._zip.infolist()) > MAX_ENTRIES:
            raise DataError(f"{name} holds over {MAX_ENTRIES:,} files. It is damaged, or made to do harm.")

    def __contains__(self, entry: str) -> bool:
        return entry in self._names

    @property
    def names(self) -> list[str]:
        """The names of the files inside, sorted."""
        return sorted(self._names)

    def read(self, entry: str) -> bytes:
        """One unpacked file, counted while it unpacks and not as the archive declares it."""
        limit = min(MAX_ENTRY, self._left)
        try:
            with unpacking(), self._zip.open(entry) as file:
                data = file.read(limit + 1)
        except KeyError as error:
            raise DataError(f"{self.name} is damaged: there is no {entry} in it. Export it again.") from error
        except RuntimeError as error:
            raise DataError(f"{self.name} is locked ({error}). Remove the password or the copy protection.") from error
        except DamagedError as error:
            raise DataError(f"{self.name} is damaged: {entry}: {error}. Download or export it again.") from error
        packed = max(1, self._zip.getinfo(entry).compress_size)
        if len(data) > limit or (len(data) > _SMALL and len(data) > MAX_RATIO * packed):
            raise DataError(
                f"{self.name} unpacks to far more than a book ({entry} alone: over {len(data) >> 20} MB). It was not read."
            )
        self._left -= len(data)
        return data

    def xml(self, entry: str) -> Element:
        """One file as an XML tree."""
        return parse_xml(f"{self.name} ({entry})", self.read(entry))


def parse_xml(name: str, data: bytes) -> Element:
    """The root of an XML document; `DataError` when it is broken or declares entities, which are never expanded."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(data)
    except DefusedXmlException as error:
        raise DataError(f"{name} declares XML entities, which a book has no need of. It was not read.") from error
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise DataError(f"{name} is not well-formed XML: {error}. Export it again.") from error
    return root


def pack(files: list[tuple[str, bytes]], stored: tuple[str, ...] = ()) -> bytes:
    """A zip archive of `files` in their order, the same bytes for the same files; those named in `stored` stay unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()
