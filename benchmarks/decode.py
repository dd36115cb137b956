"""Decoding the default base at batch 1: every candidate greedy, on one prompt, in turn, each in its own process.

    python benchmarks/decode.py [--tokens 128] [--repetitions 5] [--json]

Prints the median time to the first token of a prompt of 64 tokens, the median tokens per second after it, and that
rate as a multiple of `transformers.generate`. `cyllama` is measured when it is installed. OpenMP's spinning is kept
short for all alike (see `storyteller/threads.py`), so that a shared machine disturbs each as little as it can.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from storyteller.generate import Engine, Storyteller, open_engine
from storyteller.generate.engine import cores
from storyteller.models import Located, load_model, locate
from storyteller.threads import sleep_soon
from storyteller.tokens import StoryTokenizer

PROMPT = "Once upon a time there was a little seal who lived beside the lighthouse. " * 6

#: Seconds to the first token, tokens per second after it.
Timing = tuple[float, float]
Candidate = Callable[[list[int], int], Timing]


def through_engine(engine: Engine) -> Candidate:
    def run(prompt: list[int], tokens: int) -> Timing:
        engine.feed([prompt[-1]])  # forgets the prompt of the last repetition
        ids = list(prompt)
        started = time.perf_counter()
        ids.append(int(engine.feed(ids).argmax()))
        first = time.perf_counter()
        for _ in range(tokens):
            ids.append(int(engine.feed(ids).argmax()))
        return first - started, tokens / (time.perf_counter() - first)

    return run


def through_storyteller(teller: Storyteller) -> Candidate:
    """Everything that `storyteller write` does for a token: sampling with min-p and DRY, counting, decoding."""

    def run(prompt: list[int], tokens: int) -> Timing:
        teller.engine.feed([prompt[-1]])
        started = time.perf_counter()
        writing = teller.write(teller.tokenizer.decode(prompt), seed=1, words=tokens, max_tokens=4 * tokens)
        next(writing)
        first = time.perf_counter()
        count = sum(1 for _, _ in zip(range(tokens), writing, strict=False))
        return first - started, count / (time.perf_counter() - first)

    return run


def transformers_generate(located: Located) -> Candidate:
    import torch

    model = load_model(located)

    def seconds(prompt: list[int], tokens: int) -> float:
        ids = torch.tensor([prompt])
        started = time.perf_counter()
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens,
                       do_sample=False, pad_token_id=0)  # fmt: skip
        return time.perf_counter() - started

    def run(prompt: list[int], tokens: int) -> Timing:
        first = seconds(prompt, 1)
        return first, tokens / (seconds(prompt, tokens + 1) - first)

    return run


def xllamacpp_server(gguf: Path) -> Candidate:
    """The wheel as it is meant to be used: its own server in the process, with its own sampler."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx, params.n_parallel, params.n_gpu_layers, params.verbosity = 4096, 1, 0, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = cores()
    server = xllamacpp.Server(params)

    def run(prompt: list[int], tokens: int) -> Timing:
        answer = server.handle_completions(
            {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        )
        timings = answer["timings"]
        return timings["prompt_ms"] / 1000, timings["predicted_per_second"]

    return run


def cyllama_context(gguf: Path) -> Candidate:
    """Another wheel's binding with its own greedy sampler; `get_logits_ith` of 0.2.18 raises AttributeError."""
    from cyllama.llama import llama_cpp as cy

    model = cy.LlamaModel(path_model=str(gguf), verbose=False)
    params = cy.LlamaContextParams()
    params.n_ctx, params.n_batch = 4096, 512
    params.n_threads = params.n_threads_batch = cores()
    context = cy.LlamaContext(model=model, params=params, verbose=False)
    sampler = cy.LlamaSampler(cy.LlamaSamplerChainParams())
    sampler.add_greedy()

    def step(ids: list[int], past: int) -> int:
        batch = cy.LlamaBatch(n_tokens=len(ids), embd=0, n_seq_max=1)
        batch.set_batch(ids, n_past=past, logits_all=False)
        batch.set_last_logits_to_true()
        context.decode(batch)
        return int(sampler.sample(context, -1))

    def run(prompt: list[int], tokens: int) -> Timing:
        context.kv_cache_clear()
        started = time.perf_counter()
        token = step(prompt, 0)
        first = time.perf_counter()
        for place in range(tokens):
            token = step([token], len(prompt) + place)
        return first - started, tokens / (time.perf_counter() - first)

    return run


CANDIDATES: dict[str, Callable[[Located, Path], Candidate]] = {
    "transformers.generate, fp32": lambda located, _: transformers_generate(located),
    "TorchEngine, fp32": lambda located, _: through_engine(open_engine(located, "torch")),
    "LlamaEngine, Q4_1": lambda located, _: through_engine(open_engine(located, "llama")),
    "LlamaEngine, Q8_0": lambda located, _: through_engine(
        open_engine(dataclasses.replace(located, gguf=None), "llama")
    ),
    "Storyteller.write on LlamaEngine, Q4_1": lambda located, _: through_storyteller(
        Storyteller.load(located.name, "llama")
    ),
    "xllamacpp.Server, Q4_1": lambda _, gguf: xllamacpp_server(gguf),
    "cyllama, own sampler, Q4_1": lambda _, gguf: cyllama_context(gguf),
}


def work(name: str, prompt: list[int], pipe: Connection) -> None:
    """One candidate in its own process, so that no other's threads are in its way: a timing for each number asked."""
    located = locate("smollm2-135m-instruct")
    assert located.gguf is not None
    run = CANDIDATES[name](located, located.gguf)
    while tokens := pipe.recv():
        pipe.send(run(prompt, tokens))


def measure(prompt: list[int], tokens: int, repetitions: int) -> dict[str, list[Timing]]:
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    for name in CANDIDATES:
        if not name.startswith("cyllama") or importlib.util.find_spec("cyllama"):
            pipes[name], theirs = context.Pipe()
            context.Process(target=work, args=(name, prompt, theirs), daemon=True).start()
            pipes[name].send(8)  # loads, and warms up
            pipes[name].recv()
    timings: dict[str, list[Timing]] = {name: [] for name in pipes}
    for _ in range(repetitions):
        for name, pipe in pipes.items():
            pipe.send(tokens)
            timings[name].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(0)
    return timings


def main() -> None:
    sleep_soon()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    prompt = StoryTokenizer.load(locate("smollm2-135m-instruct").folder).encode(PROMPT)[:64]
    timings = measure(prompt, options.tokens, options.repetitions)
    firsts = {name: statistics.median(first for first, _ in taken) for name, taken in timings.items()}
    rates = {name: statistics.median(rate for _, rate in taken) for name, taken in timings.items()}
    if options.json:
        print(json.dumps({name: {"first_s": firsts[name], "tokens_per_s": rates[name]} for name in rates}))
        return
    base = next(iter(rates.values()))
    print("| engine | first token, s | tokens/s | x transformers |\n|---|---:|---:|---:|")
    for name, rate in rates.items():
        print(f"| {name} | {firsts[name]:.2f} | {rate:.1f} | {rate / base:.1f} |")


if __name__ == "__main__":
    main()
