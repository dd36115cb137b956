"""`storyteller evaluate --suite stories`: prompts, answers, faults, figures and reports, from names to a folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from storyteller import __version__
from storyteller.corpus import read_split
from storyteller.corpus.corruption import Fault, corrupt
from storyteller.corpus.story import LANGUAGES, Story
from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import work_of
from storyteller.evaluate.collect import collect
from storyteller.evaluate.findings import Findings
from storyteller.evaluate.judges import Override
from storyteller.evaluate.prompts import PromptTask, choose_prompts
from storyteller.evaluate.report import ReportLanguage, write_reports
from storyteller.evaluate.suite import measure_stories
from storyteller.evaluate.texts import HUMAN, Text, read_texts
from storyteller.runs import environment
from storyteller.runs.console import say
from storyteller.tokens.names import characters

__all__ = ["FAULTS", "evaluate_stories", "faulty_texts"]

#: The faults that are put into people's texts, for the floor: each is seen by other metrics.
FAULTS: tuple[Fault, ...] = ("shuffle", "splice", "names", "loop")

#: Background text of a language that the copy index and the independent language model are made of, in characters.
MOST_BACKGROUND = 6_000_000


def evaluate_stories(
    systems: Sequence[str],
    data: Path | None = None,
    *,
    split: str = "test",
    prompts: int = 100,
    words: int = 150,
    task: PromptTask = "continue",
    temperatures: Sequence[float] = (0.8,),
    seeds: Sequence[int] = (1,),
    language: str | None = None,
    background: Path | None = None,
    faults: Sequence[Fault] = FAULTS,
    allow: Collection[Override] = (),
    report_language: ReportLanguage = "en",
    out: Path | None,
) -> list[Findings]:
    """Let models answer prompts from held-out stories, compare them with people, and write reports to `out`.

    `systems` are models by name, or `.jsonl` files with texts that were written elsewhere. With models, `data` is a
    prepared folder: `split` gives the prompts and people's answers to them, and the train split of `background`, by
    default of `data`, the texts in which copies are looked for. Of stories and texts only those in `language` are taken,
    where it is given. Findings come one for each language. Raises `DataError` for texts that cannot be compared, and
    `ModelError` for a model. Nothing that was written is lost: the same call goes on where it was stopped.
    """
    if out is None:
        raise DataError("the stories suite keeps every text that it has written: name a folder for them with --out.")
    if report_language not in LANGUAGES:
        raise DataError(f"a report is written in {' or '.join(LANGUAGES)}, not in {report_language!r}.")
    asked: dict[str, Any] = {
        "systems": list(systems), "data": str(data), "split": split, "prompts": prompts, "words": words, "task": task,
        "temperatures": list(temperatures), "seeds": list(seeds), "background": str(background or data),
    }  # fmt: skip
    if wrong := sorted(set(allow) - set(get_args(Override))):
        raise DataError(f"{', '.join(wrong)} cannot be allowed; choose of {', '.join(get_args(Override))}.")
    files = [Path(name) for name in systems if name.endswith(".jsonl")]
    models = [name for name in systems if not name.endswith(".jsonl")]
    texts = [text for file in files for text in read_texts(file) if language in (None, text.language)]
    if files and language and not texts:
        raise DataError(f"{', '.join(map(str, files))}: no text in {language!r}; a line without `language` is English.")
    if models:
        if data is None:
            raise DataError("models answer prompts from held-out stories: give a prepared folder with --data DIR.")
        stories = [story for story in read_split(data, split) if language in (None, story.language)]
        if not stories:
            raise DataError(f"{data} has no {f'{language} ' if language else ''}story in its {split} split.")
        questions = choose_prompts(stories, prompts, words=words, task=task)
        if len(questions) < prompts:
            say(f"only {len(questions)} prompts: {data} has no more passages of this length in its {split} split.")
        texts += collect(models, questions, out, temperatures=temperatures, seeds=seeds)
    human = [text for text in texts if text.system == HUMAN]
    findings = measure_stories(
        texts,
        faults=[text for fault in faults for text in faulty_texts(human, fault)],
        background=_background(background or data, texts),
        settings=asked | _versions(),
        allow=allow,
        cache=out / "embeddings.safetensors",
    )
    write_reports(findings, out, report_language)
    return findings


def faulty_texts(human: Sequence[Text], fault: Fault) -> list[Text]:
    """People's texts with one fault each: a system like any other, and the floor of what the fault destroys.

    A text that has no room for the fault (no names to swap, too few sentences) stands as it is.
    """
    broken = []
    for number, text in enumerate(human):
        # Material of a fault that needs another story comes from another work.
        following = (*human[number + 1 :], *human[:number])
        other = next((one.text for one in following if one.cluster != text.cluster), "")
        story = Story("", text.text, text.language, "story", 0)
        names = [person.name for person in characters(story)]
        if other or fault not in ("splice", "replace", "words"):
            made = corrupt(text.text, fault, text.language, seed=number, other=other, names=names)
            text = replace(text, text=made.text) if made else text
        broken.append(replace(text, system=f"{HUMAN}, {fault}", finish=fault))
    return broken


def _background(folder: Path | None, texts: Sequence[Text]) -> list[Story]:
    """The train split of a prepared folder in the languages of `texts`, without the works that they answer.

    Of each language up to six million characters: a corpus is read in its order, where one may stand before the other.
    """
    if folder is None:
        return []
    works = {text.work for text in texts}
    left = dict.fromkeys((text.language for text in texts), MOST_BACKGROUND)
    chosen = []
    for story in read_split(folder, "train"):
        if left.get(story.language, 0) > 0 and work_of(story) not in works:
            chosen.append(story)
            left[story.language] -= len(story.text)
    return chosen


def _versions() -> dict[str, Any]:
    """What the figures were made with."""
    return {"storyteller": __version__, "versions": environment()["versions"]}
