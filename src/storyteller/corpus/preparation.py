"""`prepare`: files of stories in, one clean, deduplicated and split corpus out, in two streaming passes.

Pass 1 reads, cleans and filters, and writes what is kept to one file, with a small row for each story beside it. The
rows alone decide about duplicates and splits. Pass 2 copies each line to its split.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.corpus.clean import clean, unmark
from storyteller.corpus.filters import refusal
from storyteller.corpus.form import SCRIPTS, declared_form, identify_form
from storyteller.corpus.gutenberg import strip_gutenberg
from storyteller.corpus.language import count_words, identify_language
from storyteller.corpus.piece import Piece, Skipped
from storyteller.corpus.read import MADE_BY, MANIFEST, find_files, is_prepared, read_file
from storyteller.corpus.report import Report
from storyteller.corpus.settings import PrepareSettings
from storyteller.corpus.story import FORMS, LANGUAGES, Language, Story
from storyteller.errors import DataError
from storyteller.runs.console import progress, say
from storyteller.runs.files import file_sha256, is_free, replacing_folder, write_atomic, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from storyteller.corpus.ledger import Ledger

__all__ = ["passed", "prepare", "to_story"]

_LISTED = 2_000  # files named one by one in the manifest and the report; beyond it they are summed up by folder
_BOLD_TITLE = re.compile(r"\A\s*(?:\*\*(?:Title:)?\s*|#{1,3} +|Title: |<<)([^\n*<>]{2,100}?)(?:\*\*|>>)?\s*\n\s*\n?")


def prepare(paths: Sequence[Path], out: Path, *, settings: PrepareSettings | None = None) -> Report:
    """Read the stories of `paths`, clean, filter, deduplicate and split them, and write the folder `out`.

    `out` gets `train.jsonl`, `dev.jsonl`, `test.jsonl`, `manifest.json`, `report.json` and `report.md`. It is replaced
    whole, and only when it is new, empty, or was written by `prepare` before. Raises `DataError` when nothing can be
    read, no story is left, or the disk is full; `out` is then what it was.
    """
    settings = settings or PrepareSettings()
    if not (is_free(out) or is_prepared(out)):
        raise DataError(f"{out} exists and was not written by `storyteller prepare`. Name another folder with --out.")
    started = time.monotonic()
    report = Report()
    with _full_disk(out), replacing_folder(out) as folder:
        from storyteller.corpus.ledger import Ledger

        inputs = _Inputs(paths)
        copies: Counter[str] = Counter()
        with Ledger(folder) as ledger, (folder / "kept.jsonl").open("wb") as kept:
            for story, source in _stories(inputs, settings, report):
                if not settings.deduplicate:
                    story = _as_copy(story, copies)
                kept.write(json.dumps(story.to_json(), ensure_ascii=False).encode("utf-8", "replace") + b"\n")
                ledger.add(story, source)
                report.megabytes += len(story.text.encode("utf-8", "replace")) / 1e6
        if not ledger.size:
            raise DataError(_nothing_left(paths, report))
        splits = _decide(ledger, settings, report, inputs.names)
        _write_splits(folder, splits)
        ledger.delete()
        report.seconds = round(time.monotonic() - started, 2)
        _write_manifest(folder, inputs.entries(), settings, report)
    return report


def _as_copy(story: Story, copies: Counter[str]) -> Story:
    """`story` under an id of its own: that of its text, with a number from the second of the same text on."""
    copies[story.id] += 1
    number = copies[story.id]
    return story if number == 1 else dataclasses.replace(story, id=f"{story.id}-{number}")


def to_story(piece: Piece) -> Story | None:
    """The cleaned story of a piece; `None` when it is in no language that we know."""
    text, title = strip_gutenberg(piece.text), piece.title
    lifted = _BOLD_TITLE.match(text) if title is None else None
    if lifted:
        title, text = lifted.group(1).strip(), text[lifted.end() :]
    if "**" in text or "\n#" in text:
        text = unmark(text)
    language = _language(piece.language, text)
    if language is None:
        return None
    form = declared_form(piece.kind)
    text = clean(text, language, script=form in SCRIPTS)
    if form is None:
        form = identify_form(text, title, language)
    return Story(
        id=hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest(),
        text=text,
        language=language,
        form=form,
        words=count_words(text, language),
        title=" ".join(title.split())[:200] if title else None,
        author=piece.author,
        work=piece.work,
        source=piece.source,
        licence=piece.licence,
        prompt=piece.prompt,
    )


def _language(declared: str | None, text: str) -> Language | None:
    """What the text is in; a declared language decides only where the text is too short or too odd to tell."""
    found = identify_language(text)
    if found is None and declared and len(text) < 300:
        return next((language for language in LANGUAGES if declared.lower().startswith(language)), None)
    return found


class _Inputs:
    """The input files, one by one, and their hashes; more than `_LISTED` files are summed up by folder."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        found = [path.stat().st_size for path in find_files(paths) if isinstance(path, Path)]
        self.by_folder = len(found) > _LISTED
        self.kib = sum(found) >> 10
        self._numbers: dict[str, int] = {}
        self._entries: dict[str, dict[str, Any]] = {}

    @property
    def names(self) -> list[str]:
        """Sources in the order of their numbers."""
        return list(self._numbers)

    def number(self, path: Path) -> int:
        """The number of the source of `path`, which is the file, or its folder when there are many files."""
        name = str(path.parent if self.by_folder else path)
        digest = file_sha256(path)
        entry = self._entries.setdefault(name, {"path": name, "files": 0, "bytes": 0, "sha256": ""})
        entry["sha256"] = hashlib.sha256((entry["sha256"] + digest).encode()).hexdigest() if entry["files"] else digest
        entry["files"] += 1
        entry["bytes"] += path.stat().st_size
        return self._numbers.setdefault(name, len(self._numbers))

    def entries(self) -> list[dict[str, Any]]:
        """Path, files, bytes and SHA-256 of each source; that of a folder chains its files' in their order."""
        return list(self._entries.values())


def _stories(inputs: _Inputs, settings: PrepareSettings, report: Report) -> Iterator[tuple[Story, int]]:
    """The stories that pass every filter, each with the number of its source; all else is counted in `report`."""
    with progress(inputs.kib, "Reading stories (KiB)") as advance:
        part = 0

        def advance_bytes(count: int) -> None:
            nonlocal part
            part += count
            advance(part >> 10)
            part &= 1023

        def told(note: str) -> None:
            if len(report.notes) < 50:
                report.notes.append(note)
                say(note)

        for path in find_files(inputs.paths):
            if isinstance(path, Skipped):
                report.skip(path.reason, path.place, path.excerpt)
                continue
            report.files += 1
            try:
                source = inputs.number(path)
            except PermissionError as error:
                report.skip("no permission to read", str(path), error.strerror or "")
                continue
            for piece in read_file(path, advance=advance_bytes, say=told, named=path in inputs.paths):
                story = passed(piece, settings, report)
                if story is not None:
                    yield story, source


def passed(piece: Piece | Skipped, settings: PrepareSettings, report: Report) -> Story | None:
    """The story of a piece that no filter refuses; everything else is counted in `report` and is `None`."""
    if isinstance(piece, Skipped):
        report.skip(piece.reason, piece.place, piece.excerpt)
        return None
    report.read += 1
    story = to_story(piece)
    if story is not None:
        reason = refusal(story, settings)
    else:  # the Chinese count fits a text in any script
        reason = "too short" if count_words(piece.text[:5000], "zh") < settings.min_words else "other language"
    if reason is not None:
        report.skip(reason, piece.place, piece.text[:200] if story is None else story.text[:200])
        return None
    return story


def _decide(ledger: Ledger, settings: PrepareSettings, report: Report, sources: list[str]) -> NDArray[np.uint8]:
    """The split of each row; 255 for a duplicate. Fills the report's figures."""
    import numpy as np

    from storyteller.corpus.duplicates import components, near_duplicates
    from storyteller.corpus.split import assign, group

    rows = ledger.rows()
    alive = np.ones(len(rows), bool)
    _, first, same = np.unique(np.array(rows["text"]), return_index=True, return_inverse=True)
    # Copies are looked for even when they are kept: they must not come to lie on two sides.
    twins, kin = near_duplicates(ledger.sketches(), settings.threshold)
    kin = components(kin, np.arange(len(rows)), first[same])
    if settings.deduplicate:
        alive[:] = False
        alive[first] = True
        report.exact_duplicates = int((~alive).sum())
        if settings.near_duplicates:
            # Of a cluster the first story stays; it is alive, for the first of exact duplicates is.
            near = alive & (twins != np.arange(len(rows)))
            report.near_duplicates = int(near.sum())
            alive &= ~near
    index = np.flatnonzero(alive)
    rows = np.array(rows[index])
    _, first, inverse = np.unique(kin[index], return_index=True, return_inverse=True)
    labels, report.cut = group(rows, first[inverse], settings.largest_group)
    chosen = assign(rows, labels, dev=settings.dev, test=settings.test, seed=settings.seed)
    _count(report, rows, labels, chosen, sources, ledger.licences)
    splits = np.full(ledger.size, 255, np.uint8)
    splits[index] = chosen
    return splits


def _count(
    report: Report,
    rows: NDArray[Any],
    labels: NDArray[np.int64],
    chosen: NDArray[np.uint8],
    sources: list[str],
    licences: list[str],
) -> None:
    import numpy as np

    from storyteller.corpus.split import SPLITS

    report.kept, report.words = len(rows), int(rows["words"].sum())
    for number, name in enumerate(SPLITS):
        mine = chosen == number
        report.splits[name] = {
            "stories": int(mine.sum()),
            "groups": len(np.unique(labels[mine])),
            "works": int(np.count_nonzero(np.unique(rows["work"][mine]))),
            "authors": int(np.count_nonzero(np.unique(rows["author"][mine]))),
            "words": int(rows["words"][mine].sum()),
        }
    names: dict[str, Sequence[str]] = {"source": sources, "form": FORMS, "language": LANGUAGES, "licence": licences}
    for column, values in names.items():
        stories = np.bincount(rows[column], minlength=len(values))
        words = np.bincount(rows[column], weights=rows["words"], minlength=len(values))
        counted = zip(values, stories, words, strict=False)
        report.table[column] = {name: {"stories": int(n), "words": int(w)} for name, n, w in counted if n}
    for code, language in enumerate(LANGUAGES):
        lengths = rows["words"][rows["language"] == code]
        if len(lengths):
            shares = {"least": 0.0, "10 %": 0.1, "median": 0.5, "90 %": 0.9, "99 %": 0.99, "most": 1.0}
            report.quantiles[language] = {name: int(np.quantile(lengths, share)) for name, share in shares.items()}
    for tie, count in report.cut.items():
        report.notes.append(f"{count:,} stories are split without regard to their {tie}: it ties too many together.")
    empty = [name for name, split in report.splits.items() if not split["stories"]]
    if empty:
        report.notes.append(f"No stories in {' and '.join(empty)}: there are fewer than three groups.")


def _write_splits(folder: Path, splits: NDArray[np.uint8]) -> None:
    from storyteller.corpus.split import SPLITS

    kept = folder / "kept.jsonl"
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / f"{name}.jsonl").open("wb")) for name in SPLITS]
        lines = stack.enter_context(kept.open("rb"))
        for line, split in zip(lines, splits, strict=True):
            if split < len(files):
                files[split].write(line)
    kept.unlink()


def _write_manifest(folder: Path, inputs: list[dict[str, Any]], settings: PrepareSettings, report: Report) -> None:
    figures = report.to_json()
    write_json(folder / "report.json", figures)
    write_atomic(folder / "report.md", report.markdown())
    manifest = {
        "made_by": MADE_BY,
        "format": 1,
        "settings": dataclasses.asdict(settings),
        "stories": {name: split["stories"] for name, split in report.splits.items()},
        "words": report.words,
        "licences": {name: row["stories"] for name, row in report.table["licence"].items()},
        "sha256": {f"{name}.jsonl": file_sha256(folder / f"{name}.jsonl") for name in report.splits},
        "inputs": inputs,
    }
    write_json(folder / MANIFEST, manifest)


def _nothing_left(paths: Sequence[Path], report: Report) -> str:
    where = ", ".join(map(str, paths))
    reasons = "; ".join(f"{skips.count:,} {reason}" for reason, skips in report.skipped.items())
    if not report.read and not report.files:
        seen = f" ({reasons})" if reasons else ""
        return f"No story files in {where}{seen}. Known are txt, md, jsonl, EPUB, DOCX, HTML and Fountain."
    return f"No story left of {report.read:,} texts in {where}: {reasons}. Change the filters or the input."


@contextlib.contextmanager
def _full_disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"The disk is full: {out} was not written, and is what it was. Free some space.") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR):
            raise DataError(f"Cannot write {out}: {error.strerror}. Name another folder with --out.") from error
        raise
