"""What the library raises for a zip archive that is not what it says, told from what the machine refuses."""

from __future__ import annotations

import contextlib
import errno
import lzma
import zipfile
import zlib
from collections.abc import Iterator

__all__ = ["DamagedError", "unpacking"]

_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError)


class DamagedError(Exception):
    """The archive, or one of its entries, cannot be unpacked; the message is the library's."""


@contextlib.contextmanager
def unpacking() -> Iterator[None]:
    """Raise `DamagedError` for whatever the library says of damage.

    An `OSError` of the machine's goes through, and so does the `RuntimeError` of an archive that is locked, or packed
    in a way that the library does not know (`NotImplementedError`).
    """
    try:
        yield
    except _DAMAGED as error:
        raise DamagedError(str(error)) from error
    except OSError as error:  # bzip2 raises one without a number, a seek before the beginning an invalid argument
        if error.errno in (None, errno.EINVAL):
            raise DamagedError(str(error)) from error
        raise
