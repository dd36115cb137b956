"""How many human ratings do the critic's pseudo-labels save? python scripts/pseudo_labels.py UNION.jsonl.xz ENDINGS.jsonl.xz

A ridge on the base's frozen states learns the coherence that people see from m rated stories (`text`, `ratings`), with and
without pseudo-labels: without, the states alone; with, the score of a discriminator between people's and GPT-2's
endings (TextGAIL's), trained on no rating, is what the ridge starts from and corrects. Kendall's tau on stories that neither
has seen, over 20 draws of the m. Saved are the ratings that it takes without pseudo-labels to reach the same tau.
"""

from __future__ import annotations

import argparse
import itertools
import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.linear_model import LogisticRegression

from storyteller.adversarial.critic import depths_of
from storyteller.adversarial.groups import lay_out
from storyteller.adversarial.policy import Policy
from storyteller.models import apply_lora, load_model, locate
from storyteller.models.precision import resolve_precision
from storyteller.recipe import LoraRecipe
from storyteller.runs import write_json
from storyteller.tokens import StoryTokenizer

COUNTS = (10, 25, 50, 100, 130)
DRAWS = 20
Floats = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rated", type=Path)
    parser.add_argument("endings", type=Path)
    parser.add_argument("--stories", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    rated = records(asked.rated)[: asked.stories]
    ratings = np.array([np.mean(row["ratings"]) for row in rated])
    human, drawn = [], []
    for row in records(asked.endings):
        if (row["system"], row["temperature"], row["seed"]) == ("mle", 1.0, 1) and len(human) < asked.pairs:
            human.append(row["human"])
            drawn.append(row["generated"])
    vectors = features([row["text"] for row in rated] + human + drawn)
    mean, spread = vectors.mean(0), vectors.std(0) + 1e-6
    vectors = (vectors - mean) / spread
    stories, rest = vectors[: len(rated)], vectors[len(rated) :]
    critic = LogisticRegression(C=0.001, max_iter=500).fit(rest, [1] * len(human) + [0] * len(drawn))
    told = study(stories, ratings, critic.decision_function(stories))
    write_json(asked.out / "pseudo_labels.json", told)
    print(json.dumps(told, indent=1))


def records(path: Path) -> list[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def features(texts: Sequence[str]) -> Floats:
    """The mean hidden states of the base at a third, two thirds and all of its layers, [texts, 3 * width]."""
    located = locate("smollm2-135m-instruct")
    tokenizer = StoryTokenizer.load(located.folder)
    policy = Policy(apply_lora(load_model(located, dtype=resolve_precision("auto")[0]), LoraRecipe(rank=1), seed=1))
    ids = [tokenizer.encode(" " + text.strip())[:96] for text in texts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    found: dict[int, Floats] = {}
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        rows = lay_out([[tokenizer.bos_id]] * len(part), [[ids[i]] for i in part], tokenizer.pad_id)
        with policy.reference():
            _, states = policy.read(rows, layers=depths_of(policy.depth))
        unit = [state.float() * state.float().square().mean(-1, keepdim=True).add(1e-6).rsqrt() for state in states]
        for i, each in zip(part, torch.split(torch.cat(unit, 1), rows.lengths), strict=True):
            found[i] = each.mean(0).double().numpy()
    return np.stack([found[i] for i in range(len(ids))])


def study(stories: Floats, ratings: Floats, pseudo: Floats) -> dict[str, object]:
    standard = (pseudo - pseudo.mean()) / pseudo.std()
    plain: dict[int, list[float]] = {m: [] for m in COUNTS}
    helped: dict[int, list[float]] = {m: [] for m in COUNTS}
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(stories))
        test = order[: len(stories) // 3]
        for m in COUNTS:
            learn = order[len(stories) // 3 :][:m]
            centre = ratings[learn].mean()
            slope = float(np.cov(standard[learn], ratings[learn])[0, 1] / (1 + 5 / m))  # shrunk: few ratings say little
            for kept, base in ((plain, np.zeros(len(stories))), (helped, slope * standard)):
                left = ratings[learn] - centre - base[learn]
                told = base[test] + stories[test] @ ridge(stories[learn], left)
                kept[m].append(float(kendalltau(told, ratings[test]).statistic))
    means = {m: float(np.mean(plain[m])) for m in COUNTS}
    return {
        "stories": len(stories),
        "critic alone, tau": float(kendalltau(pseudo, ratings).statistic),
        "rows": [
            {
                "ratings": m,
                "without": means[m],
                "with": float(np.mean(helped[m])),
                "difference": float(np.mean(np.array(helped[m]) - plain[m])),
                "sd_of_difference": float(np.std(np.array(helped[m]) - plain[m], ddof=1)),
                "ratings_without_for_the_same_tau": same_tau(means, float(np.mean(helped[m]))),
            }
            for m in COUNTS
        ],
    }


def ridge(x: Floats, y: Floats) -> Floats:
    """The weights of a ridge whose penalty is as strong as the data, in the dual."""
    kernel = x @ x.T
    weights: Floats = x.T @ np.linalg.solve(kernel + np.trace(kernel) / len(x) * np.eye(len(x)), y)
    return weights


def same_tau(means: dict[int, float], wanted: float) -> float | None:
    """The ratings at which the curve without pseudo-labels reaches `wanted`; None: with no number that was tried."""
    counts = sorted(means)
    if wanted <= means[counts[0]]:
        return float(counts[0])
    for low, high in itertools.pairwise(counts):
        if means[low] <= wanted <= means[high] and means[high] > means[low]:
            return low + (high - low) * (wanted - means[low]) / (means[high] - means[low])
    return None


if __name__ == "__main__":
    main()
