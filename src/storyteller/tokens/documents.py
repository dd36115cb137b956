"""Documents: stories as pretraining reads them, from the first token to the last, in pieces of one context.

Nothing is left out, and every token is learned once: a piece begins with the last token of the one before it, which is only
read. A share of the stories begins with a request, rendered by the template that writing uses, so that the new model can
be asked; the others stand alone after the end of text. For a masked model a piece is whole words between two ends of text.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.story import Story
from storyteller.recipe.models import DataRecipe
from storyteller.tokens.conditions import Conditions
from storyteller.tokens.request import Request
from storyteller.tokens.template import Template
from storyteller.tokens.words import token_starts

__all__ = ["Chunk", "DocumentSettings", "Documents", "byte_sizes"]

_LEAD = 4000  # characters of a story in which the conditions of its request are found


@dataclass(frozen=True, slots=True)
class DocumentSettings:
    """`prompted`: share of the stories that follow a request; `masked`: pieces for a masked model, without requests."""

    prompted: float = 0.5
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a story: its ids, of which the last `targets` are labels that spell `bytes` bytes of text.

    `starts` says which tokens begin a word (masked pieces; None for causal ones).
    """

    request: Request
    ids: list[int]
    targets: int
    bytes: int
    starts: NDArray[np.bool_] | None = None


@dataclass
class Documents:
    """Makes the pieces of stories and counts what happened to each; the counts are those of `Examples`."""

    template: Template
    conditions: Conditions
    data: DataRecipe
    settings: DocumentSettings
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._sizes = byte_sizes(self.template)

    def of(self, stories: Sequence[Story]) -> Iterator[Chunk]:
        """The pieces of a handful of stories, in order; encoded together."""
        encoded = self.template.tokenizer.encode_places([story.text for story in stories])
        for story, (ids, places) in zip(stories, encoded, strict=True):
            self.counts["stories"] += 1
            if not ids:
                self.counts["without_target"] += 1
                continue
            cut = self._masked(story, ids, places) if self.settings.masked else self._causal(story, ids)
            count = 0
            for count, chunk in enumerate(cut, start=1):
                if count > (self.data.max_parts or count):
                    break
                yield chunk
            capped = count > (self.data.max_parts or count)
            self.counts["capped" if capped else "whole" if count == 1 else "cut"] += 1

    def _causal(self, story: Story, ids: list[int]) -> Iterator[Chunk]:
        context, stop = self.data.context, self.template.stop_id
        request = self._request(story)
        read = self.template.prompt(request) if request else []
        if request is None or len(read) > context // 2:
            request, read = Request(form=story.form, language=story.language), [stop]
        ids = [*ids, stop]
        at = 0
        while at < len(ids):
            learned = ids[at : at + context - len(read)]
            yield Chunk(request, read + learned, len(learned), int(self._sizes[learned].sum()))
            at, read = at + len(learned), learned[-1:]

    def _request(self, story: Story) -> Request | None:
        """What might have been asked to get this story, or None where it stands alone."""
        chance = random.Random(f"{self.data.seed}/{story.id}/document")
        if chance.random() >= self.settings.prompted:
            return None
        people = self.conditions.people(story)
        request = self.conditions.derive(story, story.text[:_LEAD], "write", chance, people, whole=True)
        # A forced opening would be read and not learned; here every word of the story is.
        return Request("write", request.language, request.form, request.about, request.title, request.words,
                       request.characters, request.keywords)  # fmt: skip

    def _masked(self, story: Story, ids: list[int], places: list[tuple[int, int]]) -> Iterator[Chunk]:
        end, room = self.template.stop_id, self.data.context - 2
        starts = token_starts(story.text, places)
        request = Request(form=story.form, language=story.language)
        at = 0
        while at < len(ids):
            stop = min(at + room, len(ids))
            if stop < len(ids):
                whole = np.flatnonzero(starts[at + 1 : stop + 1])
                stop = at + 1 + int(whole[-1]) if len(whole) else stop
            flags = np.concatenate([[True], starts[at:stop], [True]])
            flags[1] = True
            inner = ids[at:stop]
            yield Chunk(request, [end, *inner, end], len(inner) + 1, int(self._sizes[inner].sum()), flags)
            at = stop


def byte_sizes(template: Template) -> NDArray[np.int64]:
    """The bytes of text that each id of the tokenizer spells; 0 for control tokens."""
    tokenizer = template.tokenizer
    return np.array([len(tokenizer.token_bytes(index)) for index in range(tokenizer.vocabulary_size)], dtype=np.int64)
