"""Many stories at once: tokens per second of `tell_many` by rows, against `tell` one by one and transformers' `generate`.

    python benchmarks/batch.py [--model default] [--engine llama] [--tokens 256] [--rows 1,4,8,16,32] [--peer] [--json]

Every story has the same bound on tokens and the settings of `write`; whole stories are counted, prompts read included.
`--peer` adds transformers' batched `generate` in float32 with the same temperature and min-p. Beside the tokens per
second stand those per second of the processor's time, which a busy machine disturbs less, and both as multiples of
telling one by one. All is done in one process, in turn.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from storyteller.generate import Storyteller, Told
from storyteller.generate.engine import cores
from storyteller.models import load_model, locate
from storyteller.threads import sleep_soon

PROMPTS = [f"A lighthouse keeper, a talking seal and boat number {number}" for number in range(32)]


def one_by_one(teller: Storyteller, stories: int, tokens: int) -> int:
    told = (teller.tell(PROMPTS[seed], seed=seed, max_tokens=tokens) for seed in range(stories))
    return sum(story.tokens for story in told)


def together(teller: Storyteller, rows: int, tokens: int) -> int:
    told = teller.tell_many(PROMPTS[:rows], seeds=range(rows), rows=rows, max_tokens=tokens)
    return sum(story.tokens for _, story in told if isinstance(story, Told))


def peer(teller: Storyteller) -> Callable[[int, int], int]:
    import torch
    from transformers import AutoTokenizer

    located = locate(teller.name)
    model = load_model(located, merge=True)
    tokenizer = AutoTokenizer.from_pretrained(located.folder, padding_side="left")
    torch.set_num_threads(cores())

    def run(rows: int, tokens: int) -> int:
        asked = [teller.write(prompt).wanted for prompt in PROMPTS[:rows]]
        texts = [teller.tokenizer.decode(ids or []) for ids in asked]
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        out = model.generate(
            **batch, max_new_tokens=tokens, do_sample=True, temperature=0.8, min_p=0.05, pad_token_id=0
        )
        written = out[:, batch["input_ids"].shape[1] :]
        return int((written != 0).sum())

    return run


def rate(work: Callable[[], int]) -> tuple[float, float]:
    """Tokens per second, and per second of processor time."""
    wall, used = time.perf_counter(), time.process_time()
    tokens = work()
    return tokens / (time.perf_counter() - wall), tokens / (time.process_time() - used)


def main() -> None:
    sleep_soon()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--engine", default="auto", choices=["auto", "llama", "torch"])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rows", default="1,4,8,16,32")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [int(number) for number in options.rows.split(",")]
    teller = Storyteller.load(options.model, options.engine)
    together(teller, 2, 8)  # warms up
    rates = {"tell, one by one": rate(lambda: one_by_one(teller, 2, options.tokens))}
    for number in rows:
        rates[f"tell_many, {number} rows"] = rate(lambda number=number: together(teller, number, options.tokens))
    if options.peer:
        generate = peer(teller)
        for number in rows:
            rates[f"transformers.generate, {number} rows"] = rate(
                lambda number=number: generate(number, options.tokens)
            )
    if options.json:
        print(json.dumps({name: {"tokens_per_s": wall, "per_cpu_s": used} for name, (wall, used) in rates.items()}))
        return
    first_wall, first_used = rates["tell, one by one"]
    print(f"{options.model} on {teller.engine.name}, {cores()} cores, {options.tokens} tokens a story\n")
    print("| way | tokens/s | x | tokens per s of processor time | x |\n|---|---:|---:|---:|---:|")
    for name, (wall, used) in rates.items():
        print(f"| {name} | {wall:.1f} | {wall / first_wall:.2f} | {used:.1f} | {used / first_used:.2f} |")


if __name__ == "__main__":
    main()
