"""What the lab knows of a text alone, as scorers that rank drafts: critic, coherence, repetition, ending, copying.

`ensemble` ranks by functions that are passed in, since it may not know what a good text is; these are those functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus import read_split
from storyteller.corpus.language import count_words, split_sentences
from storyteller.corpus.story import Language
from storyteller.ensemble.ranking import Scorer, overlap
from storyteller.errors import DataError
from storyteller.evaluate.copying import CopyIndex
from storyteller.evaluate.degeneration import degeneration
from storyteller.evaluate.embedding import choose_embedder, embed_sentences, story_embeddings
from storyteller.models import DEFAULT_BASE
from storyteller.models.entries import entry_named
from storyteller.tokens import Request

__all__ = ["draft_scorers", "draft_similarity"]

#: Words of a draft that the coherence scorer reads: with more, ranking takes longer than it is worth.
WORDS = 100


def draft_scorers(
    language: Language | None,
    *,
    coherence: bool = True,
    critic: Path | None = None,
    corpus: Path | None = None,
    last: bool = False,
) -> dict[str, Scorer]:
    """Scorers for drafts in a language (None: each in that of its request), by name; higher is better, NaN: cannot tell.

    `repetition` and `ending` are always there. `coherence` is the learned scorer, where it knows the language and its
    base model is in the cache; it reads a text's first hundred words, or with `last` its last, for texts that grow.
    `critic` is the folder of a refinement, whose critic tells people's texts from a model's; `corpus` a prepared folder
    in whose train split copied passages are looked for. Raises `DataError` and `ModelError` for a folder that is none
    of these.
    """
    found: dict[str, Scorer] = {"repetition": _repetition, "ending": _ending}
    if coherence and language in ("en", None) and entry_named(DEFAULT_BASE).installed:
        found["coherence"] = _coherence(last)
    if critic is not None:
        found["critic"] = _critic(critic)
    if corpus is not None:
        found["copying"] = _copying(corpus, language)
    return found


def draft_similarity(language: Language) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """How alike texts are, `[n, n]` in 0..1: by meaning where the embedder is in the cache, else by common words."""
    embedder = choose_embedder(language)
    if embedder is None:
        return overlap

    def alike(texts: Sequence[str]) -> NDArray[np.float64]:
        if not all(text.strip() for text in texts):  # an empty one has no meaning
            return overlap(texts)
        vectors = story_embeddings(embed_sentences(texts, language, embedder)).astype(np.float64)
        return np.clip(vectors @ vectors.T, 0, 1)

    return alike


def _repetition(texts: Sequence[str], request: Request) -> list[float]:
    return [-one.rep_4 - one.loop_share for one in degeneration(texts, request.language)]


def _ending(texts: Sequence[str], request: Request) -> list[float]:
    return [float(one.finished) for one in degeneration(texts, request.language)]


def _coherence(last: bool) -> Scorer:
    from storyteller.evaluate.scorer import CoherenceScorer

    scorer = CoherenceScorer.load()

    def score(texts: Sequence[str], request: Request) -> list[float]:
        if request.language != "en":
            return [float("nan")] * len(texts)
        # Outside its domain the number is there and means nothing.
        if last:
            read = scorer.score([_end(text) for text in texts], request.language)
        else:
            read = scorer.score(texts, request.language, words=WORDS)
        return [one.logit if one.in_domain else float("nan") for one in read]

    return score


def _end(text: str) -> str:
    """The last sentences of an English text that hold `WORDS` words, or all of it where it has fewer."""
    sentences, words = split_sentences(text[-10 * WORDS :], "en"), 0  # the bound is for a sentence without an end
    for place in reversed(range(len(sentences))):
        words += count_words(sentences[place], "en")
        if words >= WORDS:
            return "".join(sentences[place:])
    return text[-10 * WORDS :]


def _critic(folder: Path) -> Scorer:
    from storyteller.adversarial.using import StoryCritic

    critic = StoryCritic.load(folder)

    def score(texts: Sequence[str], request: Request) -> list[float]:
        return [_realism(critic, request, text) for text in texts]

    def _realism(critic: StoryCritic, request: Request, text: str) -> float:
        try:
            (judgement,) = critic.judge(request, [text])
        except DataError:  # no word in it
            return float("nan")
        return judgement.realism

    return score


def _copying(folder: Path, language: Language | None) -> Scorer:
    index = CopyIndex.build(story for story in read_split(folder, "train") if language in (None, story.language))

    def score(texts: Sequence[str], request: Request) -> list[float]:
        return [-match.copied for match in index.longest_matches(texts)]

    return score
