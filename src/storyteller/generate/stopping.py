"""Where a story stops: at the model's own end, or at the end of a sentence near the wished length."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Literal

from storyteller.corpus.language import count_words, ends_sentence
from storyteller.corpus.story import Language

__all__ = ["ByteDecoder", "FinishReason", "Length"]

FinishReason = Literal["stop", "length", "context", "cancelled"]

#: Shares of the wished length: no end before the first, whole sentences from the second, the first sentence end from
#: the third (quotes closed, up to the fourth), an end in any case at the last.
NO_END, WHOLE_SENTENCES, MAY_END, QUOTES_OPEN, MUST_END = 0.6, 0.75, 0.9, 1.15, 1.3

_CLOSERS = "\"'”’»)]」』）】》*_"
_PAIRS = ("“”", "「」", "『』", "《》")


class ByteDecoder:
    """Bytes to text, piece by piece; the bytes of an unfinished character are kept until the rest of it comes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, data: bytes) -> str:
        """The characters that `data` completes."""
        return self._decoder.decode(data)


@dataclass
class Length:
    """Follows a growing story and says how far it is; `words` are the wished words or 字, `None` for no wish.

    `tokens` is a bound that holds in any case. With `exact` it is no wish: no sentence is held back or ended early for it.
    """

    language: Language
    words: int | None
    tokens: int
    exact: bool = False
    _settled: int = field(default=0, init=False)
    _paragraph: str = field(default="", init=False)
    _line: str = field(default="", init=False)
    fed: int = field(default=0, init=False)

    def feed(self, text: str, tokens: int = 1) -> None:
        """Count `text`, which `tokens` tokens add to the story."""
        self.fed += tokens
        self._paragraph += text
        # Counted anew is only the paragraph that still grows: the cost of a token does not rise with the story.
        if "\n" in text:
            done, _, self._paragraph = self._paragraph.rpartition("\n")
            self._settled += count_words(done, self.language)
            self._line = next((line for line in reversed(done.splitlines()) if line.strip()), self._line)

    @property
    def written(self) -> int:
        """The words or 字 so far."""
        return self._settled + count_words(self._paragraph, self.language)

    @property
    def share(self) -> float:
        """How much of the wished length is written; the bound on tokens counts as 130 % of a wish."""
        by_words = self.written / self.words if self.words else 0.0
        return by_words if self.exact else max(by_words, MUST_END * self.fed / self.tokens)

    @property
    def too_short_to_end(self) -> bool:
        """Whether the model's own end comes too early."""
        return self.words is not None and self.written < NO_END * self.words

    @property
    def holds_sentences(self) -> bool:
        """Whether a sentence is to be shown only when it is whole, because the story may have to end before it."""
        return self.share >= WHOLE_SENTENCES

    @property
    def exceeded(self) -> bool:
        """Whether the story must end now, wherever it is."""
        return self.fed >= self.tokens or self.share >= MUST_END

    def sentence_ended(self, following: str | None) -> bool:
        """Whether the text so far ends a sentence, given the next token's text (`None`: the model's own end)."""
        if not self._paragraph.strip():
            # A name over a speech or a heading is a line and no sentence.
            return ends_sentence(self._line)
        text = self._paragraph
        if not ends_sentence(text):
            return False
        if following is None or following[:1] == "\n":
            return True
        if following[:1] in _CLOSERS or following[:1] in ".!?…。！？":
            return False
        return self.language == "zh" or text[-1].isspace() or following[:1].isspace()

    def may_end(self, following: str | None) -> bool:
        """Whether the story can end here: near the wished length, a sentence over and its quotes closed."""
        share = self.share
        if share < MAY_END or not self.sentence_ended(following):
            return False
        return share >= QUOTES_OPEN or not _in_quotes(self._paragraph)


def _in_quotes(paragraph: str) -> bool:
    opened = any(paragraph.count(pair[0]) > paragraph.count(pair[1]) for pair in _PAIRS)
    return opened or paragraph.count('"') % 2 == 1
