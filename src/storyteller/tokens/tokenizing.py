"""Tokenizing: a prepared corpus into shards, once; the second time they are only opened."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus import read_split
from storyteller.corpus.story import FORMS, LANGUAGES, Story
from storyteller.errors import DataError
from storyteller.recipe.models import DataRecipe
from storyteller.recipe.robustness import AugmentRecipe
from storyteller.runs.console import progress, say
from storyteller.runs.files import file_sha256, is_free, replacing_folder, write_json
from storyteller.tokens.augment import variants
from storyteller.tokens.conditions import Conditions
from storyteller.tokens.documents import Chunk, Documents, DocumentSettings
from storyteller.tokens.examples import Examples, StoryExample
from storyteller.tokens.request import Task
from storyteller.tokens.shards import INDEX, META_FILE, Shards, content_hash, token_type
from storyteller.tokens.template import Template
from storyteller.tokens.tokenizer import StoryTokenizer
from storyteller.tokens.vocabulary import Frequencies

__all__ = ["TASKS", "tokenize"]

TASKS: tuple[Task, ...] = get_args(Task)

#: Rises whenever the same stories give other shards, or the same shards another order of measuring.
_VERSION = 2
_HANDFUL = 64  # stories encoded together
_COUNTED = 20_000  # stories whose terms are counted


def tokenize(
    folder: Path,
    out: Path | None,
    tokenizer: StoryTokenizer,
    settings: DataRecipe,
    *,
    template: Template | None = None,
    splits: Sequence[str] = ("train", "dev"),
    documents: DocumentSettings | None = None,
) -> Shards:
    """The shards of a prepared corpus, made if they are not there.

    With `documents` the stories are read as pretraining reads them, else as requests and answers. `out` is by default
    `<corpus>/shards/<hash>`, the hash being that of the corpus's files, the tokenizer, the template and the settings; a
    folder whose hash is another is made again. Raises `DataError` when the corpus is missing or gives no example at
    all, or when `out` holds something else, and warns when over 1 % of its stories lose a part.
    """
    template = template or Template.for_tokenizer(tokenizer)
    identity = _identity(Path(folder), tokenizer, settings, template, splits)
    if documents is not None:
        identity["documents"] = asdict(documents)
    made_by = content_hash(identity)
    out = Path(out) if out else Path(folder) / "shards" / made_by[:12]
    if (shards := _made(out, made_by)) is not None:
        return shards
    if not is_free(out) and not all((out / name).is_file() for name in (META_FILE, f"{splits[0]}.index.npy")):
        raise DataError(f"{out} exists and was not written by `storyteller tokenize`. Name another folder with --out.")
    meta = {"hash": made_by, **identity, "pad_id": tokenizer.pad_id, "splits": {}}
    try:
        _make(Path(folder), out, template, settings, splits, documents, meta)
    except PermissionError as error:
        raise DataError(
            f"the shards of {folder} cannot be written to {out} ({error.strerror}): copy the corpus to a folder that you may "
            "write, or tokenize it with --out."
        ) from None
    except OSError:
        # Another run of the same corpus may have been faster: then theirs is as good.
        if _made(out, made_by) is None:
            raise
    return Shards.open(out)


def _made(out: Path, made_by: str) -> Shards | None:
    """What lies there already, if it is the same."""
    if not (out / META_FILE).is_file():
        return None
    shards = Shards.open(out)
    return shards if shards.meta["hash"] == made_by else None


def _make(
    folder: Path,
    out: Path,
    template: Template,
    settings: DataRecipe,
    splits: Sequence[str],
    documents: DocumentSettings | None,
    meta: dict[str, Any],
) -> None:
    """Write the shards and their report, which begins as `meta`; `FileExistsError` when the same are there at the end."""
    started = time.monotonic()
    kind = token_type(template.tokenizer.vocabulary_size)
    meta["token_type"] = kind.str
    with replacing_folder(out) as temporary:
        frequencies: Frequencies | None = None
        for split in splits:
            chosen = _choose(folder, split, settings)
            # Dev and test are weighed by the words of train.
            frequencies = frequencies or Frequencies.of(
                itertools.islice(_chosen(folder, split, chosen), 0, None, max(1, chosen.sum() // _COUNTED))
            )
            conditions = Conditions(frequencies, settings.keep_condition)
            examples: Examples | Documents = (
                Examples(template, conditions, settings)
                if documents is None
                else Documents(template, conditions, settings, documents)
            )
            told: Iterable[Story] = _chosen(folder, split, chosen)
            # Only what is trained on is varied: dev and test must stay what people wrote.
            if split == "train" and settings.augment is not None:
                told = _varied(told, settings.augment, settings.seed, examples.counts)
            with progress(int(chosen.sum()), f"tokenize {split}") as advance:
                handfuls = _handfuls(iter(told), advance)
                made = (example for handful in handfuls for example in examples.of(handful))
                meta["splits"][split] = _write(temporary, split, made, kind) | _shares(examples.counts)
        meta["seconds"] = round(time.monotonic() - started, 3)
        _warn(folder, meta)
        write_json(temporary / META_FILE, meta)
        if _made(out, meta["hash"]) is not None:
            raise FileExistsError(out)


def _identity(
    folder: Path, tokenizer: StoryTokenizer, settings: DataRecipe, template: Template, splits: Sequence[str]
) -> dict[str, Any]:
    """All that decides what the shards hold."""
    paths = {split: folder / f"{split}.jsonl" for split in splits}
    for path in paths.values():
        if not path.is_file():
            raise DataError(f"{path}: no such file. Make a corpus first: storyteller prepare PATH... --out {folder}")
    # A chat template's marks are of its kind; the others' are what the model's own files say, which may differ beside one
    # and the same tokenizer.json.
    marks = {"marks": [tokenizer.bos_id, template.stop_id]} if template.kind != "chatml" else {}
    return {
        "version": _VERSION,
        "corpus": {split: file_sha256(path) for split, path in paths.items()},
        "tokenizer": tokenizer.sha256,
        "template": {"kind": template.kind, "version": template.version} | marks,
        # Without variants, the shards are those of a recipe that never heard of them.
        "settings": settings.model_dump(
            mode="json", exclude={"path"} | ({"augment"} if settings.augment is None else set())
        ),
    }


def _choose(folder: Path, split: str, settings: DataRecipe) -> NDArray[np.bool_]:
    """Which stories of a split are used: a fixed random sample under the caps of the recipe, by position."""
    forms = np.array([FORMS.index(story.form) for story in read_split(folder, split)], dtype=np.int8)
    order = np.random.default_rng(settings.seed).permutation(len(forms))
    chosen = np.ones(len(forms), dtype=np.bool_)
    for form in settings.max_share_form:
        if form not in FORMS:
            raise DataError(f"data.max_share_form: no form {form}; the forms are {', '.join(FORMS)}")
    # One form's cap depends on what the others' leave; a few rounds settle it. What is measured on is not capped.
    for _ in range(10 if split == "train" else 0):
        for form, share in settings.max_share_form.items():
            mine = order[(forms[order] == FORMS.index(form)) & chosen[order]]
            others = int(chosen.sum()) - len(mine)
            chosen[mine[int(others * share / (1 - share)) if share < 1 else len(mine) :]] = False
    if len(forms) and not chosen.any():
        caps = ", ".join(f"{form}: {share:g}" for form, share in settings.max_share_form.items())
        raise DataError(
            f"data.max_share_form={{{caps}}} leaves no story of {folder / split}.jsonl: there is too little beside the capped "
            "forms. Raise the cap, or prepare other stories, too."
        )
    if settings.max_stories:
        chosen[order[chosen[order]][settings.max_stories :]] = False
    return chosen


def _chosen(folder: Path, split: str, chosen: NDArray[np.bool_]) -> Iterator[Story]:
    return itertools.compress(read_split(folder, split), chosen.tolist())


def _handfuls(stories: Iterator[Story], advance: Callable[..., None]) -> Iterator[list[Story]]:
    while handful := list(itertools.islice(stories, _HANDFUL)):
        yield handful
        advance(sum(story.augmented is None for story in handful))


def _varied(stories: Iterable[Story], recipe: AugmentRecipe, seed: int, counts: Counter[str]) -> Iterator[Story]:
    """Each story, and behind it its variants."""
    for story in stories:
        yield story
        for variant in variants(story, recipe, seed):
            counts["augmented"] += 1
            yield variant


def _write(folder: Path, split: str, examples: Iterator[StoryExample | Chunk], kind: np.dtype[Any]) -> dict[str, Any]:
    """Write the arrays of a split; the counts and quantiles for the report."""
    records: list[NDArray[Any]] = []
    pending: list[tuple[int, ...]] = []
    offset = 0
    with contextlib.ExitStack() as files:
        file = files.enter_context((folder / f"{split}.tokens.bin").open("wb"))
        words = None
        for example in examples:
            file.write(np.array(example.ids, dtype=kind).tobytes())
            if example.starts is not None:
                words = words or files.enter_context((folder / f"{split}.words.bin").open("wb"))
                words.write(example.starts.tobytes())
            request, size = example.request, example.bytes
            codes = (TASKS.index(request.task), FORMS.index(request.form), LANGUAGES.index(request.language))
            pending.append((offset, len(example.ids), example.targets, size, *codes))
            offset += len(example.ids)
            if len(pending) == 65_536:
                records.append(np.array(pending, dtype=INDEX))
                pending = []
    index = np.concatenate([*records, np.array(pending, dtype=INDEX)])
    np.save(folder / f"{split}.index.npy", index)
    lengths = index["length"] if len(index) else np.zeros(1, dtype=np.int32)
    quantiles = {f"{mark:.2f}": int(np.quantile(lengths, mark)) for mark in (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)}
    names = {"task": TASKS, "form": FORMS, "language": LANGUAGES}
    return {
        "examples": len(index),
        "tokens": offset,
        "targets": int(index["targets"].sum()),
        "target_bytes": int(index["bytes"].sum()),
        "length_quantiles": quantiles,
        **{f"{key}s": _by_name(index[key], values) for key, values in names.items()},
    }


def _by_name(codes: NDArray[Any], names: Sequence[str]) -> dict[str, int]:
    return {name: count for i, name in enumerate(names) if (count := int((codes == i).sum()))}


def _shares(counts: Counter[str]) -> dict[str, Any]:
    stories = max(1, counts["stories"])
    shares = {
        f"share_{name}": round(counts[name] / stories, 6) for name in ("cut", "capped", "truncated", "without_target")
    }
    augmented = {"augmented": counts["augmented"]} if counts["augmented"] else {}
    return {"stories": counts["stories"], **augmented, **shares}


def _warn(folder: Path, meta: dict[str, Any]) -> None:
    """Raise when nothing is left to learn; say aloud when something was left out."""
    for split, told in meta["splits"].items():
        if split == "train" and not told["examples"]:
            raise DataError(
                f"{folder}: its {told['stories']} stories of {split} give no example in a context of "
                f"{meta['settings']['context']} tokens. Raise data.context, or prepare longer stories."
            )
        if told["share_truncated"] > 0.01:
            say(
                f"warning: {told['share_truncated']:.1%} of the stories of {split} lose a part: no task of the recipe "
                "tells it, or it does not fit. Raise data.context, or give data.tasks.continue a share."
            )
