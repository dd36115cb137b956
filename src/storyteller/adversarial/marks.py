"""Where the sentences of a story end, counted in its tokens; the same for human and drawn stories.

Both are treated alike: cut at the same number of tokens, judged only up to their last sentence end, without the token
that ends the story. So neither a cut-off sentence nor a stop token can tell one from the other.
"""

from __future__ import annotations

import codecs
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from storyteller.corpus.language import ends_sentence, split_sentences
from storyteller.corpus.story import Language
from storyteller.tokens import StoryTokenizer

__all__ = ["Marks", "matched", "sentence_marks"]


@dataclass(frozen=True, slots=True)
class Marks:
    """A story's text up to its last sentence end, and the token index past each sentence; the last one is its length.

    `ended` is false where no sentence ends: then all of the text counts as one. `ends` is empty for an empty story.
    """

    text: str
    ends: tuple[int, ...]
    ended: bool


def sentence_marks(ids: Sequence[int], tokenizer: StoryTokenizer, language: Language) -> Marks:
    """The marks of a story's ids; a control token ends what is counted."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, reached = "", []
    for index in ids:
        if tokenizer.is_special(index):
            break
        text += decoder.decode(tokenizer.token_bytes(index))
        reached.append(len(text))
    if not text.strip():
        return Marks("", (), False)
    ends: list[int] = []
    place = length = 0
    for sentence in split_sentences(text, language):
        body = sentence.rstrip()
        if ends_sentence(body) or "\n" in sentence[len(body) :]:
            length = place + len(body)
            # The token that completes the sentence; one token may complete two.
            end = bisect_left(reached, length) + 1
            ends += [end] if not ends or end > ends[-1] else []
        place += len(sentence)
    if not ends:
        return Marks(text, (len(reached),), False)
    return Marks(text[:length], tuple(ends), True)


def matched(one: Sequence[int], other: Sequence[int]) -> tuple[list[int], list[int]]:
    """The sentence ends of two stories within the length that both have; each keeps at least its first."""
    budget = min(one[-1], other[-1])
    return [end for end in one if end <= budget] or [one[0]], [end for end in other if end <= budget] or [other[0]]
