"""Is the order of a story its own? How often a fault put into a text is noticed, which says how much the text coheres.

A text whose sentences may stand in any order loses nothing by shuffling, so a scorer that notices a shuffled human story
does not notice its own. The figures of a system are therefore read against those of human texts of the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storyteller.corpus import Story, count_words, split_sentences
from storyteller.corpus.corruption import Fault, corrupt
from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval, ratio_interval
from storyteller.evaluate.scorer import CoherenceScorer
from storyteller.tokens.names import characters

__all__ = ["Detection", "beginning", "detect_faults"]

FAULTS: tuple[Fault, ...] = ("shuffle", "splice", "names")
LEAST = 10


@dataclass(frozen=True, slots=True)
class Detection:
    """Whether each text was preferred to its version with `fault`: 1, 0, or 0.5 for a tie.

    `texts` are the indices of the texts that had room for the fault. `by_scorer` compares the learned scorer's logits,
    `by_likelihood` the base model's log-likelihood a token.
    """

    fault: Fault
    texts: tuple[int, ...]
    by_scorer: tuple[float, ...]
    by_likelihood: tuple[float, ...]

    def accuracy(self, works: Sequence[str], *, likelihood: bool = False) -> Interval:
        """The share of faults noticed, with its interval over the `works` of all texts; 0.5 is chance."""
        won = self.by_likelihood if likelihood else self.by_scorer
        return ratio_interval(won, [1.0] * len(won), [works[index] for index in self.texts])


def detect_faults(
    scorer: CoherenceScorer,
    texts: Sequence[str],
    language: Language = "en",
    *,
    faults: Sequence[Fault] = FAULTS,
    words: int = 150,
    seed: int = 0,
) -> dict[Fault, Detection]:
    """Put each fault into the first `words` words of each text, and ask which of the two is preferred.

    Compare systems, or a system with people, at the same `words`. Splices take the text after next in the list. Raises
    `DataError` where fewer than ten texts have room for a fault, and for a language that the scorer does not know.
    """
    starts = [beginning(text, language, words) for text in texts]
    pairs: list[tuple[Fault, int, str]] = []
    for fault in faults:
        made = [_faulty(starts, index, fault, language, seed) for index in range(len(starts))]
        found = [(fault, index, text) for index, text in enumerate(made) if text is not None]
        if len(found) < LEAST:
            raise DataError(
                f"{len(found)} of {len(texts)} texts have room for the fault {fault!r}; {LEAST} are the least."
            )
        pairs += found
    needed = sorted({index for _, index, _ in pairs})
    scores = scorer.score([starts[index] for index in needed] + [text for _, _, text in pairs], language)
    whole = dict(zip(needed, scores, strict=False))
    results = {}
    for fault in faults:
        own = [(i, whole[i], s) for (f, i, _), s in zip(pairs, scores[len(needed) :], strict=True) if f == fault]
        read = [(i, a, b) for i, a, b in own if a.logit == a.logit and b.logit == b.logit]
        if len(read) < LEAST:
            why = next((a.why_not or b.why_not for _, a, b in own), "")
            raise DataError(f"The scorer could read {len(read)} of {len(own)} texts ({why}); {LEAST} are the least.")
        results[fault] = Detection(
            fault,
            tuple(i for i, _, _ in read),
            tuple(_won(a.logit, b.logit) for _, a, b in read),
            tuple(_won(a.log_likelihood, b.log_likelihood) for _, a, b in read),
        )
    return results


def beginning(text: str, language: Language, words: int) -> str:
    """The first sentences of `text` with at most `words` words (字) together, at least one sentence."""
    taken: list[str] = []
    left = words
    for sentence in split_sentences(text, language):
        left -= count_words(sentence, language)
        if taken and left < 0:
            break
        taken.append(sentence)
    return "".join(taken).rstrip()


def _faulty(texts: Sequence[str], index: int, fault: Fault, language: Language, seed: int) -> str | None:
    text, other = texts[index], texts[(index + 2) % len(texts)]
    if len(split_sentences(text, language)) < 4 or other == text:
        return None
    story = Story(str(index), text, language, "story", count_words(text, language))
    names = [person.name for person in characters(story)] if fault == "names" else []
    made = corrupt(text, fault, language, seed=seed + index, other=other, names=names)
    return made.text if made else None


def _won(whole: float, faulty: float) -> float:
    return float(whole > faulty) + 0.5 * (whole == faulty)
