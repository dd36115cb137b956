"""Prompts of an evaluation: what is asked of every system, with what a person wrote in that place."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal, TypeVar

from storyteller.corpus.language import count_words, ends_sentence, split_sentences
from storyteller.corpus.story import Language, Story
from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import work_of
from storyteller.tokens.conditions import central_sentence
from storyteller.tokens.request import Request
from storyteller.tokens.vocabulary import Frequencies

__all__ = ["TASKS", "Prompt", "PromptTask", "choose_prompts", "cut_at_sentence"]

PromptTask = Literal["continue", "write"]
TASKS: tuple[PromptTask, ...] = ("continue", "write")

Item = TypeVar("Item")

#: Words (or 字 over 1.6) of a story that a continuation is shown.
LEAD = 80


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing to ask: `reference` is what a person wrote there, `work` the unit of the bootstrap."""

    id: str
    request: Request
    reference: str
    work: str

    @property
    def asked(self) -> str:
        """What was asked, in words, for whoever compares an answer with it."""
        request = self.request
        parts = (request.title, request.about, request.outline, request.before)
        return "\n".join(part for part in parts if part)


def choose_prompts(
    stories: Sequence[Story], count: int, *, words: int = 200, task: PromptTask = "continue"
) -> list[Prompt]:
    """`count` prompts spread over as many works as there are, always the same ones for the same stories.

    `continue` shows about 80 words of a passage and asks for the `words` after them; a person's words are then an
    answer to the very same question. `write` gives the title and the passage's central sentence; there the reference
    is an excerpt of a story that may be longer. `words` are 字 in Chinese. Raises `DataError` when no story is long
    enough, and returns fewer than `count` when there are no more passages.
    """
    if task not in TASKS:
        raise DataError(f"there is no task {task!r} to prompt for; it is one of {', '.join(TASKS)}.")
    if count < 1 or words < 1:
        raise DataError(f"{count} prompts for {words} words each: both must be 1 or more.")
    frequencies = Frequencies.of(stories)
    works: dict[str, list[Iterator[Prompt]]] = defaultdict(list)
    for story in sorted(stories, key=lambda story: _hash(story.id)):
        works[work_of(story)].append(_prompts(story, words, task, frequencies))
    # One passage of each work, then a second one of each, from another of its stories: works count for more than passages.
    chosen = list(islice(_in_turn([_in_turn(of_stories) for of_stories in works.values()]), count))
    if not chosen:
        raise DataError(
            f"none of the {len(stories)} stories has the {LEAD + words} words that a prompt and its answer need; "
            "ask for shorter texts (--words)."
        )
    return chosen


def cut_at_sentence(text: str, words: int, language: Language) -> str:
    """The whole sentences of `text` up to `words` words or 字; at least the first one, and no unfinished last one."""
    kept: list[str] = []
    written = 0
    for sentence in split_sentences(text, language):
        written += count_words(sentence, language)
        if kept and written > words:
            break
        kept.append(sentence)
    while len(kept) > 1 and not ends_sentence(kept[-1]):
        kept.pop()
    return "".join(kept).strip()


def _in_turn(queues: Sequence[Iterator[Item]]) -> Iterator[Item]:
    """An item of each queue in turn until all are empty; nothing is taken before it is wanted."""
    waiting: Iterator[Iterator[Item]] = iter(queues)
    for active in range(len(queues), 0, -1):
        waiting = cycle(islice(waiting, active))
        # It ends with the first queue that is empty; the next round goes on behind that one.
        yield from map(next, waiting)


def _prompts(story: Story, words: int, task: PromptTask, frequencies: Frequencies) -> Iterator[Prompt]:
    """The prompts from one story, in an order that says nothing of their place in it."""
    passages = sorted(enumerate(_passages(story, words)), key=lambda item: _hash(f"{story.id}/{item[0]}"))
    for number, (lead, reference) in passages:
        if task == "write":
            lead, reference = "", cut_at_sentence(lead + reference, words, story.language)
        request = _request(story, lead.rstrip(), reference, words, frequencies)
        yield Prompt(f"{story.id}/{number}", request, reference.strip(), work_of(story))


def _passages(story: Story, words: int) -> Iterator[tuple[str, str]]:
    """Pairs of a lead and the text after it, one after another without overlap."""
    lead_words = LEAD if story.language == "en" else LEAD * 8 // 5
    lead: list[str] = []
    rest: list[str] = []
    counts = [0, 0]
    for sentence in split_sentences(story.text, story.language):
        length = count_words(sentence, story.language)
        part = 0 if counts[0] < lead_words else 1
        (lead if part == 0 else rest).append(sentence)
        counts[part] += length
        if counts[1] >= words:
            yield "".join(lead), cut_at_sentence("".join(rest), words, story.language)
            lead, rest, counts = [], [], [0, 0]


def _request(story: Story, lead: str, reference: str, words: int, frequencies: Frequencies) -> Request:
    title = " ".join(story.title.split()) if story.title else None
    if lead:
        return Request("continue", story.language, story.form, title=title, words=words, before=lead)
    about = central_sentence(reference, frequencies, story.language)
    return Request("write", story.language, story.form, title=title, about=about, words=words)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
