"""Writing in turn: at each sentence or paragraph several members draft the next one, and the best drafts go on.

Members join in the text and not in its tokens, so they may have any tokenizers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from storyteller.corpus.language import count_words, ends_sentence, split_sentences
from storyteller.ensemble.drafts import FAILURES, RULES, Writer, writers
from storyteller.ensemble.ranking import Scorer, calibrate
from storyteller.errors import GenerationError
from storyteller.generate import Storyteller, Told
from storyteller.generate.doubt import doubt
from storyteller.runs.console import say
from storyteller.tokens import Request

__all__ = ["Part", "Relayed", "relay"]

Unit = Literal["sentence", "paragraph"]

#: Rules that only a whole story can be held to.
_AT_THE_END = ("length",)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the story, the member that wrote it, and the writing that it was cut from."""

    text: str
    member: str
    writing: Told = field(compare=False)  # its seconds differ each time


@dataclass(frozen=True, slots=True)
class Relayed:
    """A story in the making: its parts, and whether it is over. `total` is the standing among the drafts of its turn."""

    parts: tuple[Part, ...] = ()
    over: bool = False
    total: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The story so far."""
        return "".join(part.text for part in self.parts)

    def told(self, seed: int = 0) -> Told:
        """The story as one that can be saved, under the model that wrote the first part.

        Tokens and seconds are those of the drafts that the parts were cut from.
        """
        written = [part.writing for part in self.parts]
        words = count_words(self.text, written[0].language)
        ended = written[-1].finish_reason
        if ended == "cancelled" and self.over:  # it was cut at the end of a sentence, near the wished length
            ended = "stop"
        tokens, seconds = sum(one.tokens for one in written), sum(one.seconds for one in written)
        return dataclasses.replace(
            written[0], text=self.text, words=words, seed=seed,
            finish_reason=ended if self.over else "cancelled",
            tokens=tokens, seconds=seconds, tokens_per_second=tokens / seconds if seconds else 0.0,
            doubt=doubt(self.text, written[0].form) if self.over else None,
        )  # fmt: skip


def relay(
    tellers: Storyteller | Sequence[Storyteller],
    request: Request,
    scorers: Mapping[str, Scorer],
    *,
    unit: Unit = "sentence",
    drafts: int = 4,
    keep: int = 2,
    most: int = 200,
    seed: int = 0,
    **options: Any,
) -> Relayed:
    """Write a story in which each unit is the best of `drafts`, by members in turn, and return the best of `keep` stories.

    A beam over units: each of the kept stories is carried on by the next members, `drafts` in all, scored as a whole,
    and the `keep` best go on (RankGen's beam: Krishna et al. 2022, arXiv 2205.09726). It ends when the best one is over:
    at a member's own end, or at the wished length, or with Ctrl-C, which keeps the units that are written. A member that
    fails is left out with a message, and the last one that does ends the story where it is. `most` bounds the units,
    `options` are those of `Storyteller.write`.
    """
    members = writers(tellers)
    if not 1 <= keep <= drafts:
        raise GenerationError(
            f"of {drafts} drafts {keep} cannot be kept; keep 1 or more, and no more than are written."
        )
    beams = [Relayed()]
    try:
        for turn in range(most):
            grown = [beam for beam in beams if beam.over]
            going = [beam for beam in beams if not beam.over]
            for number in range(drafts if going else 0):
                beam, place = going[number % len(going)], turn + number
                grown.append(_draft(beam, members, place, request, unit, seed + turn * drafts + number, options))
            # Two drafts may be the same sentence: one of them is enough.
            beams = _best(list({beam.text: beam for beam in grown}.values()), request, scorers, keep)
            if beams[0].over:
                break
    except (KeyboardInterrupt, *FAILURES) as error:
        if not beams[0].parts:
            raise
        say(f"stopped after {len(beams[0].parts)} {unit}s" + (f": {error}" if str(error) else ""))
    return beams[0]


def _draft(
    beam: Relayed,
    members: list[Writer],
    place: int,
    request: Request,
    unit: Unit,
    seed: int,
    options: Mapping[str, Any],
) -> Relayed:
    """The story with one unit more, by the member whose turn it is; one that fails leaves `members`, and the next writes."""
    while True:
        writer = members[place % len(members)]
        try:
            grown = _carry_on(beam, writer, request, unit, seed, options)
            if writer.failure is not None:
                raise writer.failure
            return grown
        except FAILURES as error:
            if len(members) == 1:
                raise
            members.remove(writer)
            say(f"{writer.name} is left out from here on: {error}")


def _carry_on(
    beam: Relayed, writer: Writer, request: Request, unit: Unit, seed: int, options: Mapping[str, Any]
) -> Relayed:
    """The story with one unit more, by one member."""
    story = beam.text
    with writer.alone() as teller:
        asked = _after(request, story)
        writing = teller.write(asked, seed=seed, **options)
        new, over = "", True
        for token in writing:
            if token.id < 0:  # the story so far, which is forced
                continue
            new += token.text
            if end := _unit_end(new, unit, request):
                new, over = new[:end], False
                break
    told = writing.told()
    if over and told.finish_reason == "length" and story and not ends_sentence(new):
        new = ""  # cut in the middle of a sentence: the story ends before it
    if not story and request.before is None:
        new = request.opening.rstrip() + new if request.opening else new.lstrip()
    wished = request.words and count_words(story + new, request.language) >= 0.9 * request.words
    over = over or not new.strip() or bool(wished)
    return Relayed((*beam.parts, Part(new, writer.name, told)), over)


def _after(request: Request, story: str) -> Request:
    """The request with the story so far as what the next words follow."""
    if not story:
        return request
    if request.before is not None:
        return dataclasses.replace(request, before=request.before + story)
    return dataclasses.replace(request, opening=story)


def _unit_end(text: str, unit: Unit, request: Request) -> int | None:
    """Where the first whole unit of `text` ends, when what follows it has begun; None while it is unfinished."""
    lead = len(text) - len(text.lstrip())
    if unit == "paragraph":
        line = text.find("\n", lead)
        return None if line < 0 else line
    body = text[lead:]
    sentences = split_sentences(body, request.language)
    if len(sentences) > 1 and ends_sentence(sentences[0]):
        return lead + len(sentences[0].rstrip())
    line = body.find("\n")
    return None if line <= 0 else lead + line


def _best(beams: Sequence[Relayed], request: Request, scorers: Mapping[str, Scorer], keep: int) -> list[Relayed]:
    texts = [beam.text for beam in beams]
    asked = {**{name: rule for name, rule in RULES.items() if name not in _AT_THE_END}, **scorers}
    raw = {name: [float(value) for value in scorer(texts, request)] for name, scorer in asked.items()}
    members = [beam.parts[-1].member for beam in beams]
    standard = [calibrate(values, members) for values in raw.values()]
    scored = [
        dataclasses.replace(
            beam,
            total=sum(values[place] for values in standard),
            scores={name: values[place] for name, values in raw.items()},
        )
        for place, beam in enumerate(beams)
    ]
    return sorted(scored, key=lambda beam: -beam.total)[:keep]
