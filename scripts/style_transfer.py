"""Unpaired style transfer between tales, plays and science fiction: train, and draw every system's rewrites.

    python scripts/style_passages.py CORPORA --out DATA --apart JUDGES
    python scripts/style_transfer.py DATA --out RUN [--base smollm2-135m-instruct] [--seconds 215]
    python scripts/judge_style.py RUN --apart JUDGES --out VERDICT

Each test passage is told once at T = 0.5 by each system: `asked` and `few-shot` (two pairs of our own writing) are the base
before any training; `denoised` (from bleached words), `back-translated`, then `dual`, and `continued`: back-translation for as
many seconds more as `dual` had. The rule of the verdict stands in `judge_style.py`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from style_passages import STYLES, TEST, TRAIN, read_lines

from storyteller.errors import DataError

DIRECTIONS = (("tale", "play"), ("play", "tale"), ("tale", "future"), ("future", "tale"))
REQUESTS = {
    "tale": "Tell this passage again as a fairy tale, in the plain prose of long ago. Keep what happens and who takes "
    "part. Answer with the new passage alone.",
    "play": "Tell this passage again as a scene of a play: the speaker's name in capitals above what each person says. "
    "Keep what happens and who takes part. Answer with the new passage alone.",
    "future": "Tell this passage again as science fiction, among machines, ships and planets. Keep what happens and who "
    "takes part. Answer with the new passage alone.",
}
TEMPERATURE = 0.5

#: Pairs of our own writing for the few-shot baseline; none is trained on.
EXAMPLES: dict[frozenset[str], list[dict[str, str]]] = {
    frozenset(("tale", "play")): [
        {
            "tale": "There was once a miller who had only one cow. One morning his wife told him that the cow was gone. "
            "The miller wept and said that they would starve before the winter was over. But the wife laughed, and told "
            "him that she had sold it for a golden hen, and she bade him look into the basket.",
            "play": "[The mill. Morning. Enter the WIFE, with a basket]\n\nWIFE\nHusband, wake up. The cow is gone.\n\n"
            "MILLER\nGone! Our only cow! Then we shall starve before the winter is over.\n\nWIFE\nDry your eyes, man. I "
            "sold her for a golden hen. Come, look into the basket.",
        },
        {
            "tale": "The youngest prince came to the gate of the castle and begged the old porter to let him in, for he had "
            "ridden all night. The porter asked him who he was. When he heard the name he fell on his knees, for he had "
            "thought that the prince was dead, and he ran to tell the king.",
            "play": "[Before the castle gate. Enter PRINCE]\n\nPRINCE\nGood porter, let me in. I have ridden all night.\n\n"
            "PORTER\nAnd who are you, that knocks so late?\n\nPRINCE\nAlbert, the king's youngest son.\n\nPORTER\nMy prince! "
            "We thought that you were dead. I run to tell the king.\n\n[Exit]",
        },
    ],
    frozenset(("tale", "future")): [
        {
            "tale": "A poor fisherman lived with his daughter in a hut by the sea. One evening a stranger in a grey cloak "
            "came to the door and asked for shelter from the storm. The girl gave him bread and a place by the fire, and in "
            "the morning he was gone, but on the table lay a silver key.",
            "future": "Old Dawson and his daughter ran the fuel depot on the dark side of Callisto. At the end of the third "
            "shift a stranger in a grey pressure suit came through the airlock and asked to wait out the meteor storm. The "
            "girl gave him coffee and a bunk beside the reactor. When the lights went up he was gone, but on the control "
            "desk lay a silver key.",
        },
        {
            "tale": "The wizard had locked the king's three sons in a tower of glass. Every night he counted them, and every "
            "night he laughed. But a mouse had gnawed a hole in the wall, and through it the eldest crept out, and he ran "
            "into the forest to look for help.",
            "future": "Dr. Voss kept the Commander's three sons in a dome of clear plastic on the far rim of the crater. Every "
            "night he checked the instruments and laughed. But a repair robot had burned a hole in the wall, and through it "
            "the eldest boy crawled out in a stolen suit, and ran across the dust to find the rescue ship.",
        },
    ],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--seconds", type=float, default=215.0)
    parser.add_argument(
        "--size", choices=sorted(SIZES), default="full", help="small: for one core; tiny: to try the script"
    )
    asked = parser.parse_args()
    Run(asked.data, asked.out, asked.base, asked.seconds, SIZES[asked.size]).go()


@dataclass(frozen=True)
class Size:
    """How much is read, learned and drawn; seconds end most parts before their limits."""

    train: int = TRAIN
    """passages of a style to learn from"""
    test: int = TEST
    """passages of a style to be told again by every system"""
    letters: int | None = None
    """a passage is cut to so many"""
    lessons: int = 64
    """in one step"""
    denoising: tuple[int, int] = (24, 64)
    """least and most steps"""
    ways: int = 256
    """passages of a direction in a round of back-translation"""
    rounds: int = 9
    duals: int = 64
    """passages of a direction in a round of rewarded telling"""
    critics: tuple[int, int, int] = (400, 60, 60)
    """passages of a style that they learn from, those that they are tested on, steps"""


SIZES = {
    "full": Size(),
    "small": Size(train=250, test=30, lessons=16, denoising=(16, 64), ways=24, duals=6, critics=(150, 60, 60)),
    "tiny": Size(
        train=12, test=2, letters=150, lessons=8, denoising=(2, 2), ways=4, rounds=1, duals=2, critics=(6, 6, 4)
    ),
}


class Run:
    """Trains and draws against the clock: what the draws leave of the seconds is parted among the kinds of lessons."""

    def __init__(self, data: Path, out: Path, base: str, seconds: float, size: Size) -> None:
        import torch

        from storyteller.adversarial.policy import Policy
        from storyteller.adversarial.style import StyleRecipe, Transfer
        from storyteller.models import apply_lora, load_model, locate
        from storyteller.models.precision import resolve_precision
        from storyteller.recipe import LoraRecipe
        from storyteller.tokens import StoryTokenizer, Template

        self.began, self.seconds, self.size, self.out = time.monotonic(), seconds, size, out
        tiny = size is SIZES["tiny"]
        out.mkdir(parents=True, exist_ok=True)
        (out / "texts.jsonl").unlink(missing_ok=True)
        (out / "metrics.jsonl").unlink(missing_ok=True)
        self.gpu = torch.cuda.is_available()
        torch.set_float32_matmul_precision("high" if self.gpu else "highest")
        located = locate(base)
        model = load_model(located, dtype="float32", merge=True)
        # With units for bfloat16 a processor draws and learns in it, or its hour would go into a fraction of the rounds.
        self.dtype = torch.bfloat16 if self.gpu or resolve_precision("auto")[0] == "bfloat16" else torch.float32
        policy = Policy(
            apply_lora(model.to("cuda") if self.gpu else model, LoraRecipe(rank=16), seed=1),
            torch.float32 if self.gpu else self.dtype,
        )
        template = Template.load(located.adapter or located.folder, StoryTokenizer.load(located.folder))
        self.recipe = StyleRecipe(new_tokens=200, rows=4, group=2) if tiny else StyleRecipe()
        self.transfer = Transfer(policy, template, REQUESTS, self.recipe)
        self.train = self.passages(data / "train.jsonl.xz", size.train)
        self.test = self.passages(data / "test.jsonl.xz", size.test)
        self.chance, self.steps, self.rounds, self.lr = random.Random(3), 0, 0, self.recipe.lr
        self.note("start", {style: float(len(self.train[style])) for style in STYLES})

    def passages(self, path: Path, most: int) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {style: [] for style in STYLES}
        for record in read_lines(path):
            if len(found[record["style"]]) < most:
                text = record["text"][: self.size.letters]
                try:
                    passage = self.transfer.passage(text, record["style"], record["work"], "en")
                except DataError:  # too long for a rewrite of its length
                    continue
                found[record["style"]].append(passage)
        return found

    def go(self) -> None:
        """All parts; the texts of each system are on the disk before the next part begins."""
        before = self.spent()
        self.draw("asked", lambda way: self.transfer.prompt(way.passage.text, way.style))
        self.draw("few-shot", self.few_shot)
        # Four more draws come; what is left is for learning.
        budget = max(10.0, self.seconds - self.spent() - 2 * (self.spent() - before))
        start = self.spent()
        self.denoise(until=start + 0.28 * budget, most=self.size.denoising[1])
        self.draw("denoised", bleach=True)
        self.back_translate(until=start + 0.62 * budget)
        self.draw("back-translated")
        self.save("back-translated")
        kept, rounds = self.transfer.state(), self.rounds
        start = self.spent()
        self.dual(until=start + 0.19 * budget)
        spent = self.spent() - start
        self.draw("dual")
        self.save("dual")
        self.transfer.restore(kept)
        self.rounds, self.lr = rounds, self.recipe.dual_lr
        self.back_translate(until=self.spent() + spent)
        self.draw("continued")
        self.note("done", {})

    def spent(self) -> float:
        return time.monotonic() - self.began

    def note(self, part: str, figures: dict[str, float]) -> None:
        line = {"part": part, "seconds": round(self.spent(), 1), "step": self.steps, "round": self.rounds}
        line |= {name: round(value, 4) for name, value in figures.items()}
        with (self.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)

    def test_ways(self) -> list[Any]:
        from storyteller.adversarial.style import Way

        return [Way(passage, target) for source, target in DIRECTIONS for passage in self.test[source]]

    def draw(self, system: str, prompt: Callable[[Any], list[int]] | None = None, bleach: bool = False) -> None:
        """One rewrite of each test passage: by the base with `prompt`, else by the policy as it is."""
        ways = self.test_ways()
        if prompt is not None:
            with self.transfer.policy.merged(self.dtype):  # the adapter has not moved yet: this is the base
                told = self.transfer.tell([prompt(way) for way in ways], 1, 11, TEMPERATURE)
            groups = [[self.transfer.looked_at(ids[0], way)] for ids, way in zip(told, ways, strict=True)]
        else:
            if bleach:
                ways = self.bleached(ways, random.Random(5))
            groups = self.transfer.rewrite(ways, 1, 11, temperature=TEMPERATURE, dtype=self.dtype)
        back = self.transfer.kept(ways, groups, frozen=True)[:, 0].tolist()
        with (self.out / "texts.jsonl").open("a", encoding="utf-8") as file:
            for number, (way, (rewrite,), kept) in enumerate(zip(ways, groups, back, strict=True)):
                record = {
                    "system": system, "number": number, "from": way.passage.style, "to": way.style,
                    "work": way.passage.work, "source": way.passage.text, "text": rewrite.text,
                    "fault": rewrite.fault, "kept": round(kept, 4),
                }  # fmt: skip
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self.note(f"drew {system}", {"faults": sum(bool(r.fault) for (r,) in groups) / len(groups),
                                     "kept": sum(back) / len(back)})  # fmt: skip

    def few_shot(self, way: Any) -> list[int]:
        """Two examples as turns of the conversation, then the passage."""
        from storyteller.tokens import Request
        from storyteller.tokens.chat import Conversation

        source, target = way.passage.style, way.style
        turns = []
        for pair in EXAMPLES[frozenset((source, target))]:
            turns += [("user", f"{REQUESTS[target]}\n\n{pair[source]}"), ("assistant", pair[target])]
        turns.append(("user", f"{REQUESTS[target]}\n\n{way.passage.text}"))
        return Conversation(self.transfer.template.tokenizer, turns).prompt(Request())

    def bleached(self, ways: Sequence[Any], chance: random.Random) -> list[Any]:
        from storyteller.adversarial.style import Way, bleached

        return [Way(way.passage, way.style, bleached(way.passage.text, "en", chance)) for way in ways]

    def denoise(self, until: float, most: int) -> None:
        pool = [passage for style in STYLES for passage in self.train[style]]
        losses = []
        while self.steps < most and (self.spent() < until or self.steps < self.size.denoising[0]):
            lessons = self.transfer.denoising(self.chance.sample(pool, self.size.lessons), self.steps)
            losses.append(self.transfer.step([], lessons, self.rate())["human_loss"])
            self.steps += 1
            if self.steps % 8 == 1:
                self.note("denoise", {"loss": losses[-1]})
        self.note("denoised", {"loss": losses[-1] if losses else 0.0})

    def rate(self) -> float:
        """The rate rises over ten steps; what goes on beside `dual` has its rate."""
        return self.lr * min(1.0, (self.steps + 1) / 10)

    def ways(self, count: int) -> list[Any]:
        """`count` train passages of each direction, to be told in the other style."""
        from storyteller.adversarial.style import Way

        return [
            Way(passage, target) for source, target in DIRECTIONS
            for passage in self.chance.sample(self.train[source], min(count, len(self.train[source])))
        ]  # fmt: skip

    def back_translate(self, until: float) -> None:
        """Rounds of telling and of learning the way back, a quarter of the lessons still denoising."""
        for number in range(self.size.rounds):
            if number and self.spent() > until:
                break
            ways = self.ways(self.size.ways)
            if self.rounds == 0:  # until now bleached words are all that it has been asked with
                ways = self.bleached(ways, self.chance)
            told = [group[0] for group in self.transfer.rewrite(ways, 1, 100 + self.rounds, dtype=self.dtype)]
            lessons = self.transfer.back(ways, told)
            pool = [passage for style in STYLES for passage in self.train[style]]
            denoised = min(len(pool), max(len(lessons) // 3, self.size.lessons // 4))
            lessons += self.transfer.denoising(self.chance.sample(pool, denoised), self.rounds)
            self.chance.shuffle(lessons)
            losses = [0.0]
            for start in range(0, len(lessons), self.size.lessons):
                if number and self.spent() > until + 4:
                    break
                losses.append(
                    self.transfer.step([], lessons[start : start + self.size.lessons], self.rate())["human_loss"]
                )
                self.steps += 1
            self.rounds += 1
            faults = {name: sum(r.fault == name for r in told) / len(told)
                      for name in ("empty", "unfinished", "repetition", "copy")}  # fmt: skip
            self.note("back-translate", {"loss": losses[-1], **faults})

    def dual(self, until: float) -> None:
        """Critics of style, then rounds of rewarded telling beside back-translation of each passage's best rewrite."""
        from storyteller.adversarial.style_critics import StyleCritics
        from storyteller.recipe.models import CriticRecipe

        learned, held_out, steps = self.size.critics
        recipe = CriticRecipe(width=8, pairs=4) if steps < 10 else CriticRecipe()
        critics = StyleCritics(self.transfer.policy, self.transfer.template, STYLES, recipe, seed=1)
        people = {style: self.train[style][:learned] for style in STYLES}
        held = {style: self.train[style][learned : learned + held_out] for style in STYLES}
        critics.learn_people(people, held, steps)
        self.note("critics", critics.accuracy)
        for number in range(self.size.rounds):
            if number and self.spent() > until:
                break
            ways = self.ways(self.size.duals)
            self.chance.shuffle(ways)
            groups = self.transfer.rewrite(ways, self.recipe.group, 200 + number, dtype=self.dtype)
            scores = critics.scores(ways, groups, step=number)
            kept = self.transfer.kept(ways, groups)
            lessons, figures = self.transfer.dual(ways, groups, scores, kept)
            size = max(1, len(ways) // 8)
            for start in range(0, len(ways), size):
                part = slice(start, start + size)
                best = [group[max(range(len(group)), key=lambda i, own=lesson: float(own.weights[i][0]))]
                        for group, lesson in zip(groups[part], lessons[part], strict=True)]  # fmt: skip
                human = self.transfer.back(ways[part], best)
                taken = self.transfer.step(lessons[part], human, self.recipe.dual_lr)
                self.steps += 1
            self.note("dual", figures | {name: taken[name] for name in ("human_loss", "gain", "grad_norm")})

    def save(self, name: str) -> None:
        from safetensors.torch import save_file

        weights = self.transfer.policy.weights()
        save_file({key: value.bfloat16().cpu().contiguous() for key, value in weights.items()},
                  self.out / f"{name}.safetensors")  # fmt: skip


if __name__ == "__main__":
    main()
