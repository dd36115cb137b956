"""Recall of the right scene for held-out sentences: `craft.retrieval` beside plain substring search.

From each story of examples/stories four sentences of 8 to 40 words (字) are taken out, and each is asked for: is the story
that it was taken from the first, or among the first three? The substring search ranks scenes by how many of the sentence's
words (in Chinese, pairs of characters) they contain.

    python benchmarks/retrieval.py [--embed]
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from storyteller.corpus import Language, count_words, split_sentences
from storyteller.corpus.language import words_of
from storyteller.corpus.preparation import to_story
from storyteller.corpus.read import read_file
from storyteller.craft.retrieval import Index, related
from storyteller.evaluate.embedding import choose_embedder

EXAMPLES = Path(__file__).parents[1] / "examples" / "stories"


def held_out(language: Language) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The stories less the sentences that are asked for, and those: (story, sentence)."""
    chance = random.Random(1)
    scenes: dict[str, str] = {}
    queries: list[tuple[str, str]] = []
    for path in sorted((EXAMPLES / language).iterdir()):
        for piece in read_file(path, advance=lambda _: None, say=lambda _: None):
            story = to_story(piece)  # type: ignore[arg-type]
            if story is None or story.language != language:
                continue
            sentences = split_sentences(story.text, language)
            good = [place for place, one in enumerate(sentences) if 8 <= count_words(one, language) <= 40]
            asked = set(chance.sample(good, min(4, len(good))))
            queries += [(path.stem, sentences[place].strip()) for place in sorted(asked)]
            scenes[path.stem] = "".join(one for place, one in enumerate(sentences) if place not in asked)
    return scenes, queries


def by_substring(query: str, scenes: dict[str, str], language: Language) -> list[str]:
    units = set(words_of(query.lower())) if language == "en" else {query[at : at + 2] for at in range(len(query) - 1)}
    return sorted(scenes, key=lambda name: -sum(unit in scenes[name].lower() for unit in units))[:3]


def recall(found: list[tuple[str, list[str]]]) -> tuple[float, float]:
    """The share that is first, and the share that is among three."""
    first = sum(names[:1] == [name] for name, names in found)
    return first / len(found), sum(name in names for name, names in found) / len(found)


def main(embed: bool) -> None:
    for language in ("en", "zh"):
        scenes, queries = held_out(language)
        began = time.perf_counter()
        index = Index(choose_embedder(language) if embed else None)
        for name, text in scenes.items():
            index.put(name, text, language)
        built = time.perf_counter()
        ours = recall([(name, [one.source for one in related(query, index, 3)]) for name, query in queries])
        asked = (time.perf_counter() - built) / len(queries)
        plain = recall([(name, by_substring(query, scenes, language)) for name, query in queries])
        print(
            f"{language}: {len(queries)} sentences, {len(scenes)} scenes, {len(index)} passages; related "
            f"{ours[0]:.2f} first, {ours[1]:.2f} in three; substring {plain[0]:.2f} first, {plain[1]:.2f} in three; "
            f"indexed in {built - began:.2f} s, {1000 * asked:.2f} ms a query"
        )


if __name__ == "__main__":
    main("--embed" in sys.argv[1:])
