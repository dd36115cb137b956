"""Does training beat asking? Judges of style and content on the texts that `style_transfer.py` drew; a table and a verdict.

    python scripts/judge_style.py RUN --apart JUDGES --out VERDICT

Judges of words and of letters learn on people's passages of works in neither training nor test (JUDGES, made by
`style_passages.py`); a third, `frame`, sees only words that all styles have, so that no subject can help. Content: the
similarity of embeddings, the content words and names that are still there, and how likely the base finds the original after
the rewrite (`kept`, nats a token). `both` is style times similarity, from 0 for another passage of the style to 1. `copy` is
the source itself, `other` a person's passage of the target style that tells something else: the bounds.

The rule, fixed before the first run, for a pair of styles (both directions together), against `asked` and `few-shot` each:
PASSED: a style accuracy (mean of both judges) higher by .20 or more, the interval over works above 0 for each judge; a content
similarity that is not lower (the interval of the difference reaches 0 or lies above it); no more copied than the baseline
by .05; a loss of fluency (nats a token, n-gram model of people's passages of the target style) of .30 at most.
A TRADE: the same style accuracy, but similarity is lower, and style times content (`both`) is higher with its interval above 0.
NOT PASSED: all else. `dual` is worth its critic when it passes against `continued` in `both`, with the interval above 0.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from style_passages import PAIRS, STYLES, Record, read_lines

from storyteller.corpus.language import count_words, words_of
from storyteller.runs import write_json
from storyteller.tokens.vocabulary import terms, word_list

TRAINED, BASELINES = ("denoised", "back-translated", "dual", "continued"), ("asked", "few-shot")
RULE = {"style": 0.20, "copied": 0.05, "fluency": 0.30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--apart", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    Judging(asked.run, asked.apart, asked.out).go()


class Judging:
    """Judges that saw none of the works, and what they say of each system."""

    def __init__(self, run: Path, apart: Path, out: Path) -> None:
        from storyteller.evaluate.suite.meanings import Meanings

        self.people: dict[str, list[str]] = defaultdict(list)
        for record in read_lines(apart / "apart.jsonl.xz"):
            self.people[record["style"]].append(record["text"])
        lines = (run / "texts.jsonl").read_text(encoding="utf-8").splitlines()
        self.texts = [json.loads(line) for line in lines]
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self.meanings = Meanings("en", out / "embeddings.safetensors")
        self.add_bounds()
        self.fit()

    def add_bounds(self) -> None:
        """`copy` tells nothing anew; `other` is a person's passage of the target style that tells something else."""
        first = [t for t in self.texts if t["system"] == "asked"]
        chance = random.Random(7)
        tests: dict[str, list[Record]] = defaultdict(list)
        for text in first:
            tests[text["from"]].append(text)
        for text in first:
            other = chance.choice(tests[text["to"]])["source"]
            for system, told in (("copy", text["source"]), ("other", other)):
                self.texts.append({**text, "system": system, "text": told, "fault": "", "kept": None})

    def fit(self) -> None:
        """Judges for each pair and family, and the n-gram model of each style."""
        from sklearn.linear_model import LogisticRegression

        from storyteller.evaluate.judge_features import ngram_features
        from storyteller.evaluate.kneser_ney import fit_texts
        from storyteller.models import locate
        from storyteller.tokens import StoryTokenizer

        self.tokenizer = StoryTokenizer.load(locate("smollm2-135m-instruct").folder)
        self.grams = {style: fit_texts(texts, self.tokenizer, 3) for style, texts in self.people.items()}
        self.frame = frame_words(self.people)
        self.judges: dict[tuple[frozenset[str], str], Any] = {}
        for pair in PAIRS:
            texts = [text for style in pair for text in self.people[style]]
            labels = [style for style in pair for _ in self.people[style]]
            for family in ("word", "char", "frame"):
                matrix = ngram_features(
                    [self.seen(t, family) for t in texts], "char" if family == "char" else "word", "en"
                )
                judge = LogisticRegression(C=10.0, class_weight="balanced", solver="liblinear", random_state=0)
                self.judges[frozenset(pair), family] = judge.fit(matrix, labels)

    def seen(self, text: str, family: str) -> str:
        """What a judge reads: one line with one spelling of marks; `frame` shows words of both styles only."""
        from storyteller.evaluate.matching import normalise

        plain = normalise(text)
        if family == "frame":
            plain = re.sub(
                r"\w+(?:'\w+)*", lambda word: word[0] if word[0].lower() in self.frame else "x", plain.lower()
            )
        return plain

    def go(self) -> None:
        from storyteller.evaluate.statistics import Bootstrap

        for text in self.texts:
            if not words_of(text["text"]):
                text["text"], text["fault"] = "nothing.", "empty"
        self.measure()
        self.bootstrap = Bootstrap(text["work"] for text in self.texts)
        systems = list(dict.fromkeys(text["system"] for text in self.texts))
        table = [self.row(system, pair) for pair in PAIRS for system in systems]
        verdicts = [
            self.verdict(system, pair) for pair in PAIRS for system in systems if system in TRAINED
        ]  # fmt: skip
        duals = [self.dual_worth(pair) for pair in PAIRS if {"dual", "continued"} <= set(systems)]
        shown = render(table, verdicts, duals)
        (self.out / "table.md").write_text(shown, encoding="utf-8")
        write_json(self.out / "verdict.json", {"rule": RULE, "table": table, "verdicts": verdicts, "duals": duals})
        print(shown)

    def measure(self) -> None:
        """Every figure of every text, beside it."""
        from storyteller.evaluate.judge_features import ngram_features
        from storyteller.evaluate.kneser_ney import text_costs

        told, sources = self.meanings.stories([t["text"] for t in self.texts], [t["source"] for t in self.texts])
        for text, similarity in zip(self.texts, (told * sources).sum(1).tolist(), strict=True):
            text["similarity"] = similarity
            text["terms"] = shared_terms(text["source"], text["text"])
            text["names"] = shared_names(text["source"], text["text"])
            text["copied"] = copied(text["source"], text["text"])
            text["length"] = count_words(text["text"], "en") / count_words(text["source"], "en")
        for pair in PAIRS:
            own = [t for t in self.texts if {t["from"], t["to"]} == set(pair)]
            for family in ("word", "char", "frame"):
                judge = self.judges[frozenset(pair), family]
                matrix = ngram_features(
                    [self.seen(t["text"], family) for t in own], "char" if family == "char" else "word", "en"
                )
                for text, found in zip(own, judge.predict(matrix), strict=True):
                    text[family] = float(found == text["to"])
            floor = float(np.mean([t["similarity"] for t in own if t["system"] == "other"]))
            for text in own:
                text["style"] = (text["word"] + text["char"]) / 2
                text["both"] = text["style"] * max(0.0, (text["similarity"] - floor) / (1 - floor))
        for style in STYLES:
            own = [t for t in self.texts if t["to"] == style]
            for text, cost in zip(
                own, text_costs(self.grams[style], [t["text"] for t in own], self.tokenizer), strict=True
            ):
                text["fluency"] = cost.nats / cost.tokens

    def of(self, system: str, pair: tuple[str, str], key: str) -> Any:
        """The mean of a figure over the texts of a system that have it, with its resamples over works."""
        from storyteller.evaluate.statistics import mean

        own = [t for t in self.texts if t["system"] == system and {t["from"], t["to"]} == set(pair)]
        own = [t for t in own if t.get(key) is not None]
        return mean(self.bootstrap, [t[key] for t in own], [t["work"] for t in own]) if own else None

    def row(self, system: str, pair: tuple[str, str]) -> Record:
        row: Record = {"pair": " <-> ".join(pair), "system": system}
        for key in KEYS:
            found = self.of(system, pair, key)
            row[key] = None if found is None else interval(found)
        own = [t for t in self.texts if t["system"] == system and {t["from"], t["to"]} == set(pair)]
        row["faults"] = {
            f: sum(t["fault"] == f for t in own) / len(own) for f in sorted({t["fault"] for t in own} - {""})
        }
        row["directions"] = {
            f"{a} -> {b}": {
                k: float(np.mean([t[k] for t in own if t["to"] == b])) for k in ("style", "similarity", "both")
            }
            for a, b in (pair, pair[::-1])
        }
        return row

    def less(self, system: str, other: str, pair: tuple[str, str], key: str) -> Any:
        return self.of(system, pair, key) - self.of(other, pair, key)

    def verdict(self, system: str, pair: tuple[str, str]) -> Record:
        """The rule at the head of this file."""
        against = []
        for baseline in BASELINES:
            gains = {key: interval(self.less(system, baseline, pair, key)) for key in
                     ("style", "word", "char", "similarity", "both", "copied", "fluency")}  # fmt: skip
            styled = gains["style"][0] >= RULE["style"] and gains["word"][1] > 0 and gains["char"][1] > 0
            kept = gains["similarity"][2] >= 0
            clean = gains["copied"][0] <= RULE["copied"] and gains["fluency"][0] <= RULE["fluency"]
            found = (
                "PASSED"
                if styled and kept and clean
                else "A TRADE"
                if styled and gains["both"][1] > 0
                else "NOT PASSED"
            )
            against.append({"baseline": baseline, "gains": gains, "found": found})
        order = ("NOT PASSED", "A TRADE", "PASSED")
        worst = min((one["found"] for one in against), key=order.index)
        return {"system": system, "pair": " <-> ".join(pair), "against": against, "verdict": worst}

    def dual_worth(self, pair: tuple[str, str]) -> Record:
        gains = {key: interval(self.less("dual", "continued", pair, key)) for key in ("style", "similarity", "both")}
        return {"pair": " <-> ".join(pair), "gains": gains, "worth": gains["both"][1] > 0}


KEYS = ("style", "word", "char", "frame", "similarity", "both", "terms", "names", "kept", "fluency", "copied", "length")


def interval(found: Any) -> list[float]:
    told = found.interval()
    return [round(float(told.value), 4), round(float(told.low), 4), round(float(told.high), 4)]


def frame_words(people: dict[str, list[str]]) -> set[str]:
    """Words in at least one of 50 passages of every style: the frame that no subject fills."""
    shares = []
    for texts in people.values():
        counts: dict[str, int] = defaultdict(int)
        for text in texts:
            for word in {word.lower() for word in words_of(text)}:
                counts[word] += 1
        shares.append({word for word, count in counts.items() if count >= 0.02 * len(texts)})
    return set.intersection(*shares)


def shared_terms(source: str, text: str) -> float | None:
    """The share of the source's content words that the text has."""
    wanted = set(terms(source, "en"))
    return len(wanted & set(terms(text, "en"))) / len(wanted) if wanted else None


def shared_names(source: str, text: str) -> float | None:
    """The share of the source's names (words with a capital within a sentence, or speakers) that the text has."""
    common = word_list("common_en")
    inside = re.findall(r"(?<=[a-z,;] )[A-Z][a-z]{2,}|\b[A-Z]{3,}\b", source)
    wanted = {name.lower() for name in inside} - common
    return len(wanted & set(re.findall(r"[^\W\d_]+", text.lower()))) / len(wanted) if wanted else None


def copied(source: str, text: str, n: int = 5) -> float:
    """The share of the text's 5-grams of words that stand in its source."""
    mine, theirs = (
        {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
        for words in ([word.lower() for word in words_of(each)] for each in (text, source))
    )
    return len(mine & theirs) / len(mine) if mine else 0.0


def render(table: list[Record], verdicts: list[Record], duals: list[Record]) -> str:
    def shown(value: list[float] | None) -> str:
        return "-" if value is None else f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"

    lines = []
    for pair in dict.fromkeys(row["pair"] for row in table):
        lines += [
            "",
            f"**{pair}**",
            "",
            "| system | " + " | ".join(KEYS) + " | faults |",
            "|---" * (len(KEYS) + 2) + "|",
        ]
        for row in (row for row in table if row["pair"] == pair):
            faults = ", ".join(f"{name} {share:.2f}" for name, share in row["faults"].items())
            lines.append(f"| {row['system']} | " + " | ".join(shown(row[key]) for key in KEYS) + f" | {faults} |")
        lines += ["", "| system | direction | style | similarity | both |", "|---|---|---|---|---|"]
        for row in (row for row in table if row["pair"] == pair):
            for way, figures in row["directions"].items():
                told = " | ".join(f"{figures[key]:.3f}" for key in ("style", "similarity", "both"))
                lines.append(f"| {row['system']} | {way} | {told} |")
    lines += ["", "| pair | system | against | style | similarity | both | copied | fluency | |", "|---" * 9 + "|"]
    for one in verdicts:
        for against in one["against"]:
            gains = " | ".join(
                shown(against["gains"][key]) for key in ("style", "similarity", "both", "copied", "fluency")
            )
            lines.append(f"| {one['pair']} | {one['system']} | {against['baseline']} | {gains} | {against['found']} |")
    lines += [f"\n{one['pair']}: {one['system']}: {one['verdict']}" for one in verdicts]
    lines += [
        f"\n{one['pair']}: dual less continued: style {shown(one['gains']['style'])}, similarity "
        f"{shown(one['gains']['similarity'])}, both {shown(one['gains']['both'])}: "
        + ("worth its critic" if one["worth"] else "not shown to be worth its critic")
        for one in duals
    ]
    return "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    main()
