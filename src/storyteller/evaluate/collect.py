"""Collecting texts: every system answers every prompt once, and all of it is kept before anything is measured.

<out>/prompts.json     what was asked, and what people wrote there
<out>/systems.json     the models by name, with the SHA-256 of their weights
<out>/texts.jsonl      every text of every system, one `Text` a line, in the order in which they were finished
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from storyteller.errors import DataError, GenerationError
from storyteller.evaluate.prompts import Prompt
from storyteller.evaluate.texts import HUMAN, Text, read_texts
from storyteller.generate import SamplingSettings, Storyteller
from storyteller.models import locate
from storyteller.runs import read_json, write_json
from storyteller.runs.console import progress, say

__all__ = ["collect", "human_texts"]

#: What one text of a collection is: (system, temperature, seed, prompt).
_Key = tuple[str, float | None, int | None, str]


def human_texts(prompts: Sequence[Prompt]) -> list[Text]:
    """What people wrote to the prompts: a system like any other, and the ceiling of the others."""
    return [replace(_text(prompt, HUMAN, prompt.reference), finish="human") for prompt in prompts]


def collect(
    models: Sequence[str],
    prompts: Sequence[Prompt],
    out: Path,
    *,
    temperatures: Sequence[float] = (0.8,),
    seeds: Sequence[int] = (1,),
    settings: SamplingSettings | None = None,
    engine: str = "auto",
    rows: int | None = None,
    max_tokens: int | None = None,
) -> list[Text]:
    """Let each model answer each prompt at each temperature with each seed; the texts of people come first.

    A temperature or seed that is named twice counts once. `rows` is how many texts are written at once, and `max_tokens`
    the bound of each, which saves memory where it is lower than that of `Storyteller.write`; see `tell_many`.

    What stands in `out` already is not written again, so a collection that was interrupted goes on, and one can be
    extended by models, temperatures and seeds. A text that could not be written is missing. Raises `DataError` when
    `out` holds answers to other prompts or by other weights, and `ModelError` for a model.
    """
    _claim(out, models, prompts)
    path = out / "texts.jsonl"
    _mend(path)
    done = {_key(text): text for text in (read_texts(path) if path.exists() else [])}
    with path.open("a", encoding="utf-8") as file:

        def keep(text: Text) -> None:
            if _key(text) not in done:
                file.write(json.dumps(text.to_json(), ensure_ascii=False) + "\n")
                file.flush()
                done[_key(text)] = text

        people = human_texts(prompts)
        for text in people:
            keep(text)
        temperatures, seeds = list(dict.fromkeys(temperatures)), list(dict.fromkeys(seeds))
        wanted = [
            replace(_text(prompt, model, ""), temperature=temperature, seed=seed)
            for model, temperature, seed, prompt in itertools.product(models, temperatures, seeds, prompts)
        ]
        missing = [text for text in wanted if _key(text) not in done]
        for model, texts in itertools.groupby(missing, key=lambda text: text.system):
            _answer(model, list(texts), settings or SamplingSettings(), engine, rows, max_tokens, keep)
    return [done[_key(text)] for text in [*people, *wanted] if _key(text) in done]


def _answer(
    model: str,
    wanted: Sequence[Text],
    settings: SamplingSettings,
    engine: str,
    rows: int | None,
    max_tokens: int | None,
    keep: Callable[[Text], None],
) -> None:
    """Write every wanted text with one model, many at once."""
    failed: list[str] = []
    teller = Storyteller.load(model, engine)
    try:
        with progress(len(wanted), f"writing with {model}") as advance:
            # One temperature after the other: the stories of a batch share their settings.
            for temperature, group in itertools.groupby(wanted, key=lambda text: text.temperature):
                texts = list(group)
                told = teller.tell_many(
                    [text.request for text in texts if text.request],
                    seeds=[text.seed or 0 for text in texts],
                    rows=rows,
                    max_tokens=max_tokens,
                    settings=replace(settings, temperature=temperature or 0.0),
                )
                for index, result in told:
                    advance()
                    if isinstance(result, GenerationError):
                        failed.append(f"{texts[index].prompt_id}: {result}")
                    else:
                        keep(replace(texts[index], text=result.text, finish=result.finish_reason, tokens=result.tokens))
    finally:
        teller.close()
    if failed:
        say(f"{model}: {len(failed)} of {len(wanted)} texts could not be written; the first is {failed[0]}")


def _text(prompt: Prompt, system: str, text: str) -> Text:
    return Text(
        text, system, prompt.id, prompt.request.language, prompt.work, prompt=prompt.asked, request=prompt.request
    )


def _key(text: Text) -> _Key:
    return text.system, text.temperature, text.seed, text.prompt_id


def _claim(out: Path, models: Sequence[str], prompts: Sequence[Prompt]) -> None:
    """Write down what is asked of whom, or make sure that it is what stands in the folder already."""
    if len(set(models)) < len(models) or HUMAN in models:
        raise DataError(f"each model is named once, and none is called {HUMAN!r}: {', '.join(models)}.")
    known = {name: locate(name).sha256 for name in models}
    questions = json.loads(json.dumps([asdict(prompt) for prompt in prompts]))
    if (out / "prompts.json").exists():
        if read_json(out / "prompts.json") != questions:
            raise DataError(f"{out} holds answers to other prompts. Choose another folder with --out.")
        systems = read_json(out / "systems.json")
        changed = [name for name in models if systems.get(name, known[name]) != known[name]]
        if changed:
            raise DataError(f"{out} holds texts by other weights of {', '.join(changed)}. Choose another --out.")
        known = systems | known
    write_json(out / "systems.json", known)
    write_json(out / "prompts.json", questions)


def _mend(path: Path) -> None:
    """Cut off a last line that a killed process left unfinished."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
