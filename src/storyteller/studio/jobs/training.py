"""A training as the studio sees it: two commands of `storyteller`, and what they leave in their folders.

    prepare SOURCES --out CORPUS          then   finetune RECIPE data.path=CORPUS ... --out RUN   or   finetune --resume RUN

Nothing that a run's folder holds is kept a second time: curve, samples, speed and cost are read from there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storyteller.corpus.read import is_prepared
from storyteller.errors import CheckpointError
from storyteller.runs.children import Ending, read_ending
from storyteller.runs.files import read_json
from storyteller.runs.run import Run

__all__ = ["Training", "Wish"]

DEFAULT_MINUTES = 6.0
_SETTING_UP = 1.0  # minutes that loading, measuring, samples and saving take beside the steps, on two cores
_LITTLE_STORIES, _LITTLE_WORDS = 8, 3_000
_SHORT = 15.0  # minutes
_POINTS = 300
_LENGTHS = ("train.steps=", "train.epochs=", "train.minutes=")
_STEP = re.compile(r"step-(\d+)$")
_SAMPLES = {
    "en": ["A lighthouse keeper finds a talking seal.", "Two sisters inherit a clock that runs backwards."],
    "zh": ["守灯塔的人遇见一只会说话的海豹。", "两姐妹继承了一座倒着走的钟。"],
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a writer asked for: where the stories lie, and how they are to be trained on.

    `minutes` is the whole time that it should take; `overrides` are recipe keys as on the command line, which win.
    """

    sources: tuple[str, ...]
    recipe: str = "own-stories"
    minutes: float = DEFAULT_MINUTES
    base: str = "default"
    overrides: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Wish:
        """The wish that was kept as a JSON object."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in asked.items()
        }
        return cls(**values)


class Training:
    """One training: its wish, the job's own `folder` and the folder of its `run`."""

    def __init__(self, name: str, wish: Wish, folder: Path, run: Path) -> None:
        self.name, self.wish, self.folder, self.run = name, wish, folder, run

    @property
    def corpus(self) -> Path:
        """The prepared stories."""
        return self.folder / "corpus"

    @property
    def prepared(self) -> bool:
        """Whether the stories have been read."""
        return is_prepared(self.corpus)

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end and its model can be used."""
        return Run(self.run).finished

    @property
    def final(self) -> Path:
        """The folder of what came out."""
        return self.run / "final"

    @property
    def stage(self) -> str:
        """Where it is: report, estimate, training or done."""
        if not self.prepared:
            return "report"
        if self.finished:
            return "done"
        return "training" if (self.run / "estimate.json").is_file() else "estimate"

    def arguments(self) -> list[str]:
        """The command of the stage that comes next."""
        if not self.prepared:
            # Every story is precious where there are few: a tenth to measure on, none for a test.
            shares = ["--dev", "0.1", "--test", "0"]
            return ["prepare", *self.wish.sources, "--out", str(self.corpus), *shares, "--json"]
        if (self.run / "recipe.yaml").is_file():
            return ["finetune", "--resume", str(self.run)]
        settings = [
            f"name={json.dumps(self.name, ensure_ascii=False)}",
            f"data.path={json.dumps(str(self.corpus))}",
            f"model.base={json.dumps(self.wish.base)}",
            "train.save_minutes=2",
            "train.log_every=1",
            f"samples.prompts={json.dumps(_SAMPLES[self.language], ensure_ascii=False)}",
            "samples.words=60",
            # Where stories are few it often stops early: a look now and then, and not only in the middle and at the end.
            *(["samples.every=8"] if self.wish.minutes <= _SHORT else []),
        ]
        if not any(override.startswith(_LENGTHS) for override in self.wish.overrides):
            settings.append(f"train.minutes={max(0.5 * self.wish.minutes, self.wish.minutes - _SETTING_UP):g}")
        if self._splits().get("dev", {}).get("stories"):
            settings.append("train.patience=4")  # few stories are soon learned by heart
        return ["finetune", self.wish.recipe, *settings, *self.wish.overrides, "--out", str(self.run)]

    @property
    def language(self) -> str:
        """The language of most of its words."""
        counts = self.report_file().get("table", {}).get("language", {})
        return max(counts, key=lambda name: counts[name]["words"], default="en")

    def log(self, attempt: int) -> Path:
        """The file of what the commands of one attempt say."""
        return self.folder / f"log-{attempt}.txt"

    def ending(self, attempt: int) -> Ending:
        """How the last command of an attempt ended, now that it has."""
        return read_ending(self.log(attempt))

    def report_file(self) -> dict[str, Any]:
        """The data report as `prepare` wrote it; empty before it did."""
        path = self.corpus / "report.json"
        return dict(read_json(path)) if path.is_file() else {}

    def report(self) -> dict[str, Any] | None:
        """What was read and what was left out and why, with warnings where it is little; None before it is known."""
        found = self.report_file()
        if not found:
            return None
        table = found["table"]
        return {
            "files": found["files"],
            "read": found["read"],
            "kept": found["kept"],
            "words": found["words"],
            "languages": {name: row["stories"] for name, row in table["language"].items()},
            "forms": {name: row["stories"] for name, row in table["form"].items()},
            "dropped": [
                {
                    "reason": reason,
                    "count": one["count"],
                    "example": one["place"].rsplit("/", 1)[-1],
                    "begins": one["excerpt"],
                }
                for reason, one in found["skipped"].items()
            ]
            + [
                {"reason": reason, "count": found[key], "example": "", "begins": ""}
                for key, reason in (("exact_duplicates", "exact duplicate"), ("near_duplicates", "near duplicate"))
                if found[key]
            ],
            "splits": {name: split["stories"] for name, split in found["splits"].items()},
            "warnings": self._warnings(found),
        }

    def estimate(self) -> dict[str, Any] | None:
        """Steps, seconds, bytes of memory and parameters as measured on this machine; None before they are."""
        path = self.run / "estimate.json"
        return dict(read_json(path)) if path.is_file() else None

    def curve(self) -> list[dict[str, Any]]:
        """Loss by step, thinned out to some hundreds of points, and dev loss at every step where it was measured."""
        points: dict[int, dict[str, Any]] = {}
        for line in Run(self.run).metrics():
            point = points.setdefault(line["step"], {"step": line["step"], "loss": None})
            point["dev" if line["split"] == "dev" else "loss"] = line.get("loss")
        every = len(points) // _POINTS + 1
        steps = sorted(points)
        return [points[step] for place, step in enumerate(steps) if place % every == 0 or "dev" in points[step]]

    def samples(self) -> list[dict[str, Any]]:
        """What the model told at each step that it was asked, as Markdown."""
        found = [
            (int(match[1]), path) for path in (self.run / "samples").glob("*.md") if (match := _STEP.search(path.stem))
        ]
        return [{"step": step, "text": path.read_text("utf-8")} for step, path in sorted(found)]

    def pace(self) -> dict[str, Any]:
        """Step, steps, loss, tokens a second, and the seconds that are left; what is not known yet is None."""
        estimate = self.estimate()
        if estimate is None:
            return {"step": 0, "steps": None, "loss": None, "tokens_per_second": None, "eta_seconds": None}
        steps = int(estimate["steps"])
        lines = [line for line in Run(self.run).metrics() if line["split"] == "train"]
        if not lines:
            left = float(estimate["seconds"]) + 60 * _SETTING_UP / 2
            return {"step": 0, "steps": steps, "loss": None, "tokens_per_second": None, "eta_seconds": round(left)}
        last = lines[-1]
        recent = [line for line in lines[-6:] if line["seconds"] <= last["seconds"] and line["step"] < last["step"]]
        each = float(estimate["seconds"]) / steps
        if recent:  # evaluations and samples are in it, as they will be
            each = (last["seconds"] - recent[0]["seconds"]) / (last["step"] - recent[0]["step"])
        return {
            "step": last["step"],
            "steps": steps,
            "loss": last.get("loss"),
            "tokens_per_second": last.get("tokens_per_second"),
            "eta_seconds": round((steps - last["step"]) * each),
        }

    def figures(self) -> dict[str, Any]:
        """What training changed on stories that it did not see: bits per byte of the base and of the best step."""
        dev = [
            line for line in Run(self.run).metrics() if line["split"] == "dev" and line.get("bits_per_byte") is not None
        ]
        if not dev:
            return {}
        best = min(dev, key=lambda line: float(line["bits_per_byte"]))
        return {"base": dev[0]["bits_per_byte"], "best": best["bits_per_byte"], "best_step": best["step"]}

    def saved_step(self) -> int | None:
        """The step of the last checkpoint, if there is one."""
        try:
            last = Run(self.run).pointed("last")
        except CheckpointError:
            return None
        return None if last is None else int(last[1].get("step", 0))

    def _splits(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.report_file().get("splits", {})
        return found

    def _warnings(self, found: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Codes that the page words in the writer's language, with an English text for everyone else."""
        warnings = []
        if found["kept"] < _LITTLE_STORIES or found["words"] < _LITTLE_WORDS:
            told = (
                f"{found['words']:,} words in {found['kept']} {'story' if found['kept'] == 1 else 'stories'} are little"
            )
            then = "the model can take on a tone from them, and hardly more. Thirty stories teach far more than ten."
            warnings.append({"code": "little", "text": f"{told}: {then}"})
        if not self._splits().get("dev", {}).get("stories"):
            text = "There are too few stories to hold one back: nothing can tell whether training helped."
            warnings.append({"code": "unmeasured", "text": text})
        chinese = found["table"]["language"].get("zh", {}).get("words", 0)
        if chinese > 0.5 * found["words"] and self.wish.base in ("default", "smollm2-135m-instruct"):
            text = f"The stories are Chinese, and {self.wish.base} has hardly read any Chinese: name another base."
            warnings.append({"code": "language", "text": text})
        return warnings
