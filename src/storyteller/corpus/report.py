"""The data report: what was read, what was left out and why, what the splits hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Report", "Skips"]

_SHOWN = 30


@dataclass(slots=True)
class Skips:
    """How often something was left out for one reason, and the first example of it."""

    count: int = 0
    place: str = ""
    excerpt: str = ""


@dataclass(slots=True)
class Report:
    """The figures of one `prepare`; counts are of stories unless a name says otherwise.

    `words` counts words in English and 字 in Chinese. `table` has, for each source, form, language and licence, the
    stories and words kept. `cut` says how many stories lost a tie in the split because their group was too large.
    """

    files: int = 0
    read: int = 0
    kept: int = 0
    words: int = 0
    megabytes: float = 0.0
    seconds: float = 0.0
    skipped: dict[str, Skips] = field(default_factory=dict)
    exact_duplicates: int = 0
    near_duplicates: int = 0
    quantiles: dict[str, dict[str, int]] = field(default_factory=dict)
    table: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def skip(self, reason: str, place: str, excerpt: str) -> None:
        """Count one thing left out; the first of each reason is kept as the example."""
        skips = self.skipped.setdefault(reason, Skips(0, place, " ".join(excerpt.split())[:80]))
        skips.count += 1

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)

    def summary(self) -> str:
        """The report in a few lines for the terminal."""
        left = sum(skips.count for skips in self.skipped.values())
        lines = [
            f"Kept {self.kept:,} of {self.read:,} texts from {self.files:,} files: {self.words:,} words or 字.",
            f"Left out {left:,}; exact duplicates {self.exact_duplicates:,}, near duplicates {self.near_duplicates:,}.",
            *(f"  {skips.count:>7,}  {reason}" for reason, skips in self._ordered()),
            ", ".join(f"{name} {split['stories']:,}" for name, split in self.splits.items()),
        ]
        return "\n".join([*lines, *self.notes])

    def markdown(self) -> str:
        """The report as a Markdown page."""
        parts = ["# Data report", self.summary().split("\n")[0]]
        parts += [f"{self.megabytes:.1f} MB of text in {self.seconds:.1f} s."]
        rows = [[name, *(f"{value:,}" for value in split.values())] for name, split in self.splits.items()]
        parts += ["## Splits", _table(["split", "stories", "groups", "works", "authors", "words"], rows)]
        parts += [f"- {note}" for note in self.notes]
        quantiles = [[name, *(f"{value:,}" for value in row.values())] for name, row in self.quantiles.items()]
        if quantiles:
            parts += ["## Words of a story", _table(["language", *next(iter(self.quantiles.values()))], quantiles)]
        for name, counts in self.table.items():
            parts += [f"## By {name}", _table([name, "stories", "words"], _largest(counts))]
        duplicates = f"Exact duplicates: {self.exact_duplicates:,}. Near duplicates: {self.near_duplicates:,}."
        parts += ["## Left out", duplicates]
        left = [[reason, f"{s.count:,}", s.place, s.excerpt] for reason, s in self._ordered()]
        return "\n\n".join([*parts, _table(["reason", "count", "first example", "begins"], left)]) + "\n"

    def _ordered(self) -> list[tuple[str, Skips]]:
        return sorted(self.skipped.items(), key=lambda item: -item[1].count)


def _largest(counts: dict[str, dict[str, int]]) -> list[list[str]]:
    ordered = sorted(counts.items(), key=lambda item: -item[1]["stories"])
    rows = [[name or "(not stated)", f"{row['stories']:,}", f"{row['words']:,}"] for name, row in ordered[:_SHOWN]]
    rest = [row for _, row in ordered[_SHOWN:]]
    if rest:
        stories, words = (sum(row[key] for row in rest) for key in ("stories", "words"))
        rows.append([f"({len(rest):,} more)", f"{stories:,}", f"{words:,}"])
    return rows


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
