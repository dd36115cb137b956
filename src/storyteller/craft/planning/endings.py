"""Where a beat ends: the first at its own length within a longer story, the last where the model itself would end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from storyteller.corpus.language import count_words, ends_sentence
from storyteller.corpus.story import Language

__all__ = ["Landing", "Until"]


@dataclass(frozen=True)
class Until:
    """A constraint that ends a text with the first sentence from nine tenths of `words` on."""

    words: int
    language: Language

    def banned(self, story: str, written: str) -> Collection[int]:
        """Nothing."""
        return ()

    def over(self, story: str, written: str) -> bool:
        """Whether the text is long enough and a sentence of it over, its quotes closed."""
        written_words = count_words(written, self.language)
        if written_words < 0.9 * self.words or not ends_sentence(written):
            return False
        last = written.rsplit("\n", 1)[-1]
        closed = last.count('"') % 2 == 0 and last.count("“") <= last.count("”")
        return closed or written_words > 1.2 * self.words


@dataclass
class Landing:
    """Finds the end of the last beat: of its sentence ends the one after which the model most wanted to stop.

    Every token tells the likeliest alternatives to itself; one of `stops` is among them where the end was likely. The
    text is cut there if that is after three fifths of its length, else it stands as it is.
    """

    stops: Collection[int]
    _ends: list[tuple[int, float]] = field(default_factory=list)
    _length: int = 0

    def feed(self, token: Any) -> None:
        """Follow the text by one token."""
        wanted = sum(other.probability for other in getattr(token, "alternatives", ()) if other.id in self.stops)
        if wanted:
            self._ends.append((self._length, wanted))
        self._length += len(token.text)

    def cut(self, text: str, words: int, language: Language) -> str:
        """The text up to its best end."""
        likely = [
            (probability, place)
            for place, probability in self._ends
            if probability >= 0.02
            and ends_sentence(text[:place])
            and count_words(text[:place], language) >= 0.6 * words
        ]
        return text[: max(likely)[1]] if likely else text
