"""Sentence embeddings, computed once: story embeddings, the embedding judge, MAUVE, KID, Vendi and relevance share them.

For English the small all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), where its weights are in the cache
(`storyteller models pull all-minilm-l6-v2`): evaluation fetches nothing. For Chinese, and without the weights, latent
semantic analysis of character n-grams (Deerwester et al. 1990), fitted on the texts at hand: it knows which characters
go together in these texts and nothing else, and its figures compare only within one call. Every result names its embedder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import split_sentences
from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.matching import normalise
from storyteller.models.entries import EMBEDDER, entry_named
from storyteller.runs.console import progress
from storyteller.runs.files import write_atomic

__all__ = ["Embedded", "Embedder", "MiniLM", "choose_embedder", "embed_sentences", "judge_features", "story_embeddings"]

Floats = NDArray[np.float32]

LSA = "latent semantic analysis"
_DIMENSIONS = 128  # of latent semantic analysis
_TOKENS = 128  # a sentence's first 128 tokens are read; under 1 in 1,000 sentences of stories has more
_BATCH_TOKENS = 4096


class Embedder(Protocol):
    """What turns sentences into vectors of length 1; `name` stands in every result."""

    name: str

    def embed(self, sentences: Sequence[str]) -> Floats:
        """The vectors [sentences, dimensions]."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """The sentence embeddings of texts: `sentences[i]` is [sentences of text i, dimensions], each of length 1."""

    embedder: str
    sentences: list[Floats]


def embed_sentences(
    texts: Sequence[str],
    language: Language,
    embedder: Embedder | None = None,
    cache: Path | None = None,
    *,
    punctuation: bool = True,
) -> Embedded:
    """The embedding of every sentence of every text; a sentence that occurs twice is computed once.

    `cache` is a safetensors file that is read and extended, so that later figures cost nothing; latent semantic analysis
    is never kept, since it depends on the other texts. Texts are normalised first (`matching.normalise`); without
    `punctuation` each sentence loses its marks once it is cut, and a vector is kept under the words that were embedded,
    so that one with marks never stands for one without. Raises `DataError` for a text without a sentence.
    """
    if not texts:
        raise DataError("there is no text to embed.")
    split = [
        [plain for part in split_sentences(normalise(text), language) if (plain := normalise(part, punctuation))]
        for text in texts
    ]
    if empty := [number for number, sentences in enumerate(split) if not sentences]:
        raise DataError(f"text {empty[0] + 1} has no sentence to embed; leave out empty texts first.")
    unique = list(dict.fromkeys(sentence for sentences in split for sentence in sentences))
    chosen = embedder or choose_embedder(language)
    if chosen is None:
        name, vectors = LSA, _latent(unique)
    else:
        name, vectors = chosen.name, _cached(unique, chosen, cache)
    row = {sentence: number for number, sentence in enumerate(unique)}
    return Embedded(name, [vectors[[row[sentence] for sentence in sentences]] for sentences in split])


def choose_embedder(language: Language) -> Embedder | None:
    """The best embedder for a language whose weights are in the cache; None stands for latent semantic analysis."""
    return MiniLM() if language == "en" and entry_named(EMBEDDER).installed else None


def story_embeddings(embedded: Embedded) -> Floats:
    """One vector of length 1 a text [texts, dimensions]: the direction of the mean of its sentences."""
    return _unit(np.array([sentences.mean(0) for sentences in embedded.sentences], np.float32))


def judge_features(embedded: Embedded) -> Floats:
    """What the embedding judge sees of a text: mean and spread of its sentences, and how alike neighbours are.

    Shape [texts, 2 x dimensions + 3]; a text of one sentence has no spread and neighbours of similarity 1.
    """
    rows = []
    for sentences in embedded.sentences:
        near = (sentences[1:] * sentences[:-1]).sum(1) if len(sentences) > 1 else np.ones(1, np.float32)
        ends = sentences[0] @ sentences[-1]
        rows.append(np.concatenate([sentences.mean(0), sentences.std(0), [near.mean(), near.std(), ends]]))
    return np.array(rows, np.float32)


class MiniLM:
    """all-MiniLM-L6-v2 on the processor or GPU, in bfloat16 where that is faster."""

    name = EMBEDDER

    def __init__(self, folder: Path | None = None) -> None:
        """Load the weights from `folder`, else from the cache, fetching them into it when they are not there yet."""
        import torch
        from tokenizers import Tokenizer
        from transformers import BertModel

        from storyteller.models import locate
        from storyteller.models.precision import resolve_precision
        from storyteller.models.quiet import quiet

        folder = folder or locate(EMBEDDER).folder
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        precision = resolve_precision("auto")[0]
        with quiet():
            model: Any = BertModel.from_pretrained(
                folder,
                add_pooling_layer=False,
                dtype=getattr(torch, precision),
                attn_implementation="sdpa",
                local_files_only=True,
                use_safetensors=True,
            )
        self._model = model.to(self._device).eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_TOKENS)

    def embed(self, sentences: Sequence[str]) -> Floats:
        """The mean of the token vectors of each sentence, of length 1 [sentences, 384].

        Batches are of sentences of about one length, so that little is padded.
        """
        import torch

        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(sentences))]
        order = sorted(range(len(ids)), key=lambda number: len(ids[number]), reverse=True)
        vectors = np.empty((len(ids), self._model.config.hidden_size), np.float32)
        with torch.inference_mode(), progress(len(ids), "embedding sentences") as advance:
            start = 0
            while start < len(order):
                batch = order[start : start + max(1, _BATCH_TOKENS // len(ids[order[start]]))]
                vectors[batch] = self._mean_pooled([ids[number] for number in batch])
                start += len(batch)
                advance(len(batch))
        return _unit(vectors)

    def _mean_pooled(self, batch: Sequence[Sequence[int]]) -> Floats:
        import torch

        longest = len(batch[0])
        padded = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in batch], device=self._device)
        mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in batch], device=self._device)
        hidden = self._model(input_ids=padded, attention_mask=mask).last_hidden_state.float()
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return np.asarray(pooled.cpu().numpy(), np.float32)


def _latent(sentences: Sequence[str]) -> Floats:
    """Latent semantic analysis of character 1-3-grams (TF-IDF, truncated SVD) fitted on the sentences themselves."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        counts = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True, max_features=50_000)
        matrix = counts.fit_transform(sentences)
    except ValueError:
        raise DataError(f"{len(sentences)} sentences share no characters; there is too little text to embed.") from None
    dimensions = min(_DIMENSIONS, min(matrix.shape) - 1)
    if dimensions < 2:
        raise DataError(f"{len(sentences)} sentences are too few to fit an embedding on; take more texts.")
    vectors = TruncatedSVD(dimensions, random_state=0).fit_transform(matrix)
    return _unit(vectors.astype(np.float32))


def _cached(sentences: Sequence[str], embedder: Embedder, path: Path | None) -> Floats:
    """The vectors of the sentences, those from `path` where it has them; what it lacked is added to it."""
    keys = [hashlib.sha256(sentence.encode()).hexdigest()[:24] for sentence in sentences]
    known, old = _read(path, embedder.name) if path is not None else ({}, np.empty((0, 0), np.float16))
    missing = [number for number, key in enumerate(keys) if key not in known]
    if not missing:
        return old[[known[key] for key in keys]].astype(np.float32)
    new = embedder.embed([sentences[number] for number in missing]).astype(np.float16)
    vectors = np.concatenate([old, new]) if len(old) else new
    known |= {keys[number]: len(old) + place for place, number in enumerate(missing)}
    if path is not None:
        from safetensors.numpy import save

        notes = {"embedder": embedder.name, "keys": json.dumps(list(known))}
        write_atomic(path, save({"vectors": vectors}, metadata=notes))
    # Whether they come from the cache or not, vectors have 16 bits, so that a figure does not depend on the cache.
    return vectors[[known[key] for key in keys]].astype(np.float32)


def _read(path: Path, embedder: str) -> tuple[dict[str, int], NDArray[np.float16]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            notes = file.metadata() or {}
            if notes.get("embedder") == embedder:
                keys = json.loads(notes["keys"])
                return {key: number for number, key in enumerate(keys)}, file.get_tensor("vectors")
    except (OSError, SafetensorError, KeyError, ValueError):
        pass  # a cache that cannot be read is made anew
    return {}, np.empty((0, 0), np.float16)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)
