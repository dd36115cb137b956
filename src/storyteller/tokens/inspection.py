"""Shards made visible: an example with its loss mask in colour, how rows are packed, and the report."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING

from storyteller.errors import DataError
from storyteller.tokens.shards import META_FILE, Shards
from storyteller.tokens.tokenizer import StoryTokenizer

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = ["draw_example", "draw_packing", "draw_report", "find_shards"]

_READ, _LEARNED, _STOP, _CONTROL = "dim", "green", "bold black on yellow", "magenta"
_COLOURS = ("cyan", "blue", "magenta", "green", "yellow", "red")


def find_shards(folder: Path) -> Shards:
    """The shards in a folder, or the newest of a prepared corpus; raises `DataError` when there are none."""
    if (folder / META_FILE).is_file():
        return Shards.open(folder)
    found = sorted((folder / "shards").glob(f"*/{META_FILE}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise DataError(f"{folder}: no tokenized corpus. Make one with: storyteller tokenize {folder} --model NAME")
    return Shards.open(found[-1].parent)


def draw_example(shards: Shards, tokenizer: StoryTokenizer, split: str, number: int, *, ids: bool = False) -> Text:
    """An example: what is only read is dim, what is learned green, the learned stop token highlighted.

    With `ids`, each token is followed by its id. Raises `DataError` for another tokenizer than the shards', an
    unknown split or an example that is not there.
    """
    from rich.text import Text

    if tokenizer.sha256 != shards.meta["tokenizer"]:
        raise DataError(f"{shards.folder}: made with another tokenizer. Name the model it was made for with --model.")
    if split not in shards.splits or not 0 <= number < len(shards.splits[split]):
        have = ", ".join(f"{name} 0..{len(part) - 1}" for name, part in shards.splits.items() if len(part))
        raise DataError(f"{shards.folder}: no example {number} in {split}; there are {have}")
    tokens, targets, _ = shards.splits[split].example(number)
    first = len(tokens) - targets
    # A character may be spread over tokens: it is drawn with the last of them.
    drawn, characters = Text(), codecs.getincrementaldecoder("utf-8")("replace")
    for place, token in enumerate(tokens.tolist()):
        style = _LEARNED if place >= first else _READ
        label = f"·{token} " if ids else ""
        if tokenizer.is_special(token):
            drawn.append(tokenizer.token(token), _STOP if place >= first else _CONTROL)
            drawn.append(label, _READ)
            continue
        drawn.append(characters.decode(tokenizer.token_bytes(token)) + label, style)
    return drawn.append(characters.decode(b"", final=True))


def draw_packing(shards: Shards, split: str, *, rows: int = 8, width: int = 50) -> Text:
    """The first rows of the first epoch as bars: each example in a colour, learned tokens full, read tokens shaded."""
    from rich.text import Text

    context = int(shards.meta["settings"]["context"])
    drawn = Text()
    if not len(shards.splits[split]):
        return drawn
    batch = shards.batch(1, 0, rows=rows, context=context, split=split)
    for segments, labels in zip(batch.segment_ids, batch.labels, strict=True):
        for column in range(width):
            place = column * context // width
            segment = int(segments[place])
            character = " " if not segment else "█" if labels[place] >= 0 else "░"
            drawn.append(character, _COLOURS[segment % len(_COLOURS)] if segment else "")
        drawn.append(f" {float((segments > 0).mean()):.0%} full, examples: {int(segments.max())}\n", _READ)
    return drawn


def draw_report(shards: Shards) -> Table:
    """The token report: a column for each split."""
    from rich.table import Table

    context = int(shards.meta["settings"]["context"])
    table = Table(title=f"{shards.folder} · context {context}", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in shards.splits:
        table.add_column(name, justify="right")
    told = list(shards.meta["splits"].values())
    for key in ("stories", "examples", "tokens", "targets", "target_bytes"):
        table.add_row(key.replace("_", " "), *(f"{split[key]:,}" for split in told))
    for key in ("share_cut", "share_truncated", "share_without_target"):
        table.add_row(key.replace("_", " "), *(f"{split[key]:.2%}" for split in told))
    for mark in told[0]["length_quantiles"]:
        table.add_row(f"length, {float(mark):.0%}", *(f"{split['length_quantiles'][mark]:,}" for split in told))
    table.add_row("rows filled", *(f"{shards.efficiency(context, name):.1%}" for name in shards.splits))
    for key in ("tasks", "forms", "languages"):
        for name in dict.fromkeys(name for split in told for name in split[key]):
            shares = (f"{split[key].get(name, 0) / max(1, split['examples']):.1%}" for split in told)
            table.add_row(f"{key.removesuffix('s')} {name}", *shares)
    return table
