"""The critic that comes with the package: heads on the frozen states of the base, for passages that nobody asked for.

    plain words -> parts of whole sentences -> states (one pass of the base) -> heads -> realism, and that without a sentence

It learned to tell passages of published stories from what the shipped storyteller writes in their place; its card is in
`weights/`. `scripts/train_critic.py` makes it. `numbers` turns its realism into a percentile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from storyteller.adversarial.critic import Critic, Read
from storyteller.adversarial.using import Judgement, hear
from storyteller.corpus.language import split_sentences
from storyteller.errors import DataError, ModelError
from storyteller.models import DEFAULT_BASE, locate
from storyteller.models.features import Reader, sentence_passage
from storyteller.recipe.models import CriticRecipe
from storyteller.runs import read_json, write_json
from storyteller.runs.files import write_atomic

__all__ = ["LAYERS", "PART", "SHIPPED", "PassageCritic", "plain"]

SHIPPED = Path(__file__).with_name("weights")
"""The critic and its calibration that come with the package, and the card that says what they were made from."""
PART = 192
"""Tokens of a part at most, unless one sentence is longer: about 150 words, as long as what the critic learned from."""
LAYERS = (10, 20, 30)
LONGEST = 512
"""Tokens of one sentence that are read; a longer one is no prose."""

_BREAKS = re.compile(r"\s*(?:[;:]|\s-+\s|--+|[–—]+)\s*|\.{2,}\s*|…\s*")
_DROPPED = re.compile(r"[\"“”„«»*_#`~()\[\]<>|]|(?<!\w)['‘’]|['‘’](?!\w)")


def plain(text: str) -> str:
    """`text` in one line with a comma for every break within a sentence and a full stop or question mark after it.

    The critic shall judge words. How a book was set or a model was prompted shows in quotation marks, dashes, semicolons
    and exclamation marks, so both lose them before either is read.
    """
    while (again := _once(text)) != text:  # what is dropped may bring together what is dropped, too
        text = again
    return text


def _once(text: str) -> str:
    text = _DROPPED.sub("", text.replace("!", "."))
    text = _BREAKS.sub(", ", text).replace("’", "'").replace("‘", "'")
    text = " ".join(text.split())
    text = re.sub(r"\s+([,.?])", r"\1", text)
    return re.sub(r",+(?=[.?])|(?<=[.?,]),+", "", text).lstrip(",.? ")


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of sentences as read: their places among the text's sentences, and where each begins, in tokens."""

    places: tuple[int, ...]
    read: Read


class PassageCritic:
    """The critic of a folder, on a reader that gives the hidden states of its layers; English only."""

    def __init__(self, reader: Reader, critic: Critic) -> None:
        self.reader, self.critic = reader, critic.eval()

    @classmethod
    def load(cls, folder: Path = SHIPPED, reader: Reader | None = None) -> PassageCritic:
        """The critic in `folder` (`critic.safetensors`, `critic.json`), on the base that it was made on.

        A `reader` of that base saves loading it again; its layers do not matter. Raises `ModelError` when the folder is
        no critic or was made on another base.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            card = read_json(folder / "critic.json")
            tensors = load_file(folder / "critic.safetensors")
            width, layers = int(card["width"]), tuple(card["layers"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{folder} holds no critic ({error}). Make one with scripts/train_critic.py, or leave the folder out to "
                "take the one that comes with the package."
            ) from error
        if reader is None:
            reader = Reader.open(locate(DEFAULT_BASE), layers, likelihoods=False)
        try:
            reader = Reader(reader.model, reader.tokenizer, layers, likelihoods=False)
        except DataError as error:
            raise ModelError(f"The critic in {folder} was made on {card['base']}, another model. {error}") from error
        critic = Critic(reader.width, len(layers), CriticRecipe(width=width), 1, layers)
        mine = {name: value.float() for name, value in tensors.items()}
        if mine["projection"].shape != critic.projection.shape:
            raise ModelError(f"The critic in {folder} was made on {card['base']}, whose states have another width.")
        critic.load_state_dict(mine, strict=False)  # the heads for coherence are not kept: nobody asks them
        return cls(reader, critic)

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """Write heads and card to `folder`; arrays in float16."""
        from safetensors.torch import save

        kept = {
            name: value.detach().half().contiguous()
            for name, value in self.critic.state_dict().items()
            if not name.startswith("coherence.")
        }
        write_atomic(folder / "critic.safetensors", save(kept))
        width = self.critic.projection.shape[-1]
        write_json(folder / "critic.json", {"width": width, "layers": list(self.reader.layers)} | card)

    def judge(self, texts: Sequence[str]) -> list[Judgement]:
        """The judgement of each English text; raises `DataError` for one without a word.

        `sentences` are the text's own, which together are the text; one without a word changes nothing. `coherence` is
        not judged: NaN.
        """
        return [self._judge(parts, sentences) for parts, sentences in self._read(texts)]

    def beginnings(self, texts: Sequence[str], lengths: Sequence[Sequence[int]]) -> list[list[Judgement]]:
        """For each text the judgements of its beginnings: whole sentences of at most so many tokens, at least the first.

        For calibration; `sentences` and `without` are left out.
        """
        found = []
        for (parts, _), most in zip(self._read(texts), lengths, strict=True):
            reads = [part.read for part in parts]
            cut = [_cut(reads, length) for length in most]
            found.append([self._sum(part, hear(self.critic, part, each=False).realism) for part in cut])
        return found

    def reads(self, texts: Sequence[str]) -> list[list[Read]]:
        """The parts of each text as the heads take them."""
        return [[part.read for part in parts] for parts, _ in self._read(texts)]

    def _read(self, texts: Sequence[str]) -> Iterator[tuple[list[_Part], list[str]]]:
        """Of each text its parts and all of its sentences, those without a word too."""
        cut = [split_sentences(text, "en") for text in texts]
        grouped = [list(self._parts(sentences)) for sentences in cut]
        if empty := next((text for text, parts in zip(texts, grouped, strict=True) if not parts), None):
            raise DataError(f"there is nothing to judge: {empty[:20]!r} has no word.")
        if not all(grouped):
            raise DataError("there is nothing to judge: the text is empty.")
        passages = [sentence_passage(self.reader.tokenizer, words) for parts in grouped for _, words in parts]
        states: dict[int, Read] = {}
        for index, reading in self.reader.read(passages):
            states[index] = Read(self.critic.project(list(reading.hidden)), tuple(reading.ends))
        reads = iter(states[index] for index in range(len(passages)))
        for parts, sentences in zip(grouped, cut, strict=True):
            yield [_Part(places, next(reads)) for places, _ in parts], sentences

    def _parts(self, sentences: Sequence[str]) -> Iterator[tuple[tuple[int, ...], list[str]]]:
        """The places and plain words of the sentences of each part: as many as fit, from the start on.

        So a beginning of a text has the parts of the text, but for its last one.
        """
        places: list[int] = []
        words: list[str] = []
        tokens = 0
        for place, sentence in enumerate(sentences):
            said = plain(sentence)
            if not any(map(str.isalnum, said)):
                continue
            length = len(self.reader.tokenizer.encode(" " + said))
            if length > LONGEST:
                said = self.reader.tokenizer.decode(self.reader.tokenizer.encode(said)[:LONGEST])
            if words and tokens + length > PART:
                yield tuple(places), words
                places, words, tokens = [], [], 0
            places.append(place)
            words.append(said + " ")
            tokens += length
        if words:
            yield tuple(places), words

    def _judge(self, parts: Sequence[_Part], sentences: Sequence[str]) -> Judgement:
        reads = [part.read for part in parts]
        voices = hear(self.critic, reads)
        places = [place for part in parts for place in part.places]
        changes = dict(zip(places, voices.changes, strict=True))
        without = dict(zip(places, voices.without, strict=True))
        return replace(
            self._sum(reads, voices.realism),
            sentences=tuple((sentence, changes.get(place, 0.0)) for place, sentence in enumerate(sentences)),
            without=tuple(without.get(place, voices.realism) for place in range(len(sentences))),
        )

    def _sum(self, reads: Sequence[Read], realism: float) -> Judgement:
        tokens = sum(read.ends[-1] for read in reads)
        shares = torch.tensor([[read.ends[-1] / tokens] for read in reads])
        place = (self.critic.places(reads) * shares).sum(0)
        return Judgement(realism, float("nan"), (), tokens, tuple(place.tolist()))


def _cut(reads: Sequence[Read], most: int) -> list[Read]:
    """The first sentences of at most `most` tokens, at least one of them."""
    kept: list[Read] = []
    for read in reads:
        ends = [end for end in read.ends if end <= most] or ([] if kept else [read.ends[0]])
        kept += [read.cut(ends)] if ends else []
        most -= read.ends[-1]
        if len(ends) < len(read.ends):
            break
    return kept
