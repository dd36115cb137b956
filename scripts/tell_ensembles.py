"""The texts that `compare_ensembles.py` judges, told in large batches, and their coherence.

    python scripts/tell_ensembles.py tell MODEL... --data data/a data/b data/c --out FOLDER --seeds 8 --rows 192
    python scripts/tell_ensembles.py score FOLDER... --out scores.json

`tell` takes prompts from the test split of every `--data` folder, as many from each; a folder's name is its genre. Each
model (an adapter, a run, a merged one, an ensemble's folder) answers each prompt with each seed by the rules of `storyteller
write`, `--rows` texts at once. FOLDER/texts.jsonl grows line by line and is gone on with when it is there already; models
that are told by several processes have a folder each. A system is called by the last part of its model's name.

`score` reads every text of the folders with the coherence scorer, which ranks drafts: a JSON object of log odds by the hash
of the text, null outside the scorer's domain. Both take a GPU if there is one, so that the machine that judges
needs none; that one takes several files of scores.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from storyteller.corpus import read_split
from storyteller.evaluate.collect import collect
from storyteller.evaluate.drafting import WORDS
from storyteller.evaluate.prompts import Prompt, choose_prompts
from storyteller.evaluate.scorer import CoherenceScorer
from storyteller.evaluate.texts import HUMAN, Text, read_texts
from storyteller.runs import read_json, write_json

__all__ = ["ask", "gather", "hash_of", "score"]

#: Texts that are scored between two writings of the file.
SCORED = 1024


def ask(folders: Sequence[Path], count: int, words: int) -> list[Prompt]:
    """`count` prompts from each folder's test split, from every work in turn; the id begins with the genre."""
    found = []
    for folder in folders:
        works: dict[str, list[Prompt]] = defaultdict(list)
        for prompt in choose_prompts(list(read_split(folder, "test")), 10 * count, words=words):
            works[prompt.work].append(replace(prompt, id=f"{folder.name}/{prompt.id}"))
        rounds = itertools.chain.from_iterable(itertools.zip_longest(*works.values()))
        found += list(itertools.islice(filter(None, rounds), count))
    return found


def gather(folders: Sequence[Path]) -> list[Text]:
    """The texts of several collections on the same prompts, people's once, each system by its short name."""
    found: dict[tuple[str, float | None, int | None, str], Text] = {}
    for folder in folders:
        for text in read_texts(folder / "texts.jsonl" if folder.is_dir() else folder):
            name = text.system if text.system == HUMAN else Path(text.system).name
            found.setdefault((name, text.temperature, text.seed, text.prompt_id), replace(text, system=name))
    return list(found.values())


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def score(texts: Sequence[str], path: Path) -> dict[str, float | None]:
    """The coherence of each text, as log odds by its hash; what stands in `path` already is not read again."""
    known: dict[str, float | None] = read_json(path) if path.exists() else {}
    new = [text for text in dict.fromkeys(texts) if hash_of(text) not in known]
    scorer = CoherenceScorer.load() if new else None
    for start in range(0, len(new), SCORED):
        some = new[start : start + SCORED]
        assert scorer is not None
        for text, one in zip(some, scorer.score(some, "en", words=WORDS), strict=True):
            known[hash_of(text)] = round(one.logit, 5) if one.in_domain and math.isfinite(one.logit) else None
        write_json(path, known)
    return known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    tell = commands.add_parser("tell")
    tell.add_argument("models", nargs="+")
    tell.add_argument("--data", nargs="+", type=Path, required=True)
    tell.add_argument("--prompts", type=int, default=40, help="from each folder")
    tell.add_argument("--words", type=int, default=100)
    tell.add_argument("--seeds", type=int, default=1, help="texts of each model to each prompt")
    tell.add_argument("--first", type=int, default=1, help="the first of the seeds")
    tell.add_argument("--temperature", type=float, default=1.0)
    tell.add_argument("--engine", default="auto")
    tell.add_argument("--rows", type=int)
    tell.add_argument("--max-tokens", type=int, help="bound of a text; lower than that of `write` it saves memory")
    tell.add_argument("--out", type=Path, required=True)
    scored = commands.add_parser("score")
    scored.add_argument("folders", nargs="+", type=Path)
    scored.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "score":
        score([text.text for text in gather(options.folders) if text.text.strip()], options.out)
        return
    seeds = range(options.first, options.first + options.seeds)
    collect(
        options.models, ask(options.data, options.prompts, options.words), options.out, seeds=seeds,
        temperatures=(options.temperature,), engine=options.engine, rows=options.rows,
        max_tokens=options.max_tokens,
    )  # fmt: skip


if __name__ == "__main__":
    main()
