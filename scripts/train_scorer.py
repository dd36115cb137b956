"""Train the coherence scorer that comes with the package, without a human rating.

    python scripts/train_scorer.py CORPORA [--out FOLDER] [--cache FOLDER]

CORPORA is a folder of `<name>.jsonl.xz` or `<name>.jsonl` files, one story a line with `text`; the names and how many
windows are drawn from each stand below. All are public domain, CC0 or CC-BY. About ten minutes on two cores; with
`--cache` what was read is kept, and a second run takes a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import lzma
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storyteller.corpus import Story, split_sentences
from storyteller.errors import DataError
from storyteller.evaluate.scorer.fit import accuracy_by_fault, fit_scorer, held_out, token_frequencies
from storyteller.evaluate.scorer.scorer import SHIPPED
from storyteller.evaluate.scorer.states import LAYERS, WindowStates, read_windows
from storyteller.evaluate.scorer.training import Example, examples_of, story_windows
from storyteller.models import DEFAULT_BASE, locate
from storyteller.models.features import Reader

EVERYDAY = SHIPPED.with_name("everyday.txt")
SOURCES = {
    "pratham_storyweaver": (260, "CC-BY-4.0 (each story's authors; Pratham Books' StoryWeaver)"),
    "african_storybook": (140, "CC-BY (each story's authors; African Storybook)"),
    "aesop_for_children": (80, "public domain (1919)"),
    "gutenberg_short_stories": (160, "public domain (Project Gutenberg)"),
}
FIRST = {"gutenberg_short_stories": 500}
"""Of a source larger than needed, only so many stories are read."""
CHUNK = 400


def stories_of(folder: Path, name: str) -> list[Story]:
    for suffix, opener in ((".jsonl.xz", lzma.open), (".jsonl", open)):
        if (path := folder / f"{name}{suffix}").is_file():
            with opener(path, "rt", encoding="utf-8") as file:
                texts = [json.loads(line)["text"] for line in itertools.islice(file, FIRST.get(name))]
            return [Story(f"{name}-{i}", text, "en", "story", 0) for i, text in enumerate(texts)]
    raise DataError(f"{folder} has no {name}.jsonl.xz; see docs/results.md for what the shipped scorer is trained on.")


def read(
    reader: Reader, examples: list[Example], cache: Path | None, what: str
) -> Iterator[tuple[Example, WindowStates]]:
    for start in range(0, len(examples), CHUNK):
        part = examples[start : start + CHUNK]
        key = json.dumps([reader.layers, reader.likelihoods, [example.text for example in part]])
        path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz" if cache else None
        if path and path.is_file():
            windows = unpack(path)
        else:
            windows = read_windows(reader, [split_sentences(example.text, "en") for example in part], what)
            if path:
                pack(path, windows)
        yield from zip(part, windows, strict=True)


def pack(path: Path, windows: list[WindowStates]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {name: [getattr(window, name) for window in windows] for name in WindowStates.__slots__}
    sizes = {f"{name}_sizes": np.array([len(array) for array in arrays]) for name, arrays in fields.items()}
    np.savez(path, **sizes, **{name: np.concatenate(arrays) for name, arrays in fields.items()})


def unpack(path: Path) -> list[WindowStates]:
    with np.load(path) as file:
        parts = {name: np.split(file[name], np.cumsum(file[f"{name}_sizes"])[:-1]) for name in WindowStates.__slots__}
    return [WindowStates(*fields) for fields in zip(*(parts[name] for name in WindowStates.__slots__), strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()

    generator = random.Random(1)
    stories = {name: stories_of(options.corpora, name) for name in SOURCES}
    windows = [w for name, (most, _) in SOURCES.items() for w in story_windows(stories[name], most, generator)]
    generator.shuffle(windows)
    everyday = [(f"everyday-{i}", line) for i, line in enumerate(EVERYDAY.read_text(encoding="utf-8").splitlines())]
    examples = list(examples_of(everyday, 6, random.Random(2)))
    examples += list(examples_of(windows, 3, random.Random(3), first_group=len(everyday)))

    located = locate(DEFAULT_BASE)
    quick = Reader.open(located, LAYERS, likelihoods=False)
    full = Reader(quick.model, quick.tokenizer, LAYERS)
    training = list(read(quick, [e for e in examples if not held_out(e)], options.cache, "reading to train"))
    kept = list(read(full, [e for e in examples if held_out(e)], options.cache, "reading to calibrate"))
    texts = [story.text[:30_000] for part in stories.values() for story in part] + [text for _, text in everyday]
    scorer = fit_scorer(full, training, kept, token_frequencies(full.tokenizer, texts))
    detected = accuracy_by_fault(scorer, kept)
    for fault, (accuracy, pairs) in detected.items():
        print(f"{fault:10} {accuracy:.3f} of {pairs} held-out pairs")
    card = {
        "base": DEFAULT_BASE,
        "base_sha256": located.sha256,
        "trained_on": {name: {"windows": most, "licence": licence} for name, (most, licence) in SOURCES.items()}
        | {"everyday": {"windows": len(everyday), "licence": "CC0, written for this scorer with a language model"}},
        "examples": {"training": len(training), "calibration": len(kept)},
        "held_out_accuracy": {fault: round(accuracy, 3) for fault, (accuracy, _) in detected.items()},
        "language": "en",
        "licence": "Apache-2.0",
    }
    scorer.save(options.out, card)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
