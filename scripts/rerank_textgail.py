"""Does choosing by our critic move an independent judge? On TextGAIL's released endings: no sampling, many prompts.

    python scripts/rerank_textgail.py score FILE --out DIR [--learn 300] [--test 400]
    python scripts/rerank_textgail.py judge FILE --out DIR

`score` trains the critic (heads on the base's frozen states) to tell people's endings from GPT-2's (likelihood, T = 1.0, three
seeds) on some prompts and scores those of others; `judge` asks the lab's judges, which share nothing with it, about one draft,
the best and the worst of three, and one drawn in proportion to exp(score / 0.5). Human endings are shorter, so the critic
learns on pairs whose lengths differ by a token at most, and everything is also said on pairs whose lengths differ by 15 %.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from storyteller.corpus.language import count_words
from storyteller.evaluate.diversity import distinct
from storyteller.evaluate.judges import Family, Verdict, difference, judge
from storyteller.evaluate.matching import equalise
from storyteller.evaluate.ngrams import words
from storyteller.evaluate.statistics import holm
from storyteller.runs import read_json, write_json

SEEDS = (1, 2, 3)
FAMILIES: tuple[Family, ...] = ("word", "char")
Endings = dict[int, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("score", "judge"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--learn", type=int, default=300)
    parser.add_argument("--test", type=int, default=400)
    asked = parser.parse_args()
    endings = read(asked.file)
    chosen = random.Random(4).sample(sorted(endings), asked.learn + asked.test)
    if asked.command == "score":
        write_json(asked.out / "scores.json", score(endings, chosen[: asked.learn], chosen[asked.learn :]))
    else:
        told = judge_all(endings, read_json(asked.out / "scores.json")["scores"])
        write_json(asked.out / "reranked.json", told)
        print(json.dumps(told, indent=1))


def read(path: Path) -> Endings:
    """By prompt: the human ending, and GPT-2's at each (temperature, seed); prompts where all have two words or more."""
    found: Endings = defaultdict(dict)
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["system"] == "mle" and row["temperature"] in (0.8, 0.9, 1.0):
                found[row["index"]]["human"] = row["human"]
                found[row["index"]][row["temperature"], row["seed"]] = row["generated"]
    return {
        index: each for index, each in found.items() if min(count_words(text, "en") for text in each.values()) > 1
    }  # fmt: skip


def score(endings: Endings, learn: Sequence[int], test: Sequence[int]) -> dict[str, Any]:
    import torch

    from storyteller.adversarial.adversary import Adversary
    from storyteller.adversarial.critic import Critic, Pair, Read, depths_of
    from storyteller.adversarial.groups import lay_out
    from storyteller.adversarial.marks import sentence_marks
    from storyteller.adversarial.policy import Policy
    from storyteller.models import apply_lora, load_model, locate
    from storyteller.models.precision import resolve_precision
    from storyteller.recipe import LoraRecipe
    from storyteller.recipe.models import CriticRecipe
    from storyteller.tokens import StoryTokenizer

    located = locate("smollm2-135m-instruct")
    tokenizer = StoryTokenizer.load(located.folder)
    dtype = resolve_precision("auto")[0]
    policy = Policy(apply_lora(load_model(located, dtype=dtype), LoraRecipe(rank=1), seed=1))
    recipe = CriticRecipe(coherence_weight=0.0)
    layers = depths_of(policy.depth)
    critic = Critic(policy.width, len(layers), recipe, 1, layers)
    reads: dict[tuple[int, Any], Read] = {}
    todo = [*learn, *test]
    for start in range(0, len(todo), 24):
        keys = [(index, which) for index in todo[start : start + 24] for which in ("human", *((1.0, s) for s in SEEDS))]
        ids = [tokenizer.encode(" " + endings[index][which]) for index, which in keys]
        rows = lay_out([[tokenizer.bos_id]] * len(ids), [[each] for each in ids], tokenizer.pad_id)
        with policy.reference():
            _, states = policy.read(rows, layers=layers)
        marks = [sentence_marks(each, tokenizer, "en") for each in ids]
        for key, made in zip(
            keys, critic.reads([], ids, marks, rows.split_states(critic.project(states))), strict=True
        ):
            if made is not None:
                reads[key] = made

    def pairs(indices: Sequence[int]) -> list[Pair]:
        found = []
        for index in indices:
            human = reads[index, "human"]
            for seed in SEEDS:
                drawn = reads[index, (1.0, seed)]
                if abs(human.ends[-1] - drawn.ends[-1]) <= 1:
                    found.append(Pair(human, drawn, None))
        return found

    torch.manual_seed(1)
    adversary = Adversary(critic, recipe, 1)
    held = pairs(learn[: len(learn) // 5])
    adversary.memory.pool = pairs(learn[len(learn) // 5 :])
    _, best = adversary.warm_up(held, 300)
    tested = adversary.measure(pairs(test)).accuracy
    print(
        f"{len(adversary.memory.pool)} pairs learned from, right in {best.accuracy:.3f} of {len(held)} held-out pairs; "
        f"right in {tested:.3f} of {len(pairs(test))} test pairs of equal length"
    )
    scores: dict[str, list[float]] = {}
    for index in test:
        opinions = adversary.opinions([reads[index, (1.0, seed)] for seed in SEEDS])
        scores[str(index)] = [float(opinion.score[-1]) for opinion in opinions if opinion is not None]
    return {"held": best.accuracy, "test": tested, "scores": scores}


def judge_all(endings: Endings, scores: dict[str, list[float]]) -> dict[str, Any]:
    test = [int(index) for index in scores]
    chance = random.Random(1)

    def drawn(values: Sequence[float]) -> int:
        top = max(values)
        return chance.choices(range(len(values)), [math.exp((value - top) / 0.5) for value in values])[0]

    chosen = {
        "best of 3": [int(max(range(3), key=scores[str(index)].__getitem__)) for index in test],
        "worst of 3": [int(min(range(3), key=scores[str(index)].__getitem__)) for index in test],
        "drawn by exp(score / 0.5)": [drawn(scores[str(index)]) for index in test],
    }
    systems = {
        f"one draft, T {t:g}, seed {seed}": [endings[i][t, seed] for i in test] for t in (0.9, 1.0) for seed in SEEDS
    }
    systems |= {
        name: [endings[index][1.0, SEEDS[place]] for index, place in zip(test, places, strict=True)]
        for name, places in chosen.items()
    }
    human = [endings[index]["human"] for index in test]
    verdicts = {
        (name, family, equal): verdict(test, human, texts, family, equal)
        for name, texts in systems.items() for family in FAMILIES for equal in (False, True)
    }  # fmt: skip
    told: dict[str, Any] = {"prompts": len(test), "systems": {}, "gains over one draft": {}}
    budget = sum(len(words(text)) for text in human)
    for name, texts in systems.items():
        tokens = [words(text) for text in texts]
        kept, left = [], budget
        for each in tokens:
            kept.append(each[:left])
            left -= len(kept[-1])
        told["systems"][name] = {
            "distinct-2": distinct([each for each in kept if each], 2), "words": sum(map(len, tokens)) / len(tokens),
        } | {f"{family}{', equal length' if equal else ''}": asdict(auc) for family in FAMILIES for equal in (False, True)
             if (auc := verdicts[name, family, equal].auc)}  # fmt: skip
    for t in (0.9, 1.0):
        singles = [f"one draft, T {t:g}, seed {seed}" for seed in SEEDS]
        for name in chosen:
            gains = {
                f"{family}{', equal length' if equal else ''}": difference(
                    [verdicts[one, family, equal] for one in singles], verdicts[name, family, equal]
                )
                for family in FAMILIES for equal in (False, True)
            }  # fmt: skip
            corrected = holm({key: gain.p_value() for key, gain in gains.items()})
            told["gains over one draft"][f"{name} against T {t:g}"] = {
                key: asdict(gain.interval()) | {"p_holm": corrected[key]} for key, gain in gains.items()
            }
    return told


def verdict(test: Sequence[int], human: Sequence[str], texts: Sequence[str], family: Family, equal: bool) -> Verdict:
    prompts, ours, theirs = [str(index) for index in test], list(human), list(texts)
    if equal:
        pairs = equalise(ours, theirs, "en", tolerance=0.15)
        ours, theirs, prompts = pairs.human, pairs.system, [prompts[i] for i in pairs.kept]
    return judge(
        ours, theirs, prompts=prompts, language="en", family=family, allow=("length", "punctuation", "duplicates")
    )


if __name__ == "__main__":
    main()
