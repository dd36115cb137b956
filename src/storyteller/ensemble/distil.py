"""What an ensemble writes, as training examples for one adapter that costs a member's price (sequence-level distillation).

storyteller prepare told.jsonl --out data/told && storyteller finetune RECIPE data.path=data/told
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storyteller.ensemble.drafts import Draft, rank
from storyteller.ensemble.ranking import Scorer
from storyteller.errors import DataError, GenerationError
from storyteller.generate import Storyteller, Told
from storyteller.runs import write_atomic
from storyteller.runs.console import progress, say
from storyteller.runs.lines import append_line, read_lines
from storyteller.tokens import Request

__all__ = ["tell_examples"]


def tell_examples(
    teacher: Storyteller,
    requests: Sequence[Request],
    path: Path,
    *,
    drafts: int = 4,
    scorers: Mapping[str, Scorer] | None = None,
    seed: int = 0,
    weights: str | None = None,
    **options: Any,
) -> int:
    """Write the best of `drafts` stories of the teacher to each request as a prompt and a completion; return how many.

    A student trained on whole sequences learns the modes of the teacher (Kim and Rush 2016, arXiv 1606.07947); ranking
    first makes it learn what the ensemble with its reranker writes. Requests to which only doubtful texts came are left
    out. One JSON object a line: `prompt`, `completion`, `form`, `language`. Until all are told they stand in `path` with
    `.part` added, each from when it is whole, and the same call goes on where it was stopped. `weights` says which weights
    tell and choose (the teacher's `Located.sha256`), so that it does not go on with others of the same name. Raises
    `GenerationError` when nothing is left, and `DataError` when another call's examples stand there.
    """
    part = path.with_name(f"{path.name}.part")
    settings = {
        "teacher": teacher.name,
        "weights": weights,
        "drafts": drafts,
        "seed": seed,
        "scorers": sorted(scorers or ()),
    }
    if "temperature" in options:
        settings["temperature"] = options["temperature"]
    known = _begin(part, requests, settings)
    places = [place for place in range(len(requests) * drafts) if place // drafts not in known]
    told: dict[int, list[Told | GenerationError]] = {place // drafts: [] for place in places}
    failed: dict[int, GenerationError] = {}
    asked, seeds = [requests[place // drafts] for place in places], [seed + place for place in places]
    with progress(len(places), "telling examples") as advance:
        for index, story in teacher.tell_many(asked, seeds=seeds, **options) if places else ():
            number = places[index] // drafts
            told[number].append(story)
            if len(told[number]) == drafts:
                written = told.pop(number)
                errors = [one for one in written if isinstance(one, GenerationError)]
                if len(errors) == drafts:  # no answer to keep: the same call asks again
                    failed[number] = errors[0]
                else:
                    known[number] = _best(written, teacher.name, requests[number], scorers)
                    append_line(part, {"number": number, "completion": known[number]})
            advance()
    found = {number: text for number, text in sorted(known.items()) if text is not None}
    if failed:
        say(
            f"{len(failed)} of {len(requests)} requests could not be answered and are left out: {next(iter(failed.values()))}"
        )
    if doubtful := len(requests) - len(found) - len(failed):
        say(f"{doubtful} of {len(requests)} requests had doubtful answers only and are left out")
    if not found:
        part.unlink()
        if len(failed) == len(requests):
            raise next(iter(failed.values()))
        raise GenerationError("the ensemble told no story that could be learnt from; look at what it writes first.")
    write_atomic(path, "".join(_line(requests[number], text) for number, text in found.items()))
    part.unlink()
    return len(found)


def _begin(part: Path, requests: Sequence[Request], settings: Mapping[str, Any]) -> dict[int, str | None]:
    """What stands in `part` already, by the number of its request; begun with what is asked if there is nothing."""
    asked = {**settings, "requests": hashlib.sha256(repr(list(requests)).encode()).hexdigest()}
    records = [record for _, record in read_lines(part)]
    if not records:
        append_line(part, asked)
    elif "weights" not in records[0]:
        raise DataError(
            f"{part} was begun by an earlier version, which did not note the teacher's weights and the scorers. Delete it, or "
            "name another file with --out."
        )
    elif records[0] != asked:
        raise DataError(
            f"{part} holds examples of another teacher, or of other requests, drafts, scorers, temperature or seed. Delete it, "
            "or name another file with --out."
        )
    elif records[1:]:
        say(f"{len(records) - 1} of {len(requests)} requests are answered already; going on with {part}")
    return {record["number"]: record["completion"] for record in records[1:]}


def _best(
    told: Sequence[Told | GenerationError], teacher: str, request: Request, scorers: Mapping[str, Scorer] | None
) -> str | None:
    """The text that ranks first; None where none is a story."""
    sound = [Draft(story, teacher) for story in told if not isinstance(story, GenerationError) and story.doubt is None]
    return rank(sound, request, scorers)[0].text if sound else None


def _line(request: Request, completion: str) -> str:
    record = {"prompt": request.about or "", "completion": completion}
    record |= {"form": request.form, "language": request.language}
    return json.dumps(record, ensure_ascii=False) + "\n"
