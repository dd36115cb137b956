"""Self-BLEU and the search for copied spans, beside nltk and beside plain Python, on the same synthetic stories.

    python benchmarks/text_metrics.py [--stories 500] [--corpus 10] [--sample 10] [--json]

`--stories` stories of 250 words are measured; a tenth of them copies a span of 20 words from a corpus of `--corpus`
megabytes. nltk scores each story against all the others, which is slow, and difflib looks for its longest span in each
text of the corpus, which is slower: `--sample` stories are done by nltk and two by difflib, and the time scaled up. The dict
of all 8-grams finds no span below 8 tokens; ours, as difflib, finds the longest of any length. Values are asserted to be the
same. Seconds are of the processor, on one core.
"""

from __future__ import annotations

import argparse
import difflib
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from storyteller.corpus.story import Story
from storyteller.evaluate.copying import CopyIndex
from storyteller.evaluate.diversity import self_bleu
from storyteller.evaluate.ngrams import words

WORDS, SPAN, LEAST = 250, 20, 8


def synthetic_texts(count: int, length: int, seed: int) -> list[str]:
    """Texts of words whose frequencies fall as in language, by rank (Zipf)."""
    draw = np.random.default_rng(seed)
    spell = random.Random(0)
    vocabulary = np.array(["".join(spell.choices("aeiourstlmnd", k=spell.randrange(2, 8))) for _ in range(20_000)])
    chance = 1 / np.arange(1, len(vocabulary) + 1)
    return [" ".join(row) for row in draw.choice(vocabulary, (count, length), p=chance / chance.sum())]


def with_copies(stories: list[str], corpus: list[str]) -> list[str]:
    """The stories, every tenth with a span of the corpus in its middle."""
    copied = list(stories)
    for i in range(0, len(stories), 10):
        own, source = stories[i].split(), corpus[i % len(corpus)].split()
        copied[i] = " ".join(own[:100] + source[50 : 50 + SPAN] + own[100:])
    return copied


def nltk_self_bleu(tokens: list[list[str]], sample: int) -> list[float]:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction().method1
    return [
        sentence_bleu(tokens[:i] + tokens[i + 1 :], tokens[i], smoothing_function=smooth)
        for i in range(0, len(tokens), max(1, len(tokens) // sample))
    ]


def plain_matches(corpus: list[str], texts: list[str]) -> list[tuple[int, float]]:
    """The longest match of at least 8 tokens and the share of tokens in such matches, for each text."""
    stories = [words(text) for text in corpus]
    places: defaultdict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for number, story in enumerate(stories):
        for start in range(len(story) - LEAST + 1):
            places[tuple(story[start : start + LEAST])].append((number, start))
    found = []
    for text in texts:
        own, longest, inside = words(text), 0, set[int]()
        for start in range(len(own) - LEAST + 1):
            for number, place in places.get(tuple(own[start : start + LEAST]), ()):
                story, length = stories[number], LEAST
                while (
                    start + length < len(own)
                    and place + length < len(story)
                    and own[start + length] == story[place + length]
                ):
                    length += 1
                longest = max(longest, length)
                inside.update(range(start, start + length))
        found.append((longest, len(inside) / len(own)))
    return found


def difflib_longest(corpus: list[str], texts: list[str]) -> list[int]:
    """The longest match of any length, for each text."""
    found = [0] * len(texts)
    for story in map(words, corpus):
        matcher = difflib.SequenceMatcher(None, "", story, autojunk=False)
        for i, text in enumerate(texts):
            matcher.set_seq1(words(text))
            found[i] = max(found[i], matcher.find_longest_match().size)
    return found


def timed(action: Callable[[], Any], runs: int = 1) -> tuple[Any, float]:
    """The result of an action, and the median of its processor seconds."""
    seconds = []
    for _ in range(runs):
        started = time.process_time()
        result = action()
        seconds.append(time.process_time() - started)
    return result, statistics.median(seconds)


def measure_self_bleu(stories: int, sample: int) -> dict[str, Any]:
    tokens = [words(text) for text in synthetic_texts(stories, WORDS, 1)]
    ours, seconds = timed(lambda: self_bleu(tokens), 3)
    theirs, peer = timed(lambda: nltk_self_bleu(tokens, sample))
    assert np.allclose(ours[:: max(1, stories // sample)], theirs, atol=1e-12), "self-BLEU differs from nltk's"
    return {"metric": "self-BLEU-4", "peer": "nltk", "seconds": seconds, "peer_seconds": peer * stories / len(theirs)}


def measure_copying(stories: int, megabytes: float) -> list[dict[str, Any]]:
    corpus = synthetic_texts(max(1, int(megabytes * 1e6 / 5.5 / 2000)), 2000, 2)
    records = [Story(str(i), text, "en", "story", 2000) for i, text in enumerate(corpus)]
    texts = with_copies(synthetic_texts(stories, WORDS, 3), corpus)
    with tempfile.TemporaryDirectory() as folder:
        _, building = timed(lambda: CopyIndex.build(records, Path(folder)))
        index = CopyIndex.build(records, Path(folder))
        matches, asking = timed(lambda: index.longest_matches(texts), 3)
        plain, searching = timed(lambda: plain_matches(corpus, texts))
        few = texts[:2]
        slow, difflib_seconds = timed(lambda: difflib_longest(corpus, few))
    for match, (longest, share) in zip(matches, plain, strict=True):
        assert (match.tokens if match.tokens >= LEAST else 0) == longest, "the longest matches differ"
        assert abs(match.copied - share) < 1e-12, "the shares copied differ"
    assert [match.tokens for match in matches[:2]] == slow, "the longest matches differ from difflib's"
    compared = [
        ("copied spans, index made", "dict of 8-grams", building + asking, searching),
        ("copied spans, index on disk", "dict of 8-grams", asking, searching),
        ("longest span, index made", "difflib", building + asking, difflib_seconds * stories / len(few)),
    ]
    return [dict(zip(("metric", "peer", "seconds", "peer_seconds"), row, strict=True)) for row in compared]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=int, default=500)
    parser.add_argument("--sample", type=int, default=10, help="stories that nltk scores")
    parser.add_argument("--corpus", type=float, default=10.0, help="megabytes of the corpus that may be copied from")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = [measure_self_bleu(arguments.stories, arguments.sample)]
    rows += measure_copying(arguments.stories, arguments.corpus)
    for row in rows:
        row["ratio"] = row["peer_seconds"] / row["seconds"]
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"{arguments.stories} stories of {WORDS} words; a corpus of {arguments.corpus:g} MB\n")
    print("| metric | seconds | peer | its seconds | ratio |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['metric']} | {row['seconds']:.2f} | {row['peer']} | {row['peer_seconds']:.1f} | {row['ratio']:.1f} |"
        )


if __name__ == "__main__":
    main()
