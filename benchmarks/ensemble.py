"""Ensembles of the default base: mixing at each token, merging, reranking.

    OMP_NUM_THREADS=1 python benchmarks/ensemble.py ADAPTER ADAPTER ADAPTER [--tokens 24] [--repetitions 3] [--only rows]

Every figure is in processor time, with `--wall` in time that passes (for a GPU, on a quiet machine), and what counts is the
ratio of two of one run.
`rows` and `llama`: a mixture of three adapters against the same three models one after another, and against one.
`batch`: the same in torch with `--batch` stories at once.
`laid`: an adapter laid over its base by llama.cpp against the adapter merged into a copy of the base.
`gate`: how many tokens take more than the first member at several certainties, and how far apart the members are there.
`models`: two whole 135M models merged tensor by tensor, each method in a process of its own (seconds, peak memory).
`adapters`: merging two adapters and cutting them to their rank, beside PEFT joining them uncut (its `svd` decomposes in full).
`kinds`: one story by a single member, a merged one, a mixture and a contrast, each engine in a process of its own: seconds to
the first token, tokens a second, and peak memory.
`rerank`: the time of ranking as a share of the time of writing its candidates.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from storyteller.ensemble import merge, new_ensemble
from storyteller.ensemble.drafts import Draft, draft_many, rank
from storyteller.ensemble.merging import Recipe, merge_factors
from storyteller.evaluate.drafting import draft_scorers
from storyteller.generate import Engine, Storyteller, open_engine
from storyteller.generate.engine import BatchEngine, open_batch
from storyteller.generate.llama_members import open_members
from storyteller.generate.mixture import open_mixture
from storyteller.models import DEFAULT_BASE, Located, load_model, locate
from storyteller.models.adapters.factors import read_factors
from storyteller.models.ensemble_file import Ensemble, Gate, Member, write_ensemble
from storyteller.tokens import Request, StoryTokenizer

PROMPT = "Once upon a time there was a little seal who lived beside the lighthouse. " * 4

MERGE = """
import json, sys, time
from pathlib import Path
from storyteller.ensemble import merge
started = time.process_time()
def peak_mb():  # of this process alone: getrusage would tell the parent's
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1e3
before = peak_mb()
base = sys.argv[5] if sys.argv[4] in ("ties", "dare") else None
merge(sys.argv[1:3], Path(sys.argv[3]), sys.argv[4], weights=(0.6, 0.4), base=base)
print(json.dumps({"seconds": time.process_time() - started, "peak_mb": peak_mb(), "imports_mb": before}))
"""

WRITE = """
import json, sys, time
from storyteller.generate import Storyteller
from storyteller.tokens import Request
clock = time.perf_counter if sys.argv[3] == "wall" else time.process_time
def peak_mb():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1e3
teller = Storyteller.load(sys.argv[1], sys.argv[2])
teller.tell(Request(about="A clock."), seed=1, max_tokens=4)  # what is only made once
first, rest, count = [], 0.0, 0
for seed in range(int(sys.argv[5])):
    request = Request(about="A ferryman refuses his last passenger.")
    began = clock()
    for number, token in enumerate(teller.write(request, seed=seed, max_tokens=int(sys.argv[4]))):
        if number == 0:
            first.append(clock() - began)
            began = clock()
    rest, count = rest + clock() - began, count + number
print(json.dumps({"first_s": sorted(first)[len(first) // 2], "tokens_per_s": count / rest, "peak_mb": peak_mb()}))
"""

clock = time.process_time


def seconds(run: Callable[[], object]) -> float:
    """Processor time, which other processes on the machine do not change, or with `--wall` the time that passed."""
    started = clock()
    run()
    return clock() - started


def rates(engines: dict[str, Sequence[Engine]], prompt: list[int], tokens: int, repetitions: int) -> dict[str, float]:
    """Median tokens per second of each set of engines, all of which read each token, in turn."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(repetitions):
        for name, several in engines.items():
            ids = list(prompt)
            for engine in several:
                engine.feed([prompt[-1]])  # forgets the last repetition
                engine.feed(ids)

            def decode(ids: list[int] = ids, several: Sequence[Engine] = several) -> None:
                for _ in range(tokens):
                    ids.append(max(int(engine.feed(ids).argmax()) for engine in several))

            taken[name].append(tokens / seconds(decode))
    return {name: statistics.median(values) for name, values in taken.items()}


def mixing(kind: str, located: Located, prompt: list[int], tokens: int, repetitions: int) -> dict[str, float]:
    mixture = open_mixture(located, kind)
    separate = [open_engine(member, kind) for member in located.members]
    found = rates({"mixture": [mixture], "separate": separate, "one": separate[:1]}, prompt, tokens, repetitions)
    for engine in (mixture, *separate):
        engine.close()
    return found | {
        "mixture_by_separate": found["mixture"] / found["separate"],
        "one_by_mixture": found["one"] / found["mixture"],
    }


def batches(located: Located, prompt: list[int], tokens: int, repetitions: int, rows: int) -> dict[str, float]:
    """As `mixing`, with `rows` stories side by side: tokens per second of all of them together."""
    mixture = open_mixture(located, "torch")
    separate = [open_engine(member, "torch") for member in located.members]
    length = len(prompt) + tokens + 8
    sets = {
        "mixture": [open_batch(mixture, rows, length)],
        "separate": [open_batch(engine, rows, length) for engine in separate],
    }
    taken: dict[str, list[float]] = {name: [] for name in sets}
    for repetition in range(repetitions + 1):
        for name, several in sets.items():
            ids = {row: [*prompt, row % 50, repetition] for row in range(rows)}
            for batch in several:
                batch.feed_many(ids)

            def decode(ids: dict[int, list[int]] = ids, several: Sequence[BatchEngine] = several) -> None:
                for _ in range(tokens):
                    said = [batch.feed_many(ids) for batch in several]
                    for row in ids:
                        ids[row] = [*ids[row], int(said[0][row].argmax())]

            if repetition:  # the first one warms up
                taken[name].append(rows * tokens / seconds(decode))
            else:
                decode()
    found = {name: statistics.median(values) for name, values in taken.items()}
    return found | {"stories": rows, "mixture_by_separate": found["mixture"] / found["separate"]}


def laying(located: Located, prompt: list[int], tokens: int, repetitions: int) -> dict[str, float]:
    """llama.cpp with the adapter merged into its base against the adapter laid over it: tokens per second of each."""
    merged, (laid,) = open_engine(located.members[0], "llama"), open_members(located.members[:1])
    found = rates({"merged": [merged], "laid_over": [laid]}, prompt, tokens, repetitions)
    return found | {"ratio": found["laid_over"] / found["merged"]}


def gating(located: Located, prompt: list[int], tokens: int) -> dict[str, Any]:
    """One story written with every member asked at each token: what a gate would have saved, and let pass."""
    engine = open_mixture(located, "auto")
    rng, ids, tops, aparts = np.random.default_rng(1), list(prompt), [], []
    for _ in range(tokens * 4):
        before = engine.spent.divergence
        mixed = engine.feed(ids)
        tops.append(float(np.exp(mixed.said[0].max())))
        aparts.append(engine.spent.divergence - before)
        chances = np.exp(mixed.astype(np.float64))
        ids.append(int(rng.choice(len(chances), p=chances / chances.sum())))
    engine.close()
    top, apart = np.array(tops), np.array(aparts)
    rows = {
        sure: {"saved": float((top >= sure).mean()), "bits_where_saved": float(apart[top >= sure].mean())}
        for sure in (0.5, 0.8, 0.9, 0.95)
        if (top >= sure).any()
    }
    return {"bits_apart": float(apart.mean()), "share_over_0.05_bits": float((apart > 0.05).mean()), "sure": rows}


def gated(located: Located, prompt: list[int], tokens: int, repetitions: int) -> dict[str, float]:
    assert located.ensemble is not None
    lazy = replace(located, ensemble=located.ensemble.model_copy(update={"gate": Gate(sure=0.8)}))
    engines = {"all": [open_mixture(located, "auto")], "sure_0.8": [open_mixture(lazy, "auto")]}
    found = rates(engines, prompt, tokens * 4, repetitions)  # type: ignore[arg-type]
    return found | {"ratio": found["sure_0.8"] / found["all"]}


def merging_models(members: Sequence[Located], folder: Path) -> dict[str, Any]:
    places = [str(folder / name) for name in ("0", "1", "base")]
    for place, member in zip(places, [*members[:2], replace(members[0], adapter=None)], strict=True):
        load_model(member, merge=True).save_pretrained(place)
        (Path(place) / "tokenizer.json").write_bytes((member.folder / "tokenizer.json").read_bytes())
    results = {}
    for method in ("linear", "slerp", "ties", "dare"):
        command = [sys.executable, "-c", MERGE, *places[:2], str(folder / method), method, places[2]]
        results[method] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return results


def kinds(members: Sequence[str], folder: Path, tokens: int, repetitions: int) -> dict[str, Any]:
    """What one story costs, by each kind of teller."""
    merge(members, folder / "linear", "linear", rank=48)
    new_ensemble(folder / "mixture", members)
    new_ensemble(folder / "contrast", [members[0], DEFAULT_BASE], rule="contrastive", weights=(1.5, -0.5))
    found = {}
    named = {"single": members[0]} | {name: str(folder / name) for name in ("linear", "mixture", "contrast")}
    for (name, model), engine in itertools.product(named.items(), ("torch", "llama")):
        clocked = "wall" if clock is time.perf_counter else "processor"
        command = [sys.executable, "-c", WRITE, model, engine, clocked, str(tokens), str(repetitions)]
        for _ in range(2):  # the first converts the model, once and for all
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[f"{name} {engine}"] = json.loads(done.stdout)
    return found


def merging_adapters(members: Sequence[Located]) -> dict[str, float]:
    from peft import PeftModel

    model = PeftModel.from_pretrained(load_model(replace(members[0], adapter=None)), str(members[0].adapter), "a")
    model.load_adapter(str(members[1].adapter), "b")
    adapters = [read_factors(member.adapter) for member in members[:2] if member.adapter]
    ours = seconds(lambda: merge_factors(adapters, Recipe("linear", (0.5, 0.5)), 16))
    ties = seconds(lambda: merge_factors(adapters, Recipe("ties", (0.5, 0.5)), 16))
    theirs = seconds(lambda: model.add_weighted_adapter(["a", "b"], [0.5, 0.5], "m", combination_type="cat"))
    return {"linear_rank_16_s": ours, "ties_rank_16_s": ties, "peft_cat_rank_32_s": theirs}


def reranking(located: Path, count: int) -> dict[str, float]:
    """With the coherence scorer, whose base reads every draft, and without it; the scorer is loaded before."""
    teller = Storyteller.load(str(located))
    request = Request(about="A lighthouse keeper finds a talking seal.", words=60)
    fast, whole = draft_scorers("en", coherence=False), draft_scorers("en")
    drafts: list[Draft] = []
    written = seconds(lambda: drafts.extend(draft_many(teller, request, count, seed=1)))
    rank(drafts[:1], request, whole)  # what is only loaded once
    found = {"drafts": count, "writing_s": written}
    for name, scorers in (("rules", fast), ("with_coherence", whole)):
        found[f"{name}_s"] = seconds(lambda scorers=scorers: rank(drafts, request, scorers))  # type: ignore[misc]
        found[f"{name}_share"] = found[f"{name}_s"] / written
    teller.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs=3)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--drafts", type=int, default=6)
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("--only", default="rows,llama,laid,gate,models,adapters,rerank")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if options.wall:
        global clock
        clock = time.perf_counter
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = [str(Path(name).resolve()) if Path(name).exists() else name for name in options.adapters]
        write_ensemble(folder, Ensemble(members=tuple(Member(model=name) for name in names)))
        located = locate(folder)
        prompt = StoryTokenizer.load(located.folder).encode(PROMPT)[:64]
        tasks: dict[str, Callable[[], dict[str, Any]]] = {
            "rows": lambda: mixing("torch", located, prompt, options.tokens, options.repetitions),
            "llama": lambda: mixing("llama", located, prompt, options.tokens, options.repetitions),
            "laid": lambda: laying(located, prompt, options.tokens, options.repetitions),
            "gate": lambda: gating(located, prompt, options.tokens) | gated(located, prompt, options.tokens, 1),
            "kinds": lambda: kinds(names, folder / "kinds", options.tokens, options.repetitions),
            "models": lambda: merging_models(located.members, folder),
            "adapters": lambda: merging_adapters(located.members),
            "batch": lambda: batches(located, prompt, options.tokens, options.repetitions, options.batch),
            "rerank": lambda: reranking(folder, options.drafts),
        }
        for name in wanted:
            print(json.dumps({name: tasks[name]()}), flush=True)


if __name__ == "__main__":
    main()
