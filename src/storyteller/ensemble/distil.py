"""What an ensemble writes, as training examples for one adapter that costs a member's price (sequence-level distillation).

storyteller prepare told.jsonl --out data/told && storyteller finetune RECIPE data.path=data/told
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storyteller.ensemble.drafts import Draft, rank
from storyteller.ensemble.ranking import Scorer
from storyteller.errors import GenerationError
from storyteller.generate import Storyteller
from storyteller.runs import write_atomic
from storyteller.runs.console import progress, say
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
    **options: Any,
) -> int:
    """Write the best of `drafts` stories of the teacher to each request as a prompt and a completion; return how many.

    A student trained on whole sequences learns the modes of the teacher (Kim and Rush 2016, arXiv 1606.07947); ranking
    first makes it learn what the ensemble with its reranker writes. Requests to which only doubtful texts came are left
    out. One JSON object a line: `prompt`, `completion`, `form`, `language`. Raises `GenerationError` when nothing is
    left.
    """
    asked = [request for request in requests for _ in range(drafts)]
    found: dict[int, list[Draft]] = {}
    with progress(len(asked), "telling examples") as advance:
        for index, told in teacher.tell_many(asked, seeds=[seed + n for n in range(len(asked))], **options):
            if not isinstance(told, GenerationError) and told.doubt is None:
                found.setdefault(index // drafts, []).append(Draft(told, teacher.name))
            advance()
    if not found:
        raise GenerationError("the ensemble told no story that could be learnt from; look at what it writes first.")
    if len(found) < len(requests):
        say(f"{len(requests) - len(found)} of {len(requests)} requests had doubtful answers only and are left out")
    lines = []
    for number in sorted(found):
        request = requests[number]
        best = rank(found[number], request, scorers)[0]
        record = {"prompt": request.about or "", "completion": best.text, "form": request.form}
        lines.append(json.dumps(record | {"language": request.language}, ensure_ascii=False) + "\n")
    write_atomic(path, "".join(lines))
    return len(lines)
