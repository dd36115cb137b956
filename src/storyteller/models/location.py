"""From the name that a person gives to the files of a model."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from storyteller.corpus.story import Language
from storyteller.errors import ModelError
from storyteller.models.convert import convert_gguf, converted_folder
from storyteller.models.ensemble_file import ENSEMBLE_FILE, Ensemble, read_ensemble, tokenizer_hash
from storyteller.models.entries import Entry, entry_named, find_entry, shipped_adapter
from storyteller.models.fetch import Download, fetch, terms_refusal
from storyteller.models.hub import fetch_from_hub
from storyteller.runs.console import say
from storyteller.runs.files import file_sha256, read_json

__all__ = ["Located", "locate", "pull"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Located:
    """Where a model lies.

    `folder` is a transformers folder (config.json, *.safetensors, tokenizer.json), `adapter` a PEFT folder to be laid
    over it, `gguf` the file that the folder was converted from. `base` is what an adapter made on this model names as
    its base: a catalogue name, a hub name or an absolute path. An ensemble has `members`, the first of which gives
    `folder` and `base`, and no weights of its own.
    """

    name: str
    folder: Path
    base: str
    adapter: Path | None = None
    gguf: Path | None = None
    languages: tuple[Language, ...] = ()
    ensemble: Ensemble | None = None
    members: tuple[Located, ...] = ()

    @property
    def template_folder(self) -> Path:
        """Where the template lies that the model was trained with."""
        return self.members[0].template_folder if self.members else self.adapter or self.folder

    @cached_property
    def sha256(self) -> str:
        """One hash of all the weights: base and, if there is one, adapter; of an ensemble, all members' and its rule."""
        if self.ensemble is not None:
            rule = self.ensemble.model_dump_json(exclude={"members": {"__all__": {"model"}}})
            return hashlib.sha256("".join([rule, *(member.sha256 for member in self.members)]).encode()).hexdigest()
        sums = [file_sha256(path) for place in (self.folder, self.adapter) if place for path in _weight_files(place)]
        return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def locate(name: str | Path) -> Located:
    """Find a model by catalogue name, path or hub name, fetching and converting it if it is not in the cache yet.

    A path is the folder of a transformers model, of a PEFT adapter, of an ensemble or of a run (its `final/`, else its
    best checkpoint), or a GGUF file. Raises `ModelError` for what cannot be found, fetched or read, for an adapter whose
    base is missing, for weights in pickle, and for models with terms that were not accepted yet.
    """
    text = str(name)
    if entry := find_entry(text):
        return _locate_entry(entry)
    path = Path(text).expanduser()
    if path.is_dir():
        return _locate_folder(path.resolve(), text)
    if path.is_file():
        return _locate_file(path.resolve(), text)
    if _HUB_NAME.fullmatch(text) and not path.parent.is_dir():
        return replace(_locate_folder(fetch_from_hub(text), text), base=text)
    if "/" in text or text.endswith(".gguf"):
        raise ModelError(f"there is no folder or file {text}; check the path, or list models: storyteller models list")
    entry_named(text)
    raise AssertionError("entry_named raises for a name that find_entry does not know")


def pull(
    name: str, *, source: Path | None = None, accept_terms: bool = False, download: Download | None = None
) -> Located:
    """Bring a model into the cache, ready to be loaded; `source` and `accept_terms` as in `fetch`."""
    entry = find_entry(name)
    if entry is None:
        if source is not None:
            raise ModelError(f"--from goes with a name of the catalogue, and {name!r} is none: storyteller models list")
        return locate(name)
    fetch(entry_named(entry.base) if entry.base else entry, source=source, accept_terms=accept_terms, download=download)
    return locate(name)


def _locate_entry(entry: Entry) -> Located:
    if entry.base:
        located = locate(entry.base)
        return replace(located, name=entry.name, adapter=shipped_adapter())
    if not entry.installed and entry.terms:
        raise terms_refusal(entry)
    place = fetch(entry)
    if entry.members:
        return Located(entry.name, place, entry.name, languages=entry.languages)
    return Located(entry.name, _converted(place, entry.sha256), entry.name, gguf=place, languages=entry.languages)


def _locate_file(path: Path, name: str) -> Located:
    if path.suffix != ".gguf":
        raise ModelError(f"{name} is a file but no .gguf; give a model's folder, or a .gguf file.")
    return Located(name, _converted(path, file_sha256(path)), str(path), gguf=path)


def _converted(gguf: Path, sha256: str) -> Path:
    """The transformers folder made of a GGUF; made now if it is not there. Processes wait for each other."""
    folder = converted_folder(sha256)
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "config.json").is_file():
            for left in folder.parent.glob(f".{folder.name}.*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            say(f"converting {gguf.name} once, so that it loads quickly from now on")
            convert_gguf(gguf, folder)
    return folder


def _locate_folder(folder: Path, name: str) -> Located:
    if (folder / ENSEMBLE_FILE).is_file():
        return _locate_ensemble(folder, name)
    if (folder / "adapter_config.json").is_file():
        return _locate_adapter(folder, name)
    if (folder / "config.json").is_file():
        _refuse_other_weights(folder)
        return Located(name, folder, str(folder))
    if (folder / "recipe.yaml").is_file() or (folder / "final").is_dir():
        return _locate_run(folder, name)
    if (folder / "pipeline.yaml").is_file():
        runs = sorted(str(path.parent) for path in folder.glob("*/recipe.yaml"))
        raise ModelError(
            f"{folder} is a pipeline; its models are its trainings: {', '.join(runs) or 'none began yet'}."
        )
    raise ModelError(
        f"{folder} holds no model: neither config.json (a transformers model), nor adapter_config.json (an adapter), "
        "nor ensemble.yaml (an ensemble), nor recipe.yaml (a run)."
    )


def _locate_adapter(folder: Path, name: str) -> Located:
    if not (folder / "adapter_model.safetensors").is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        reason = (
            "its weights are a pickle (adapter_model.bin), which could run code"
            if pickled
            else "its weights are missing"
        )
        raise ModelError(f"{folder}: {reason}; Storyteller reads adapter_model.safetensors only.")
    try:
        base = read_json(folder / "adapter_config.json")["base_model_name_or_path"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        base = None
    if not base:
        raise ModelError(
            f"{folder}/adapter_config.json is damaged or names no base_model_name_or_path; write it there."
        )
    try:
        located = locate(base)
    except ModelError as error:
        raise ModelError(
            f"the adapter in {folder} needs its base {base!r}, which cannot be had: {error}\n"
            "If the base lies elsewhere now, write its place into base_model_name_or_path of adapter_config.json."
        ) from error
    if located.adapter is not None:
        raise ModelError(
            f"the base {base!r} of the adapter in {folder} is an adapter itself. Merge that one first (storyteller models "
            "merge NAME --out FOLDER) and write its folder into base_model_name_or_path of adapter_config.json."
        )
    return replace(located, name=name, adapter=folder)


def _locate_ensemble(folder: Path, name: str) -> Located:
    ensemble = read_ensemble(folder)
    members = []
    for member, short in zip(ensemble.members, ensemble.names, strict=True):
        beside = folder / Path(member.model).expanduser()
        is_place = find_entry(member.model) is None and beside.exists()
        itself = f"{folder}: the member {member.model!r} is an ensemble itself; name its members instead."
        # Told before it is looked for: two that name each other would be looked for without end.
        if is_place and (beside / ENSEMBLE_FILE).is_file():
            raise ModelError(itself)
        try:
            located = locate(beside.resolve() if is_place else member.model)
        except ModelError as error:
            raise ModelError(f"the member {member.model!r} of the ensemble {folder} cannot be had: {error}") from error
        if located.ensemble is not None:
            raise ModelError(itself)
        members.append(replace(located, name=short))
    first = members[0]
    for other in members[1:]:
        if other.folder != first.folder and tokenizer_hash(other.folder) != tokenizer_hash(first.folder):
            raise ModelError(
                f"{folder}: {first.name!r} and {other.name!r} have different tokenizers, so their tokens cannot be "
                "mixed. Let them write drafts, or sentences in turn: storyteller.ensemble.relay."
            )
    languages = _common_languages(members, folder)
    return Located(name, first.folder, first.base, languages=languages, ensemble=ensemble, members=tuple(members))


def _common_languages(members: Sequence[Located], folder: Path) -> tuple[Language, ...]:
    """The languages of all members of which any are known; none where nothing is said of any."""
    stated = [member for member in members if member.languages]
    if not stated:
        return ()
    common = tuple(one for one in stated[0].languages if all(one in member.languages for member in stated))
    if not common:
        # An empty tuple would mean that nothing is known, and let it write in every language.
        known = "; ".join(f"{member.name}: {', '.join(member.languages)}" for member in stated)
        raise ModelError(
            f"{folder}: the members have no language in common ({known}). Leave out those of another language."
        )
    return common


def _locate_run(folder: Path, name: str) -> Located:
    if (folder / "final").is_dir():
        return _locate_folder(folder / "final", name)
    try:
        checkpoint = folder / "checkpoints" / str(read_json(folder / "best.json")["checkpoint"])
    except FileNotFoundError:
        raise ModelError(
            f"the run {folder} has no final/ and no best checkpoint; let it train on, or "
            "see in its events.log why it ended."
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError):
        raise ModelError(f"{folder}/best.json is damaged; give one of the folders in {folder}/checkpoints.") from None
    if not checkpoint.is_dir():
        raise ModelError(f"{folder}/best.json names {checkpoint.name}, which is not there; give another checkpoint.")
    if (checkpoint / "adversary.json").is_file():
        raise ModelError(
            f"{folder} is a refinement that has not come to its end: what ships is chosen there, and its checkpoints are no "
            f"models of their own. Go on with: storyteller refine --resume {folder}"
        )
    return _locate_folder(checkpoint, name)


def _weight_files(folder: Path) -> list[Path]:
    adapter = folder / "adapter_model.safetensors"
    return [adapter] if adapter.is_file() else sorted(folder.glob("model*.safetensors"))


def _refuse_other_weights(folder: Path) -> None:
    if _weight_files(folder):
        return
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
        raise ModelError(
            f"{folder}: the weights are a pickle, which could run code when it is read. Storyteller reads safetensors "
            "only; take another revision of the model, or convert it where you trust it."
        )
    raise ModelError(
        f"{folder}: config.json is there but no model.safetensors; the model is not whole, fetch it again."
    )
