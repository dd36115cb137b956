"""The texts from which `compare_refined.py` judges refinements: excerpts to learn on, prompts, and stories of all systems.

    python scripts/refined_texts.py excerpts DATA OUT [--characters 5000] [--each 2]
    python scripts/refined_texts.py ask UNREAD --seen DATA --prompts 960 --words 70 --out PEOPLE.jsonl
    python scripts/refined_texts.py tell PEOPLE.jsonl --out TEXTS.jsonl --runs gail=runs/gail-1 coop=runs/coop-1 --seed 1

`excerpts` writes the prepared corpus DATA again with at most `--each` excerpts of a story, each of whole paragraphs, in the
same splits: refinement learns from the first hundred tokens of a story, and need not tokenize novels for it. `ask` takes one
passage of each story in UNREAD (a prepared folder; all of its splits) that shares no more than a twentieth of its 8-grams of
words with DATA; half of the prompts ask for the passage, half show what stands before it.

`tell` writes, for each `NAME=RUN`, the stories of the run's best checkpoint with the weights, raw or averaged, and at the
strength that its dev prompts chose (whether or not the gate passed it: the comparison decides that), and beside them the model
that all runs began with: as it is (`fine-tuned`), and its best of 4 and of 8 (`best-of-4`, `best-of-8`; `--best` for others) by
the critic of the first run, or with `--critic package` by the one that the studio's number comes from; a NAME with `@N` after
it is also told as its best of N. Sampling is over the full vocabulary at each of `--temperatures`. `--seed` is that of the
sampling, and stands in each text; give each seed of training its own. Beside TEXTS.jsonl it writes `TEXTS.losses.json`: what
each of these models loses on people's texts, in nats a token.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from storyteller.adversarial.groups import lay_out
from storyteller.adversarial.marks import Marks, sentence_marks
from storyteller.adversarial.measuring import end_ids
from storyteller.adversarial.passages import PassageCritic
from storyteller.adversarial.policy import Weights
from storyteller.adversarial.rollouts import drawing_dtype, sample
from storyteller.adversarial.using import StoryCritic, adapter_of
from storyteller.corpus import Story, count_words, read_split
from storyteller.corpus.split import SPLITS
from storyteller.evaluate.collect import human_texts
from storyteller.evaluate.prompts import TASKS, choose_prompts
from storyteller.evaluate.texts import Text, read_texts, write_texts
from storyteller.recipe.models import RolloutRecipe
from storyteller.runs import Run, read_json, write_json
from storyteller.runs.console import say

BASE = "fine-tuned"
_READ = 192
"""Tokens of a draft that the package's critic reads."""
ROWS = 32
"""Prompts whose stories the critic reads at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    cut = commands.add_parser("excerpts")
    cut.add_argument("data", type=Path)
    cut.add_argument("out", type=Path)
    cut.add_argument("--characters", type=int, default=5000)
    cut.add_argument("--each", type=int, default=2, help="excerpts of a story at most; of dev stories twice as many")
    asked = commands.add_parser("ask")
    asked.add_argument("unread", type=Path)
    asked.add_argument("--seen", type=Path, required=True)
    asked.add_argument("--prompts", type=int, default=960)
    asked.add_argument("--words", type=int, default=70)
    asked.add_argument("--out", type=Path, required=True)
    told = commands.add_parser("tell")
    told.add_argument("people", type=Path)
    told.add_argument("--runs", nargs="+", required=True, metavar="NAME=RUN")
    told.add_argument("--base", action="store_true", help="tell with the model before refinement, too")
    told.add_argument("--temperatures", default="0.8,1.0")
    told.add_argument("--best", default="4,8", help="best of how many drafts to tell with --base; may be empty")
    told.add_argument("--critic", choices=("run", "package"), default="run", help="whose opinion chooses the best of n")
    told.add_argument(
        "--once", default="", help="temperatures at which only that model's first draft is told, with --base"
    )
    told.add_argument("--new-tokens", type=int, default=96)
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--limit", type=int)
    told.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "excerpts":
        excerpts(options.data, options.out, options.characters, options.each)
    elif options.command == "ask":
        ask(options.unread, options.seen, options.prompts, options.words, options.out)
    else:
        tell(options)


def excerpts(data: Path, out: Path, characters: int, each: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        most = 2 * each if split == "dev" else each
        with (out / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for story in read_split(data, split):
                for excerpt in _excerpts(story, characters, most):
                    file.write(json.dumps(excerpt.to_json(), ensure_ascii=False) + "\n")
    write_json(out / "manifest.json", read_json(data / "manifest.json") | {"excerpts": characters})


def _excerpts(story: Story, characters: int, most: int) -> list[Story]:
    """The story, or some of its excerpts of about `characters`, which keep its work, so that they stay in one split."""
    if len(story.text) <= characters:
        return [story]
    parts, part = [], ""
    for paragraph in re.split(r"(?<=\n\n)", story.text):
        if part and len(part) + len(paragraph) > characters:
            parts.append(part.strip())
            part = ""
        part += paragraph
    parts.append(part.strip())
    whole = [number for number, text in enumerate(parts) if len(text) > characters / 3]
    chosen = sorted(random.Random(story.id).sample(whole, min(most, len(whole))))
    work = story.work or story.title or story.id
    return [
        replace(story, id=f"{story.id}.{number}", text=parts[number][: 2 * characters], work=work,
                words=count_words(parts[number], story.language), prompt=None)
        for number in chosen
    ]  # fmt: skip


def ask(unread: Path, seen: Path, count: int, length: int, out: Path) -> None:
    known = {gram for story in _all(seen) for gram in _grams(story.text)}
    stories = [story for story in _all(unread) if story.language == "en"]
    fresh = []
    for story in stories:
        grams = _grams(story.text)
        if grams and sum(gram in known for gram in grams) <= 0.05 * len(grams):
            fresh.append(story)
    say(f"{len(fresh)} of {len(stories)} stories are not in {seen}")
    random.Random(1).shuffle(fresh)
    halves = (fresh[::2], fresh[1::2])
    prompts = [
        prompt
        for half, task in zip(halves, TASKS, strict=True)
        for prompt in choose_prompts(half, len(half), words=length, task=task)
    ]
    prompts = [prompt for _, (prompt, *_) in itertools.groupby(prompts, key=lambda prompt: prompt.id.partition("/")[0])]
    random.Random(2).shuffle(prompts)
    texts = human_texts(prompts[:count])
    write_texts(out, texts)
    say(f"{len(texts)} prompts from {len({text.work for text in texts})} works")


def _all(folder: Path) -> Iterator[Story]:
    for split in SPLITS:
        yield from read_split(folder, split)


def _grams(text: str) -> set[int]:
    tokens = re.findall(r"\w+", text.lower())
    return {hash(tuple(tokens[i : i + 8])) for i in range(0, len(tokens) - 7)}


def tell(options: argparse.Namespace) -> None:
    people = read_texts(options.people)[: options.limit]
    temperatures = [float(value) for value in options.temperatures.split(",")]
    done, losses = 0, {}
    with options.out.open("w", encoding="utf-8") as file:
        for number, asked in enumerate(options.runs):
            name, _, folder = asked.partition("=")
            name, _, best = name.partition("@")
            critic = StoryCritic.load(Path(folder))
            weights = chosen_weights(critic, Path(folder))
            several: tuple[int, ...] = (int(best),) if best else ()
            unchanged = critic.policy.scaled(weights, 0.0)
            counted = tuple(int(count) for count in filter(None, options.best.split(",")))
            tasks = [(name, weights, several, temperature) for temperature in temperatures]
            if options.base and number == 0:
                tasks = [
                    *((BASE, unchanged, counted, temperature) for temperature in temperatures),
                    *(
                        (BASE, unchanged, (), float(temperature))
                        for temperature in filter(None, options.once.split(","))
                    ),
                    *tasks,
                ]
            for system, adapter in {task[0]: task[1] for task in tasks}.items():
                losses[system] = human_losses(critic, adapter, people)
            write_json(options.out.with_suffix(".losses.json"), losses)
            for system, adapter, counts, temperature in tasks:
                for text in stories(critic, adapter, system, counts, people, temperature, options):
                    file.write(json.dumps(text.to_json(), ensure_ascii=False) + "\n")
                    done += 1
                file.flush()
                say(f"{system} at {temperature:g}: {done} texts")


@torch.no_grad()
def human_losses(critic: StoryCritic, adapter: Weights, people: Sequence[Text]) -> dict[str, float]:
    """The mean loss of each prompt's human text under the model with `adapter`, in nats a token."""
    policy, template, found = critic.policy, critic.template, {}
    with policy.wearing(adapter):
        for start in range(0, len(people), 8):
            part = people[start : start + 8]
            prompts = [template.prompt(text.request) for text in part if text.request is not None]
            texts = [[template.tokenizer.encode(text.text)] for text in part]
            rows = lay_out(prompts, texts, template.tokenizer.pad_id, policy.device)
            hidden, _ = policy.read(rows)
            values = rows.split(policy.tokens(hidden, rows.labels, 1.0).logprob.cpu())
            found |= {text.prompt_id: -float(value.mean()) for text, value in zip(part, values, strict=True)}
    return found


def chosen_weights(critic: StoryCritic, folder: Path) -> Weights:
    """The adapter of the best checkpoint, of the kind and strength with the highest J on the dev prompts, gate or no gate."""
    run = Run.open(folder)
    best = run.pointed("best")
    assert best is not None, "the first evaluation saves a checkpoint"
    tried = read_json(folder / "refinement.json")["tried"] if (folder / "refinement.json").is_file() else []
    unasked = {"weights": "raw", "scale": 1.0}
    chosen = max(tried, key=lambda one: (not one["alarms"], one["gain"]), default=unasked)
    say(f"{folder}: the checkpoint of step {best[1]['step']}, {chosen['weights']} x {chosen['scale']:g}")
    return critic.policy.scaled(adapter_of(critic.policy, best[0], chosen["weights"]), chosen["scale"])


def stories(
    critic: StoryCritic, adapter: Weights, system: str, several: Sequence[int], people: Sequence[Text],
    temperature: float, options: argparse.Namespace,
) -> Iterator[Text]:  # fmt: skip
    """The answers of one system to all prompts, and its best of each of `several`, of which the first is the answer."""
    policy, template, each = critic.policy, critic.template, max([1, *several])
    prompts = [template.prompt(text.request) for text in people if text.request is not None]
    assert len(prompts) == len(people), "a prompt has its request"
    with policy.wearing(adapter), policy.merged(drawing_dtype(RolloutRecipe(precision="auto"))):
        drawn = sample(
            policy, prompts, each, new_tokens=options.new_tokens, temperature=temperature,
            ends=end_ids(template, policy), seed=1000 * options.seed + round(100 * temperature),
        )  # fmt: skip
    for start in range(0, len(people), ROWS):
        part = range(start, min(start + ROWS, len(people)))
        marks = [[sentence_marks(ids, template.tokenizer, people[i].language) for ids in drawn[i]] for i in part]
        scores: list[list[float]] = []
        if several and options.critic == "package":
            scores = [_passage_scores(group) for group in marks]
        elif several:
            scores = _scores(critic, [prompts[i] for i in part], [drawn[i] for i in part], marks)
        for place, i in enumerate(part):
            for count in (1, *several):
                best = scores[place].index(max(scores[place][:count])) if count > 1 else 0
                name = system if count == 1 else f"best-of-{count}" if system == BASE else f"{system}, best of {count}"
                if text := marks[place][best].text.strip():
                    finish = "stop" if len(drawn[i][best]) < options.new_tokens else "length"
                    yield replace(
                        people[i], text=text, system=name, temperature=temperature, seed=options.seed, finish=finish
                    )


def _scores(
    critic: StoryCritic, prompts: Sequence[Sequence[int]], drawn: Sequence[Sequence[list[int]]],
    marks: Sequence[Sequence[Marks]],
) -> list[list[float]]:  # fmt: skip
    """Realism plus half of coherence, as `best_of` weighs them; the least for a story without a word."""
    present = [
        [(ids, mark) for ids, mark in zip(*both, strict=True) if mark.ends] for both in zip(drawn, marks, strict=True)
    ]
    kept = [i for i, group in enumerate(present) if group]
    found = iter(critic.opinions_of_groups(
        [prompts[i] for i in kept],
        [[ids[: mark.ends[-1]] for ids, mark in present[i]] for i in kept],
        [[mark.ends for _, mark in present[i]] for i in kept],
    ))  # fmt: skip
    scores = []
    for group in marks:
        told = [next(found) if mark.ends else None for mark in group]
        scores.append([float(o.score[-1] + 0.5 * o.coherence[:, -1].mean()) if o else float("-inf") for o in told])
    return scores


def _passage_scores(marks: Sequence[Marks]) -> list[float]:
    """Realism by the critic that comes with the package; it reads no prompt."""
    present = [mark.text for mark in marks if mark.ends]
    judged = iter(_package().beginnings(present, [[_READ] for _ in present]) if present else [])
    return [next(judged)[0].realism if mark.ends else float("-inf") for mark in marks]


@functools.cache
def _package() -> PassageCritic:
    return PassageCritic.load()


if __name__ == "__main__":
    main()
