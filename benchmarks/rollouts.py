"""One `gail` step against the same step written plainly: transformers.generate, then reference, critic and update passes.

    python benchmarks/rollouts.py [--prompts 8] [--group 4] [--tokens 96] [--rounds 1] [--draw bfloat16]
        [--compute bfloat16] [--export] [--busy]

Both make the same number of stories of the same greatest length from the same prompts, with the same LoRA, in one process,
one after the other in turns. The plain step reads the prompt once for every story and in every pass; ours reads it once a
group, and one pass of the reference serves divergence and critic. With `--compute bfloat16` both have their frozen weights
and all products in it, the plain step its drawing too. Medians and their ratio are printed, and peak memory.
With `--export` as many stories are drawn by llama.cpp: the merged weights are written for it (Q8_0), opened and
sampled from, as they would have to be at every step, and it is told how far what it draws from is off the policy.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from storyteller.adversarial.adversary import Adversary
from storyteller.adversarial.critic import Critic, Read, depths_of
from storyteller.adversarial.gail import policy_gradient
from storyteller.adversarial.policy import Policy
from storyteller.adversarial.prompts import Prompt
from storyteller.adversarial.reading import read_groups
from storyteller.adversarial.rollouts import sample
from storyteller.adversarial.update import Lesson, batches, k3, take_step
from storyteller.generate.engine import open_batch
from storyteller.generate.llama_batch import LlamaBatch
from storyteller.generate.llama_engine import LlamaEngine
from storyteller.generate.llama_file import llama_config, write_llama_file
from storyteller.models import Located, apply_lora, load_model, locate
from storyteller.recipe import LoraRecipe
from storyteller.recipe.models import CriticRecipe
from storyteller.tokens import Request, StoryTokenizer, Template
from storyteller.train.memory import peak_memory

STORY = (
    "The keeper woke before the bell and counted the lamps along the harbour wall. One was missing. She put on her coat "
    "and went down the ninety steps with a lantern in her hand. Nobody was on the quay but an old dog, and the dog did not "
    "bark. Where the lamp had been there was a small door in the stone. She knocked. A voice asked what she would give "
    "for the light. She thought of the ships that were still out, and she gave her name. "
)
TEMPERATURE, ROWS = 0.9, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--draw", choices=("float32", "bfloat16"), default="float32", help="what our step draws in")
    parser.add_argument("--compute", choices=("float32", "bfloat16"), default="float32", help="what both compute in")
    parser.add_argument("--export", action="store_true", help="draw with llama.cpp, too")
    parser.add_argument("--busy", action="store_true", help="count the processor's time: for a machine that others use")
    asked = parser.parse_args()
    Clock.busy = asked.busy
    dtype = torch.bfloat16 if asked.draw == "bfloat16" else None
    located = locate(asked.model)
    template = Template.load(located.adapter or located.folder, StoryTokenizer.load(located.folder))
    model = apply_lora(load_model(located, merge=True), LoraRecipe(rank=16, alpha=32), seed=1)
    policy = Policy(model, getattr(torch, asked.compute))
    optimizer = torch.optim.AdamW([p for p in policy.model.parameters() if p.requires_grad], lr=3e-5)
    recipe = CriticRecipe()
    layers = depths_of(policy.depth)
    adversary = Adversary(Critic(policy.width, len(layers), recipe, 1, layers), recipe, 1)
    prompts = make_prompts(template, asked.prompts, asked.tokens)
    print(f"{asked.prompts} x {asked.group} stories of {asked.tokens} tokens, prompts of "
          f"{statistics.mean(len(p.ids) for p in prompts):.0f}, {torch.get_num_threads()} threads")  # fmt: skip
    steps: dict[str, Callable[[int], dict[str, float]]] = {
        "plain": lambda seed: in_its_precision(
            policy, lambda: plain_step(policy, optimizer, adversary, template, prompts, asked.group, asked.tokens, seed)
        ),
        "ours": lambda seed: our_step(
            policy, optimizer, adversary, template, prompts, asked.group, asked.tokens, seed, dtype
        ),
    }
    if asked.export:
        steps["llama"] = lambda seed: exported_draw(policy, located, prompts, asked.group, asked.tokens, seed)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in steps}
    for number in range(asked.rounds):
        for name, step in steps.items():
            times[name].append(step(number))
            print(
                f"{name:6}", "  ".join(f"{part} {seconds:.1f}" for part, seconds in times[name][-1].items()), flush=True
            )
    total = {name: statistics.median(sum(parts.values()) for parts in each) for name, each in times.items()}
    for name in ("llama",) if asked.export else ():
        print(f"{name}: {total[name]:.1f} s to draw")
    print(f"plain {total['plain']:.1f} s, ours {total['ours']:.1f} s: {total['plain'] / total['ours']:.2f} x; "
          f"peak memory {peak_memory(policy.device) / 1e9:.1f} GB")  # fmt: skip


def make_prompts(template: Template, count: int, tokens: int) -> list[Prompt]:
    """Half requests, half a human beginning that is to be continued; the story repeated, to be as long as is wanted."""
    prompts = []
    for number in range(count):
        ids = template.prompt(Request(about=f"A lighthouse keeper looks for lamp number {number}.", words=150))
        if number % 2:
            ids = ids + template.tokenizer.encode(STORY)
        human = template.tokenizer.encode(" " + STORY * 3)[:tokens]
        prompts.append(Prompt(tuple(ids), tuple(human), STORY, "", str(number), "en", str(number)))
    return prompts


def our_step(
    policy: Policy, optimizer: torch.optim.Optimizer, adversary: Adversary, template: Template,
    prompts: Sequence[Prompt], group: int, tokens: int, seed: int, dtype: torch.dtype | None,
) -> dict[str, float]:  # fmt: skip
    clock = Clock()
    with policy.merged(dtype):
        # No end: a benchmark's stories are all of one length.
        stories = sample(
            policy, [p.ids for p in prompts], group, new_tokens=tokens, temperature=TEMPERATURE, ends=(), seed=seed
        )
    clock.lap("rollout")
    groups = read_groups(
        policy, adversary.critic, template, prompts, stories, temperature=TEMPERATURE, new_tokens=tokens, rows=ROWS,
        seed=seed,
    )  # fmt: skip
    adversary.opinions([read for g in groups for read in g.reads])
    clock.lap("reference+critic")
    lessons = [
        Lesson(g.prompt.ids, g.stories, [torch.ones(len(s)) for s in g.stories], g.reference, g.prompt.human)
        for g in groups
    ]
    loss = policy_gradient(divergence=0.02, replay=0.2)
    parts = batches(lessons, ROWS, TEMPERATURE, template.tokenizer.pad_id, policy.device)
    take_step(policy, optimizer, parts, loss, rate=1e-9, clip=1.0)
    clock.lap("update+replay")
    return clock.times


def exported_draw(
    policy: Policy, located: Located, prompts: Sequence[Prompt], group: int, tokens: int, seed: int
) -> dict[str, float]:
    """The draw alone, through llama.cpp."""
    clock = Clock()
    with policy.merged(), tempfile.TemporaryDirectory() as folder:
        weights = {
            name.removeprefix("base_model.model.").replace(".base_layer", ""): value
            for name, value in policy.model.state_dict().items()
            if ".lora_" not in name
        }
        write_llama_file(weights, llama_config(located.folder), Path(folder) / "policy.gguf")
        clock.lap("export")
        engine = LlamaEngine(Path(folder) / "policy.gguf", 1024)
        clock.lap("open")
        off = drawn_with(engine, policy, prompts, group, tokens, seed, clock)
        engine.close()
    print(f"llama.cpp's log-probabilities are {off:.3f} nats a token off the policy's")
    return clock.times


def drawn_with(
    engine: LlamaEngine, policy: Policy, prompts: Sequence[Prompt], group: int, tokens: int, seed: int, clock: Clock
) -> float:
    """Draw; the mean difference of the log-probabilities of what was drawn from the policy's own, nats a token."""
    batch = open_batch(engine, len(prompts) * group, max(len(prompt.ids) for prompt in prompts) + tokens)
    assert isinstance(batch, LlamaBatch)
    sequences, chance = {}, np.random.default_rng(seed)
    for number, prompt in enumerate(prompts):
        first = number * group
        batch.feed_many({first: list(prompt.ids)})
        for row in range(first, first + group):
            if row > first:
                batch.copy_row(first, row)
            sequences[row] = list(prompt.ids)
    drawn = []
    for _ in range(tokens):
        logits = np.stack(batch.feed_many(sequences)) / TEMPERATURE
        chances = np.exp(logits - logits.max(1, keepdims=True))
        sums = chances.cumsum(1)
        chosen = (sums < chance.random((len(sums), 1)) * sums[:, -1:]).sum(1)
        rows = np.arange(len(chosen))
        drawn.append(np.log(chances[rows, chosen] / sums[:, -1]))
        for row, token in zip(sequences, chosen.tolist(), strict=True):
            sequences[row].append(token)
    clock.lap("rollout")
    batch.close()
    off = []
    with torch.no_grad():
        for row in sequences:
            whole = torch.tensor([sequences[row]], device=policy.device)
            own = logprobs(policy.model, whole, torch.ones_like(whole), tokens)[0].cpu().numpy()
            off.append(np.abs(own - [step[row] for step in drawn]).mean())
    return float(np.mean(off))


def in_its_precision(policy: Policy, step: Callable[[], dict[str, float]]) -> dict[str, float]:
    with torch.autocast(policy.device.type, torch.bfloat16, enabled=policy.dtype == torch.bfloat16):
        return step()


def plain_step(
    policy: Policy, optimizer: torch.optim.Optimizer, adversary: Adversary, template: Template,
    prompts: Sequence[Prompt], group: int, tokens: int, seed: int,
) -> dict[str, float]:  # fmt: skip
    """As one writes it with transformers: every story a row with its prompt, padded on the left; a pass for each purpose."""
    clock, model = Clock(), policy.model
    torch.manual_seed(seed)
    rows = [prompt for prompt in prompts for _ in range(group)]
    ids, mask = padded([prompt.ids for prompt in rows], template.tokenizer.pad_id)
    with torch.no_grad():
        told = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=TEMPERATURE, top_k=0, top_p=1.0,
            max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=template.tokenizer.pad_id,
        )  # fmt: skip
    clock.lap("rollout")
    whole = torch.cat([mask, torch.ones(len(rows), tokens, dtype=mask.dtype)], dim=1)
    reference = []
    with torch.no_grad(), model.disable_adapter():
        for part in slices(len(rows), ROWS * group):
            reference.append(logprobs(model, told[part], whole[part], tokens))
    clock.lap("reference")
    with torch.no_grad(), model.disable_adapter():
        for part in slices(len(rows), ROWS * group):
            states = model(input_ids=told[part], attention_mask=whole[part], output_hidden_states=True).hidden_states
            chosen = [states[depth][:, -tokens:] for depth in depths_of(policy.depth)]
            for row in range(len(told[part])):
                adversary.opinions([Read(adversary.critic.project([each[row] for each in chosen]), (tokens,))])
    clock.lap("critic")
    for number, part in enumerate(slices(len(rows), ROWS * group)):
        own = logprobs(model, told[part], whole[part], tokens)
        loss = (-own + 0.02 * k3(own, reference[number])).sum() / (len(rows) * tokens)
        loss.backward()
    clock.lap("update")
    for part in slices(len(prompts), ROWS * group):
        chosen_prompts = prompts[part]
        ids, mask = padded([[*p.ids, *p.human] for p in chosen_prompts], template.tokenizer.pad_id)
        (-0.2 * logprobs(model, ids, mask, tokens, 1.0).sum() / (len(prompts) * tokens)).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    clock.lap("replay")
    return clock.times


def logprobs(
    model: torch.nn.Module, ids: Tensor, mask: Tensor, tokens: int, temperature: float = TEMPERATURE
) -> Tensor:
    """The log-probabilities of the last `tokens` of each row, from logits of those positions alone."""
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=tokens + 1).logits[:, :-1]
    chosen = (logits.float() / temperature).log_softmax(-1).gather(2, ids[:, -tokens:, None])
    return chosen.squeeze(2)


def padded(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


class Clock:
    """Seconds of each part, in order; of the processor's time where `busy` is set."""

    busy = False

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self._since = self.now()

    def now(self) -> float:
        return time.process_time() if self.busy else time.perf_counter()

    def lap(self, part: str) -> None:
        now = self.now()
        self.times[part], self._since = now - self._since, now


if __name__ == "__main__":
    main()
