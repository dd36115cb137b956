"""What the two numbers of the studio say of texts that neither was made from: prints JSON.

    python scripts/judge_numbers.py calibrate --drawn DIR
    python scripts/judge_numbers.py measure --drawn DIR --judged JUDGED --corpora CORPORA [--only coherence]
    python scripts/judge_numbers.py time

`calibrate` fits the line by which a coherence is told, on the split `calibrate`: on other works than those that the scorer
learned from its own chances are too sure of themselves.
JUDGED holds stories with human ratings, CORPORA texts of other models (`tinystories_sample`, `tinyfabulist_fables`), and
DIR is what `scripts/train_critic.py draw` left: its passages of the split `test` are held out from the critic. Faults are put
into them to see how well coherence is calibrated, and sentences exchanged to see whether sentences' parts point to them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from judge_scorer import RATINGS, records
from train_critic import records as corpus_records
from train_critic import rows, show

from storyteller.adversarial.numbers import WriterNumbers
from storyteller.adversarial.passages import SHIPPED, PassageCritic
from storyteller.corpus import split_sentences
from storyteller.corpus.corruption import FAULTS, corrupt
from storyteller.evaluate.passage import Line, PassageReader
from storyteller.evaluate.prompts import cut_at_sentence
from storyteller.evaluate.scorer import CoherenceScorer
from storyteller.evaluate.scorer.normalise import normalise
from storyteller.evaluate.statistics import Bootstrap, auc, kendall, mean
from storyteller.runs import write_json

WORDS, RATED = 150, 200
"""Words of a text that are read, and rated texts of a set at most: every second one of the larger sets."""
OTHER_MODELS = {"tinystories_sample": 40, "tinyfabulist_fables": 40}
EXAMPLES = Path(__file__).parents[1] / "examples" / "stories" / "en"
FAULTY, EXCHANGED = 60, 50
"""Held-out passages that get a fault, and that get a foreign sentence."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("calibrate", "measure", "time"))
    parser.add_argument("--drawn", type=Path, default=Path())
    parser.add_argument("--judged", type=Path)
    parser.add_argument("--corpora", type=Path)
    parser.add_argument("--only", choices=("coherence",))
    options = parser.parse_args()
    if options.command == "time":
        return measure_time()
    scorer = CoherenceScorer.load()
    if options.command == "calibrate":
        return calibrate(scorer, [row for row in rows(options.drawn / "people.jsonl") if row["split"] == "calibrate"])
    critic, numbers = PassageCritic.load(SHIPPED, scorer.reader), WriterNumbers.load(SHIPPED)
    people = [row for row in rows(options.drawn / "people.jsonl") if row["split"] == "test"]
    drawn = [row for row in rows(options.drawn / "drawn.jsonl") if row["split"] == "test" and row["text"].strip()]
    told: dict[str, Any] = {}
    if options.only:
        print(json.dumps(coherence(scorer, people), indent=1))
        return None
    for name in OTHER_MODELS:
        texts = [
            record["text"] for record in itertools.islice(corpus_records(options.corpora, name), OTHER_MODELS[name])
        ]
        told[name] = spread(percentiles(critic, numbers, texts))
        print(json.dumps({name: told[name]}), flush=True)
    for name, rating in RATINGS.items():
        rated = records(options.judged, name)
        rated = rated[:: 1 + (len(rated) > RATED)][:RATED]
        told[name] = rate(critic, numbers, [one["text"] for one in rated], [rating(one) for one in rated])
        print(json.dumps({name: told[name]}), flush=True)
    told["coherence"] = coherence(scorer, people)
    print(json.dumps(told["coherence"], indent=1), flush=True)
    told["sentences"] = sentences(critic, scorer, people, drawn)
    print(json.dumps(told, indent=1))
    return None


def measure_time() -> None:
    """Processor time of loading and of reading our own stories, and the most memory."""
    started = time.process_time()
    reader = PassageReader.load()
    told: dict[str, Any] = {"load": round(time.process_time() - started, 1)}
    for words in (120, 300):
        spent, read = [], []
        for path in sorted(EXAMPLES.glob("*.md"))[:5]:
            text = " ".join(path.read_text("utf-8").split("---\n", 2)[2].split()[:words])
            started = time.process_time()
            read.append(reader.tell(text, "en").words)
            spent.append(time.process_time() - started)
        told[f"{np.mean(read):.0f} words"] = round(float(np.median(spent)), 2)
    told["MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(told))


def percentiles(critic: PassageCritic, numbers: WriterNumbers, texts: Sequence[str]) -> list[float]:
    """The human-likeness of the beginnings of texts; NaN where there is none."""
    cut = [cut_at_sentence(normalise(text), WORDS, "en") for text in texts]
    judged = [each for (each,) in critic.beginnings(cut, [[1 << 20]] * len(cut))]
    told = [numbers.tell(one).likeness for one in judged]
    return [float("nan") if likeness is None else likeness for likeness in told]


def spread(values: Sequence[float]) -> dict[str, Any]:
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return {"texts": len(values), "told": 0}
    bootstrap = Bootstrap(map(str, range(len(known))))
    labels = [str(i) for i in range(len(known))]
    return {
        "texts": len(values), "told": len(known), "median": float(np.median(known)),
        "under": {str(s): show(mean(bootstrap, [float(v < s) for v in known], labels)) for s in (10, 50, 90)},
    }  # fmt: skip


def rate(
    critic: PassageCritic, numbers: WriterNumbers, texts: Sequence[str], ratings: Sequence[float]
) -> dict[str, Any]:
    """How the percentile goes with people's ratings: Kendall's tau."""
    values = percentiles(critic, numbers, texts)
    known = [i for i, value in enumerate(values) if np.isfinite(value)]
    told = spread(values)
    if len(known) >= 20:
        labels = [str(i) for i in known]
        told["tau"] = show(kendall(Bootstrap(labels), [values[i] for i in known], [ratings[i] for i in known], labels))
    return told


def spoilt(people: Sequence[dict[str, Any]], count: int) -> tuple[list[str], list[str], list[str]]:
    """The first passages of `WORDS` words that a fault can be put into, the same with one, and their works."""
    chance = random.Random(3)
    whole, faulty, works = [], [], []
    for number, row in enumerate(people):
        text, other = cut_at_sentence(row["text"], WORDS, "en"), people[(number + 1) % len(people)]["text"]
        faults = chance.sample(FAULTS, len(FAULTS))
        made = next(filter(None, (corrupt(text, fault, "en", seed=number, other=other) for fault in faults)), None)
        if made is not None and len(text.split()) > 0.6 * WORDS and len(whole) < count:
            whole.append(text)
            faulty.append(made.text)
            works.append(row["work"])
    return whole, faulty, works


def calibrate(scorer: CoherenceScorer, people: Sequence[dict[str, Any]]) -> None:
    """Fit Platt's line from the scorer's log odds to those of a passage being as it was written."""
    from sklearn.linear_model import LogisticRegression

    whole, faulty, _ = spoilt(people, FAULTY)
    sides = scorer.score(whole), scorer.score(faulty)
    read = [(one.logit, kind) for side, kind in zip(sides, (1, 0), strict=True) for one in side if one.in_domain]
    line = LogisticRegression(C=1e6).fit([[logit] for logit, _ in read], [kind for _, kind in read])
    told = {"slope": float(line.coef_[0, 0]), "offset": float(line.intercept_[0]), "passages": len(whole)}
    write_json(SHIPPED / "coherence.json", told)
    print(told)


def coherence(scorer: CoherenceScorer, people: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """AUC of held-out passages against the same with a fault, what share is as written by chance told, and the chances."""
    whole, faulty, works = spoilt(people, FAULTY)
    line = Line.load(SHIPPED)
    sides = scorer.score(whole), scorer.score(faulty)
    logits = [[one.logit for one in side] for side in sides]
    bootstrap = Bootstrap(works)
    values = [
        (line(one.logit), kind) for side, kind in zip(sides, (1, 0), strict=True) for one in side if one.in_domain
    ]
    bins = {}
    for low, high in itertools.pairwise((0.0, 0.4, 0.5, 0.6, 1.01)):
        inside = [kind for value, kind in values if low <= value < high]
        bins[f"{low:.1f} to {min(high, 1):.1f}"] = (len(inside), round(float(np.mean(inside)), 3) if inside else None)
    return {
        "passages": len(whole), "auc": show(auc(bootstrap, logits[0], logits[1], works, works)),
        "paired": show(mean(bootstrap, [float(a > b) for a, b in zip(*logits, strict=True)], works)),
        "in domain": float(np.mean([one.in_domain for one in sides[0]])), "as written, by chance told": bins,
        "told, 5th, 50th, 95th percentile": np.quantile([v for v, _ in values], (0.05, 0.5, 0.95)).round(2).tolist(),
    }  # fmt: skip


def sentences(
    critic: PassageCritic,
    scorer: CoherenceScorer,
    people: Sequence[dict[str, Any]],
    drawn: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """How often a foreign sentence in a person's passage, of the model or of another story, has a lower part than others."""
    chance = random.Random(4)
    wins: dict[str, list[float]] = {"likeness, the model's sentence": [], "likeness, another story's": [],
                                    "coherence, another story's": []}  # fmt: skip
    texts: dict[str, list[tuple[int, str]]] = {"model": [], "other": []}
    long = [row for row in people if len(split_sentences(cut_at_sentence(row["text"], 120, "en"), "en")) >= 5]
    long = long[:EXCHANGED]
    for number, row in enumerate(long):
        own = split_sentences(cut_at_sentence(row["text"], 120, "en"), "en")
        place = chance.randrange(2, len(own))
        sources = {"model": chance.choice(drawn)["text"], "other": long[(number + 7) % len(long)]["text"]}
        for kind, source in sources.items():
            choices = [s for s in split_sentences(source, "en") if len(s.split()) >= 6]
            if choices:
                near = min(choices, key=lambda s: abs(len(s) - len(own[place])))
                texts[kind].append((place, "".join([*own[:place], near.strip() + " ", *own[place + 1 :]])))
    for kind, name in (("model", "likeness, the model's sentence"), ("other", "likeness, another story's")):
        for (place, _), judgement in zip(texts[kind], critic.judge([t for _, t in texts[kind]]), strict=True):
            adds = [judgement.realism - without for without in judgement.without]
            others = adds[:place] + adds[place + 1 :]
            wins[name].append(float(np.mean([adds[place] < other for other in others])))
    for (place, text), score in zip(texts["other"], scorer.score([t for _, t in texts["other"]]), strict=True):
        parts = score.per_sentence
        if len(parts) == len(split_sentences(text, "en")):
            others = [part for i, part in enumerate(parts) if i != place]
            wins["coherence, another story's"].append(float(np.mean([parts[place] < other for other in others])))
    told = {}
    for name, values in wins.items():
        labels = [str(i) for i in range(len(values))]
        told[name] = {"passages": len(values), "lower": show(mean(Bootstrap(labels), values, labels))}
    return told


if __name__ == "__main__":
    main()
