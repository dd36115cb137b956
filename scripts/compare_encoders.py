"""What an encoder's states know of stories: heads of the critic on each model's frozen states, on the same texts.

    python scripts/compare_encoders.py MODEL... --texts TEXTS.jsonl --out OUT [--system fine-tuned --temperature 1.0]

TEXTS are people's and a system's answers to the same prompts, as `refined_texts.py` writes them. A MODEL is a name or the
folder of any transformers model with its `tokenizer.json`: a masked one of our own, a causal one, a sentence encoder.

Everything is read without its prompt and in the plain marks of `adversarial.passages`, so that only words are judged. Of each
person's text there is a second version with a fault put in (sentences shuffled or another story's; names are not exchanged).
The heads are those of a refinement's critic (realism and coherence at three depths); half of the authors are learned from, a
fifth say when to stop, the rest are tested on. OUT/encoders.md tells how often the test pairs are told right, with intervals
over authors, and what each model has less than the first one, paired.
"""

from __future__ import annotations

import argparse
import json
import random
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from storyteller.adversarial.adversary import Adversary
from storyteller.adversarial.critic import Critic, Pair, Read, depths_of
from storyteller.adversarial.critics import Encoder, load_encoder
from storyteller.adversarial.passages import plain
from storyteller.corpus.corruption import FAULTS, corrupt
from storyteller.errors import DataError
from storyteller.evaluate.prompts import cut_at_sentence
from storyteller.evaluate.statistics import Bootstrap, mean
from storyteller.evaluate.texts import HUMAN, Text, read_texts
from storyteller.models import locate
from storyteller.recipe.models import CriticRecipe
from storyteller.runs import write_atomic, write_json
from storyteller.runs.console import progress

LEARNED, DEV = 5, 7
"""Of ten parts of the authors the first five are learned from, the next two end the training."""
STEPS = 200
LEAST = 20
"""Words that a text has at least on both sides."""


@dataclass(frozen=True)
class Triple:
    """One prompt's human text, the drawn one cut to its length, and the human one with a fault; `part` is 0 to 9."""

    author: str
    human: str
    drawn: str
    faulty: str | None

    @property
    def part(self) -> int:
        return zlib.crc32(self.author.encode()) % 10


def triples(path: Path, system: str, temperature: float) -> list[Triple]:
    people: dict[str, Text] = {}
    drawn: dict[str, Text] = {}
    for text in read_texts(path):
        if text.system == HUMAN:
            people[text.prompt_id] = text
        elif text.system == system and text.temperature == temperature:
            drawn.setdefault(text.prompt_id, text)
    if not (both := [name for name in people if name in drawn]):
        raise DataError(f"{path} has no prompt that people and {system} at {temperature:g} both answered.")
    found, chance = [], random.Random(1)
    for name in both:
        human, other = plain(people[name].text), plain(drawn[name].text)
        most = min(len(human.split()), len(other.split()))
        human, other = (cut_at_sentence(text, most, "en") for text in (human, other))
        if min(len(human.split()), len(other.split())) < LEAST:
            continue
        borrowed = plain(people[chance.choice(both)].text)
        author = (people[name].work or name).split(" / ")[0]
        found.append(Triple(author, human, other, with_fault(human, borrowed, chance)))
    return found


def with_fault(text: str, other: str, chance: random.Random) -> str | None:
    for fault in chance.sample(list(FAULTS), len(FAULTS)):
        faulty = corrupt(text, fault, "en", seed=chance.getrandbits(30), other=other)
        if faulty is not None and faulty.text != text:
            return faulty.text
    return None


def read(encoder: Encoder, layers: tuple[int, ...], texts: list[str], rows: int = 16) -> list[list[torch.Tensor]]:
    """Each text's hidden states at the layers, [tokens, width] each."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found: dict[int, list[torch.Tensor]] = {}
    with progress(len(texts), "reading") as advance:
        for start in range(0, len(order), rows):
            part = order[start : start + rows]
            for index, states in zip(part, encoder.states([texts[i] for i in part], layers), strict=True):
                found[index] = [state.half() for state in states]
                advance()
    return [found[index] for index in range(len(texts))]


def judged(encoder: Encoder, told: list[Triple], seeds: list[int]) -> dict[str, list[float]]:
    """How right the heads are in each test pair, the mean over seeds: `realism` and, where there is a fault, `coherence`."""
    layers, recipe = depths_of(encoder.depth), CriticRecipe(width=64, pairs=24)
    won: dict[str, list[list[float]]] = {"realism": [], "coherence": []}
    texts = [[t.human for t in told], [t.drawn for t in told], [t.faulty or t.human for t in told]]
    states = [read(encoder, layers, each) for each in texts]
    for seed in seeds:
        critic = Critic(encoder.width, len(layers), recipe, seed)
        # With one place to judge at, the end: a model that looks both ways would know at a sentence what follows it.
        made = [[critic.project(one) for one in each] for each in states]
        human, drawn, faulty = ([Read(one, (one.shape[1],)) for one in each] for each in made)
        pairs = [
            Pair(human[i], drawn[i], faulty[i] if triple.faulty is not None else None) for i, triple in enumerate(told)
        ]
        adversary = Adversary(critic, recipe, seed)
        adversary.memory.pool = [pair for pair, triple in zip(pairs, told, strict=True) if triple.part < LEARNED]
        held = [pair for pair, triple in zip(pairs, told, strict=True) if LEARNED <= triple.part < DEV]
        steps, standing = adversary.warm_up(held, STEPS)
        print(f"seed {seed}: {steps} steps; on the dev pairs {standing}", flush=True)
        test = [pair for pair, triple in zip(pairs, told, strict=True) if triple.part >= DEV]
        for name, margins in zip(won, adversary.margins(test), strict=True):
            won[name].append([right(margin) for margin in margins])
    return {name: np.mean(values, axis=0).tolist() for name, values in won.items()}


def right(margin: torch.Tensor | None) -> float:
    """1 where the human text has the higher value, a half where both are equal, NaN where there is no other one."""
    return float("nan") if margin is None else 0.5 if margin == 0 else float(margin > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--system", default="fine-tuned")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    asked = parser.parse_args()
    told = triples(asked.texts, asked.system, asked.temperature)
    authors = [triple.author for triple in told if triple.part >= DEV]
    bootstrap, found = Bootstrap(authors), {}
    for model in asked.models:
        print(model, flush=True)
        found[model] = judged(load_encoder(str(locate(model).folder)), told, asked.seeds)
    lines = ["| encoder | realism | less the first | coherence | less the first |", "|---|---|---|---|---|"]
    first = asked.models[0]
    for model, values in found.items():
        cells = []
        for name in ("realism", "coherence"):
            known = [i for i, value in enumerate(values[name]) if np.isfinite(value)]
            own, base = (np.array(found[m][name])[known] for m in (model, first))
            labels = [authors[i] for i in known]
            whole, less = mean(bootstrap, own, labels), mean(bootstrap, own - base, labels)
            cells += [str(whole.interval()), "" if model == first else str(less.interval())]
        lines.append(f"| {Path(model).name} | {' | '.join(cells)} |")
    count = [sum(triple.part < LEARNED for triple in told), len(authors), len(set(authors))]
    lines.append(f"\n{count[0]} pairs learned from, {count[1]} tested on, of {count[2]} authors; seeds {asked.seeds}.")
    asked.out.mkdir(parents=True, exist_ok=True)
    write_atomic(asked.out / "encoders.md", "\n".join(lines) + "\n")
    write_json(asked.out / "encoders.json", {"models": found, "authors": authors})
    print("\n".join(lines))
    print(json.dumps({"pairs": count}))


if __name__ == "__main__":
    main()
