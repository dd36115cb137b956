"""How the shipped coherence scorer agrees with people: prints a Markdown table.

    python scripts/judge_scorer.py JUDGED_FOLDER [--scorer FOLDER] [--words 150]

The scorer never saw a rating. Design choices were made on the development half of each set, so the final half is the
figure; both are printed. Beside it: the best trivial feature on the same texts, minus perplexity of the base, and the
partial tau given length. Pairs are cut to the same number of words.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storyteller.corpus.language import words_of
from storyteller.evaluate.scorer import CoherenceScorer, Score
from storyteller.evaluate.scorer.normalise import normalise
from storyteller.evaluate.scorer.scorer import SHIPPED
from storyteller.evaluate.statistics import Bootstrap, Resampled, kendall, mean

# Bit i is 1 where record i belongs to the development half; drawn by a hash of the text before anything was measured.
DEVELOPMENT = {
    "union_roc": 0x263846CA7639E189BF2922EB8653375A8A21B9D2A70E1C92C0A0F16DDC50058B57BCAA94FB1C9940A813383B568225766ECF,
    "plot_guided_coherence_roc": 0x3E5B25EFBBB3036A207F4D0DBC2C6A63D730B59FB2AEC5D58211DFF19843D784214EF0875DB,
}
RATINGS: dict[str, Callable[[dict[str, Any]], float]] = {
    "union_roc": lambda record: float(np.mean(record["ratings"])),
    "plot_guided_coherence_roc": lambda record: record["mean"],
    "hanna_human_stories": lambda record: record["human_scores"]["Coherence"],
    "storyer_rated_reasons": lambda record: record["score"],
}


def records(folder: Path, name: str) -> list[dict[str, Any]]:
    with lzma.open(folder / f"{name}.jsonl.xz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def trivial(text: str) -> dict[str, float]:
    words = [word.lower() for word in words_of(text)]
    fours = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return {
        "length": len(words),
        "shortness": -len(words),
        "type-token ratio": len(set(words)) / max(1, len(words)),
        "no repeated 4-grams": len(set(fours)) / max(1, len(fours)),
    }


def in_development(name: str, index: int) -> bool:
    return bool(DEVELOPMENT[name] >> index & 1) if name in DEVELOPMENT else index % 2 == 0


def show(value: Resampled) -> str:
    interval = value.interval()
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def tau_rows(name: str, texts: list[str], ratings: list[float], scores: Sequence[Score]) -> None:
    plain = [trivial(normalise(text)) for text in texts]
    for half, members in (
        ("development", [i for i in range(len(texts)) if in_development(name, i)]),
        ("final", [i for i in range(len(texts)) if not in_development(name, i)]),
        ("all", list(range(len(texts)))),
    ):
        usable = [i for i in members if np.isfinite(scores[i].logit)]
        labels = [str(i) for i in usable]
        bootstrap = Bootstrap(labels)
        human = [ratings[i] for i in usable]
        tau = kendall(bootstrap, [scores[i].logit for i in usable], human, labels)
        partial = kendall(
            bootstrap, [scores[i].logit for i in usable], human, labels, given=[plain[i]["length"] for i in usable]
        )
        likelihood = kendall(bootstrap, [scores[i].log_likelihood for i in usable], human, labels)
        features = {key: kendall(bootstrap, [plain[i][key] for i in usable], human, labels).value for key in plain[0]}
        best = max(features, key=features.__getitem__)
        outside = sum(not scores[i].in_domain for i in usable)
        print(
            f"| {name} | {half} | {len(usable)} | {show(tau)} | {show(partial)} | {likelihood.value:+.3f} "
            f"| {best} {features[best]:+.3f} | {outside} |",
            flush=True,
        )


def pair_rows(scorer: CoherenceScorer, pairs: list[dict[str, Any]], words: int) -> None:
    """Every second pair, of which every fourth was for development."""
    texts, chosen = [], [i for i in range(len(pairs)) if i % 2 == 0]
    for index in chosen:
        both = [normalise(pairs[index][key]).split(" ") for key in ("text", "rejected")]
        equal = min(words, *map(len, both))
        texts += [" ".join(one[:equal]) for one in both]
    unique = list(dict.fromkeys(texts))
    found = dict(zip(unique, scorer.score(unique), strict=True))
    for half, members in (
        ("development", [i for i in chosen if i % 8 == 0]),
        ("final", [i for i in chosen if i % 8 != 0]),
    ):
        rows = [(found[texts[2 * (i // 2)]], found[texts[2 * (i // 2) + 1]]) for i in members]
        read = [
            (a, b, pairs[i]["text"]) for (a, b), i in zip(rows, members, strict=True) if np.isfinite(a.logit + b.logit)
        ]
        labels = [preferred for _, _, preferred in read]
        bootstrap = Bootstrap(labels)
        right = mean(bootstrap, [float(a.logit > b.logit) for a, b, _ in read], labels)
        likelihood = mean(bootstrap, [float(a.log_likelihood > b.log_likelihood) for a, b, _ in read], labels)
        longer = np.mean([len(pairs[i]["text"].split()) > len(pairs[i]["rejected"].split()) for i in members])
        outside = sum(not (a.in_domain and b.in_domain) for a, b, _ in read)
        print(
            f"| storyer_pairs | {half} | {len(read)} | {show(right)} | | {likelihood.value:.3f} "
            f"| longer (uncut) {longer:.3f} | {outside} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judged", type=Path)
    parser.add_argument("--scorer", type=Path, default=SHIPPED)
    parser.add_argument("--words", type=int, default=150)
    options = parser.parse_args()
    scorer = CoherenceScorer.load(options.scorer)
    print(
        "| set | half | n | Kendall tau (pairs: share right) | given length | -perplexity | best trivial | out of domain |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, rating in RATINGS.items():
        rated = records(options.judged, name)
        texts = [record["text"] for record in rated]
        tau_rows(name, texts, [rating(record) for record in rated], scorer.score(texts, words=options.words))
    pair_rows(scorer, records(options.judged, "storyer_pairs"), options.words)


if __name__ == "__main__":
    main()
