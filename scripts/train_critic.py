"""Train, calibrate and measure the critic behind the human-likeness number that the studio shows.

    python scripts/train_critic.py draw CORPORA --out DIR      the shipped model's answers beside people's, about 20 minutes
    python scripts/train_critic.py fit --out DIR               heads and calibration, about five minutes of one core
    python scripts/train_critic.py test --out DIR              what held-out passages show, into the card

CORPORA is a folder of `<name>.jsonl.xz` or `<name>.jsonl` with `text`, `title` and `author`. Whoever wrote a story decides
where it goes (where a book has one author only, the story): half to learn from, a third to calibrate on, the rest to measure
with. Nothing of it enters the repository but the weights; what is drawn stands in DIR, so that a second run goes on.
`scripts/judge_numbers.py` says how the numbers stand beside other people's texts, other models' and human ratings.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import lzma
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storyteller.adversarial.adversary import Adversary
from storyteller.adversarial.critic import Critic, Pair
from storyteller.adversarial.marks import matched
from storyteller.adversarial.numbers import Domain, WriterNumbers
from storyteller.adversarial.passages import LAYERS, SHIPPED, PassageCritic, plain
from storyteller.adversarial.probes import probe
from storyteller.adversarial.using import BANDS, Judgement, Likeness
from storyteller.corpus import Story, count_words
from storyteller.errors import DataError, GenerationError
from storyteller.evaluate.prompts import Prompt, choose_prompts, cut_at_sentence
from storyteller.evaluate.statistics import Bootstrap, Resampled, auc, mean
from storyteller.generate import SamplingSettings, Storyteller
from storyteller.models import DEFAULT_BASE, locate
from storyteller.models.features import Reader
from storyteller.recipe.models import CriticRecipe
from storyteller.runs import read_json, write_json
from storyteller.runs.console import progress


@dataclass(frozen=True)
class Source:
    """How many passages of a corpus are learned from, how long they are, and who must not stand on both sides."""

    passages: int
    words: int
    unit: str
    licence: str


SOURCES = {
    "gutenberg_short_stories": Source(130, 300, "author", "public domain (Project Gutenberg)"),
    "folk_and_fairy_tales": Source(60, 300, "title", "public domain"),
    "standardebooks_short_fiction": Source(50, 300, "title", "CC0 (Standard Ebooks)"),
    "pratham_storyweaver": Source(50, 120, "author", "CC-BY-4.0 (each story's authors; Pratham Books' StoryWeaver)"),
    "eltec_english_novels": Source(30, 300, "author", "public domain texts (ELTeC)"),
}
MOST_OF_ONE = {"author": 2, "title": 1}
SPLITS = {"learn": 1.0, "calibrate": 1.25, "test": 0.5}
"""Passages of each split, as a share of those that are learned from."""
DRAWN = {"learn": (180, 120), "test": (70, 220)}
"""How many of a split's passages the model answers, and with how many words: drawing is what takes long."""
WIDTH = 576
LEAST = 100
"""Human passages of a band at least; with fewer nothing is said of that length."""
TEMPERATURES = (0.8, 1.0)
"""Those of `storyteller write` and of the studio."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("corpora", type=Path)
    fitting, testing = commands.add_parser("fit"), commands.add_parser("test")
    for command in (fitting, testing):
        command.add_argument("--to", type=Path, default=SHIPPED, help="where the weights go")
    for command in (drawing, fitting, testing):
        command.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "draw":
        draw(options.corpora, options.out)
    elif options.command == "fit":
        fit(options.out, options.to)
    else:
        test(options.out, options.to)


def draw(corpora: Path, out: Path) -> None:
    """Write the people's passages to DIR/people.jsonl and the model's answers to DIR/drawn.jsonl."""
    asked = {split: prompts_of(corpora, split) for split in SPLITS}
    out.mkdir(parents=True, exist_ok=True)
    with (out / "people.jsonl").open("w", encoding="utf-8") as file:
        for split, prompts in asked.items():
            for source, prompt in prompts:
                row = {"split": split, "source": source, "work": prompt.work, "id": prompt.id, "text": prompt.reference}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    for split, (count, words) in DRAWN.items():
        answer(asked[split][:count], split, words, out / "drawn.jsonl")


def prompts_of(corpora: Path, split: str) -> list[tuple[str, Prompt]]:
    """The prompts of a split: half continue a passage, half begin from a title and a sentence."""
    found: list[tuple[str, Prompt]] = []
    for name, source in SOURCES.items():
        stories = stories_of(corpora, name, source, split)
        count = round(source.passages * SPLITS[split] / 2)
        for place, task in enumerate(("continue", "write")):
            chosen = choose_prompts(stories[place::2], count, words=source.words, task=task)  # type: ignore[arg-type]
            found += [(name, prompt) for prompt in chosen]
    random.Random(1).shuffle(found)
    return found


def stories_of(folder: Path, name: str, source: Source, split: str) -> list[Story]:
    """The stories of a split, at most two of an author."""
    kept: list[Story] = []
    of_one: Counter[str] = Counter()
    for number, record in enumerate(records(folder, name)):
        unit = str(record.get(source.unit))
        if split_of(name, unit) == split and of_one[unit] < MOST_OF_ONE[source.unit]:
            of_one[unit] += 1
            kept.append(Story(f"{name}/{number}", record["text"], "en", "story", 0, title=record["title"], author=unit))
    return kept


def split_of(name: str, unit: str) -> str:
    place = hashlib.sha256(f"{name}/{unit}".encode()).digest()[0]
    return "learn" if place < 120 else "calibrate" if place < 210 else "test"


def records(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    for suffix, opener in ((".jsonl.xz", lzma.open), (".jsonl", open)):
        if (path := folder / f"{name}{suffix}").is_file():
            with opener(path, "rt", encoding="utf-8") as file:
                yield from map(json.loads, file)
            return
    raise DataError(f"{folder} has no {name}.jsonl.xz; see docs/results.md for what the shipped critic is trained on.")


def answer(prompts: list[tuple[str, Prompt]], split: str, words: int, path: Path) -> None:
    """Let the shipped model answer, at both temperatures in turn; what stands in the file is not drawn again."""
    from dataclasses import replace

    done = {json.loads(line)["id"] for line in path.open(encoding="utf-8")} if path.is_file() else set()
    teller = Storyteller.load("default")
    with path.open("a", encoding="utf-8") as file, progress(len(prompts), f"drawing ({split})") as advance:
        for place, temperature in enumerate(TEMPERATURES):
            mine = [pair for pair in prompts[place :: len(TEMPERATURES)] if pair[1].id not in done]
            requests = [replace(prompt.request, words=min(words, SOURCES[name].words)) for name, prompt in mine]
            settings = SamplingSettings(temperature=temperature)
            for index, told in teller.tell_many(requests, seeds=list(range(len(mine))), settings=settings):
                advance()
                if isinstance(told, GenerationError):
                    continue
                name, prompt = mine[index]
                row = {
                    "split": split, "source": name, "work": prompt.work, "id": prompt.id, "task": prompt.request.task,
                    "temperature": temperature, "text": told.text,
                }  # fmt: skip
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
    teller.close()


def fit(out: Path, to: Path) -> None:
    """Train the heads, and calibrate them on other people's stories."""
    critic = PassageCritic(
        Reader.open(locate(DEFAULT_BASE), LAYERS, likelihoods=False),
        Critic(WIDTH, len(LAYERS), CriticRecipe(width=64, coherence_weight=0.0), 1, LAYERS),
    )
    people = {row["id"]: row for row in rows(out / "people.jsonl")}
    told = train(critic, [(people[row["id"]], row) for row in answers(out, "learn")])
    critic.save(to, {"base": DEFAULT_BASE})
    critic = PassageCritic.load(to, critic.reader)  # what is calibrated is what is shipped: in float16
    own = people_of(out, "calibrate")
    judged = beginnings(critic, [row["text"] for row in own])
    human = [one for each in judged for one in each]
    # Shorter ones are those whose next sentence is long: no fair sample of their length.
    likeness = Likeness.of([one for one in human if one.tokens > BANDS[1]], LEAST)
    numbers = WriterNumbers(likeness, Domain.of([one.place for one in human]))
    numbers.save(to)
    card = {
        "base": DEFAULT_BASE, "language": "en", "licence": "Apache-2.0",
        "learned_from": {name: source.licence for name, source in SOURCES.items()}, **told,
        "calibrated_on": {"passages": len(own), "by band": {bands_of(k): len(v) for k, v in numbers.likeness.bands.items()}},
    }  # fmt: skip
    critic.save(to, card)
    print(json.dumps(card, indent=1))


def test(out: Path, to: Path) -> None:
    """Say what the split `test` shows, and put it into the card."""
    critic, numbers, card = PassageCritic.load(to), WriterNumbers.load(to), read_json(to / "critic.json")
    card["held_out"] = figures(critic, numbers, people_of(out, "test"), answers(out, "test"))
    write_json(to / "critic.json", card)
    print(json.dumps(card, indent=1))


def people_of(out: Path, split: str) -> list[dict[str, Any]]:
    return [row for row in rows(out / "people.jsonl") if row["split"] == split]


def answers(out: Path, split: str) -> list[dict[str, Any]]:
    """The model's answers that are a text: now and then it writes nothing but line breaks."""
    drawn = [row for row in rows(out / "drawn.jsonl") if row["split"] == split]
    return [row for row in drawn if count_words(row["text"], "en") >= 30]


def rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def train(critic: PassageCritic, told: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Learn from pairs of parts of equal length, and keep the heads of the step that held-out works like best."""
    import torch

    torch.manual_seed(1)
    human = critic.reads([cut_at_sentence(person["text"], 200, "en") for person, _ in told])
    model = critic.reads([row["text"] for _, row in told])
    pairs: dict[bool, list[Pair]] = {True: [], False: []}
    texts: list[tuple[str, str]] = []
    for (person, row), ours, theirs in zip(told, human, model, strict=True):
        held = int(hashlib.sha256(person["work"].encode()).hexdigest(), 16) % 5 == 0
        for first, second in zip(ours, theirs, strict=False):
            one, other = matched(first.ends, second.ends)
            pairs[held].append(Pair(first.cut(one), second.cut(other), None))
        texts.append((plain(person["text"])[:600], plain(row["text"])[:600]))
    probes = {
        "punctuation": probe(*(np.array([marks_of(both[side]) for both in texts]) for side in (0, 1))),
        "length": probe(*(np.array([[float((p.human, p.generated)[side].ends[-1])] for p in pairs[False]]) for side in (0, 1))),
    }  # fmt: skip
    recipe = CriticRecipe(width=64, coherence_weight=0.0, pairs=24)
    adversary = Adversary(critic.critic, recipe, 1)
    adversary.memory.pool = pairs[False]
    steps, stands = adversary.warm_up(pairs[True], 600)
    best = area_of(adversary, pairs[True])
    print(f"{steps} steps: {stands} ({len(pairs[True])}), AUC {best:.3f}", flush=True)
    return {"pairs": len(pairs[False]), "steps": steps, "development_auc": round(best, 3),
            "probes": {name: round(value, 3) for name, value in probes.items()}}  # fmt: skip


def marks_of(text: str) -> list[float]:
    return [100 * text.count(mark) / max(1, len(text)) for mark in ".,?'-\n"]


def area_of(adversary: Adversary, pairs: list[Pair]) -> float:
    """The AUC of all human parts against all drawn ones."""
    human = np.array([float(score[-1]) for score in adversary.critic.scores([pair.human for pair in pairs])])
    drawn = np.array([float(score[-1]) for score in adversary.critic.scores([pair.generated for pair in pairs])])
    return float((human[:, None] > drawn[None]).mean())


def beginnings(critic: PassageCritic, texts: list[str], seed: int = 1) -> list[list[Judgement]]:
    """Of each text one beginning in each band of lengths that it reaches."""
    chance = random.Random(seed)
    lengths = [[chance.randint(low + 8, high) for low, high in itertools.pairwise(BANDS[1:])] for _ in texts]
    found = []
    for start in range(0, len(texts), 32):
        judged = critic.beginnings(texts[start : start + 32], lengths[start : start + 32])
        print(f"{start + len(judged)} of {len(texts)} texts read", flush=True)
        for each in judged:
            by_band = {bisect_left(BANDS, one.tokens): one for one in each}
            found.append(list(by_band.values()))
    return found


def bands_of(band: int) -> str:
    return f"{BANDS[band - 1] + 1}-{BANDS[band]} tokens"


def figures(
    critic: PassageCritic, numbers: WriterNumbers, people: list[dict[str, Any]], drawn: list[dict[str, Any]]
) -> dict[str, Any]:
    """By band: AUC, how many held-out human passages lie under the 10th, 50th and 90th percentile; the model's median."""
    sides = {
        "people": list(zip(people, beginnings(critic, [row["text"] for row in people], 2), strict=True)),
        "model": list(zip(drawn, beginnings(critic, [row["text"] for row in drawn], 2), strict=True)),
    }
    told: dict[str, Any] = {}
    for band in sorted(numbers.likeness.bands):
        flat = {
            side: [(row["work"], one) for row, each in found for one in each if bisect_left(BANDS, one.tokens) == band]
            for side, found in sides.items()
        }
        if min(map(len, flat.values())) < 10:
            continue
        values = {side: [numbers.likeness.percentile(one) or 0.0 for _, one in each] for side, each in flat.items()}
        works = {side: [work for work, _ in each] for side, each in flat.items()}
        bootstrap = Bootstrap([*works["people"], *works["model"]])
        own = Bootstrap(works["people"])
        scores = {side: [one.realism for _, one in each] for side, each in flat.items()}
        told[bands_of(band)] = {
            "passages": {side: len(each) for side, each in flat.items()},
            "auc": show(auc(bootstrap, scores["people"], scores["model"], works["people"], works["model"])),
            "people under": {
                str(share): show(mean(own, [float(value < share) for value in values["people"]], works["people"]))
                for share in (10, 50, 90)
            },
            "model's median percentile": float(np.median(values["model"])),
            "model over 50": float(np.mean(np.array(values["model"]) > 50)),
            "unknown kind": {
                side: float(np.mean([not numbers.domain.knows(one.place) for _, one in each])) for side, each in flat.items()
            },
        }  # fmt: skip
    by_source: dict[str, list[float]] = {}
    for row, each in sides["people"]:
        by_source.setdefault(row["source"], []).extend(numbers.likeness.percentile(one) or 0.0 for one in each[-1:])
    told["median by source"] = {name: (round(float(np.median(v)), 1), len(v)) for name, v in by_source.items()}
    return told


def show(value: Resampled) -> list[float | None]:
    interval = value.interval()
    return [None if one is None else round(one, 3) for one in (interval.value, interval.low, interval.high)]


if __name__ == "__main__":
    main()
