"""The critic at work: the best of several drafts, a beam of sentences, a filter for synthetic stories, and two numbers.

Its realism says how much a text is like the human texts that it was trained on, its coherence whether sentences stand where
they belong. Neither is quality, and neither should be called so.
"""

from __future__ import annotations

import math
import operator
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from storyteller.adversarial.adversary import part_of
from storyteller.adversarial.critic import Critic, Opinion, Read
from storyteller.adversarial.critics import make_critic
from storyteller.adversarial.groups import lay_out
from storyteller.adversarial.marks import Marks, sentence_marks
from storyteller.adversarial.measuring import end_ids
from storyteller.adversarial.policy import Policy, Weights
from storyteller.adversarial.rollouts import drawing_dtype, sample
from storyteller.corpus.story import Language
from storyteller.errors import CheckpointError, DataError
from storyteller.models import apply_lora, load_model, load_weights, locate
from storyteller.recipe.models import RefineRecipe
from storyteller.runs import Run, read_json
from storyteller.tokens import Request, StoryTokenizer, Template

__all__ = [
    "BANDS", "Judgement", "Likeness", "StoryCritic", "Voices", "adapter_of", "best_of", "hear", "resample", "synthetic_filter",
]  # fmt: skip

BANDS = (25, 50, 75, 100, 150, 200, 300, 500, 1000)
"""Lengths in tokens at which one band of human texts ends and the next begins."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the critic thinks of a text: `realism` and `coherence` as logits, and for each sentence what it changed.

    A long text is judged in parts of the length that the critic knows; the logits are the parts' means, the realism
    weighted by their tokens. The coherence is nan where a critic has no head for it. `sentences` are (sentence, change of
    realism), the first of a part against 0. `tokens` were read. `place` is where the text lies in the critic's features,
    which tells whether the critic knows texts of its kind. `without` is for each sentence the realism of the text
    without it.
    """

    realism: float
    coherence: float
    sentences: tuple[tuple[str, float], ...]
    tokens: int
    place: tuple[float, ...] = ()
    without: tuple[float, ...] = ()


def adapter_of(policy: Policy, checkpoint: Path, kind: str) -> Weights:
    """The adapter of a refinement's checkpoint as `policy` takes it: its weights "raw", or "averaged" over the steps so far."""
    from safetensors.torch import load_file

    if kind == "averaged":
        averaged = part_of(load_file(checkpoint / "adversary.safetensors"), "averaged")
        return {name: value.to(policy.device) for name, value in averaged.items()}
    load_weights(policy.model, checkpoint)
    return policy.weights()


class StoryCritic:
    """A trained critic with the model that it reads with, and the refined policy."""

    def __init__(self, policy: Policy, critic: Critic, template: Template, recipe: RefineRecipe) -> None:
        self.policy, self.critic, self.template, self.recipe = policy, critic.eval(), template, recipe

    @classmethod
    def load(cls, folder: Path) -> StoryCritic:
        """The critic of a refinement's best checkpoint; its policy wears the weights and scale that the run chose, if any."""
        from safetensors.torch import load_file

        run = Run.open(folder)
        recipe, best = run.recipe(), run.pointed("best")
        if recipe.refine is None or best is None:
            raise CheckpointError(
                f"{folder} holds no refinement with a checkpoint; make one with `storyteller refine`."
            )
        if recipe.refine.trainer == "iq":
            raise CheckpointError(
                f"{folder} was refined by iq, which trains no critic: its heads are as they were drawn. Name a refinement by "
                "gail, coop or pairs."
            )
        located = locate(recipe.model.base)
        model = load_model(located, merge=True)
        model = model.to("cuda") if torch.cuda.is_available() else model
        policy = Policy(apply_lora(model, recipe.model.lora, seed=recipe.train.seed))
        told = folder / "refinement.json"
        chosen: dict[str, Any] = read_json(told) if told.is_file() else {"weights": "raw", "scale": 1.0}
        policy.load(policy.scaled(adapter_of(policy, best[0], chosen["weights"]), float(chosen["scale"])))
        tensors = load_file(best[0] / "adversary.safetensors")
        tokenizer = StoryTokenizer.load(located.folder)
        critic = make_critic(recipe.refine.critic, policy, located, tokenizer, recipe.train.seed)
        critic.load_state_dict(part_of(tensors, "critic"))
        return cls(policy, critic, Template.load(located.adapter or located.folder, tokenizer), recipe.refine)

    def judge(self, request: Request, texts: Sequence[str]) -> list[Judgement]:
        """The judgement of each text as an answer to `request`. Raises `DataError` for a text without a word."""
        return [self._judge(self.template.prompt(request), text, request.language) for text in texts]

    def _judge(self, prompt: list[int], text: str, language: Language) -> Judgement:
        tokenizer, most = self.template.tokenizer, self.recipe.rollout.new_tokens
        ids = tokenizer.encode(text)
        ends = list(sentence_marks(ids, tokenizer, language).ends)
        if not ends:
            raise DataError("there is nothing to judge: the text has no word.")
        coherence, told, parts = [], [], []
        start = 0
        while start < ends[-1]:
            # As many whole sentences as the critic knows the length of, at least one.
            last = max(start + most, next(end for end in ends if end > start))
            part = [end - start for end in ends if start < end <= last]
            reads = self.read([*prompt, *ids[:start]], [ids[start : start + part[-1]]], [part])
            with torch.no_grad():
                (opinion,) = self.critic(reads)
            starts = (0, *part[:-1])
            told += [
                tokenizer.decode(ids[start + place : start + end]) for place, end in zip(starts, part, strict=True)
            ]
            coherence.append(float(opinion.coherence[:, -1].mean()))
            parts += reads
            start += part[-1]
        voices = hear(self.critic, parts)
        lies = tuple(self.critic.places(parts).mean(0).tolist())
        return Judgement(
            voices.realism, sum(coherence) / len(coherence), tuple(zip(told, voices.changes, strict=True)), ends[-1], lies,
            voices.without,
        )  # fmt: skip

    @torch.no_grad()
    def opinions(
        self, prompt: Sequence[int], stories: Sequence[Sequence[int]], ends: Sequence[Sequence[int]]
    ) -> list[Opinion]:
        """The opinions on several stories that answer one prompt, given as ids with their sentence ends."""
        return self.opinions_of_groups([prompt], [stories], [ends])

    @torch.no_grad()
    def opinions_of_groups(
        self,
        prompts: Sequence[Sequence[int]],
        stories: Sequence[Sequence[Sequence[int]]],
        ends: Sequence[Sequence[Sequence[int]]],
    ) -> list[Opinion]:
        """The opinions on several stories that answer each of several prompts, on the CPU, group after group."""
        reads = self._read(prompts, stories, ends)
        return [Opinion(one.realism.cpu(), one.coherence.cpu()) for one in self.critic(reads)] if reads else []

    @torch.no_grad()
    def read(
        self, prompt: Sequence[int], stories: Sequence[Sequence[int]], ends: Sequence[Sequence[int]]
    ) -> list[Read]:
        """What the critic reads of several stories that answer one prompt."""
        return self._read([prompt], [stories], [ends])

    def _read(
        self,
        prompts: Sequence[Sequence[int]],
        stories: Sequence[Sequence[Sequence[int]]],
        ends: Sequence[Sequence[Sequence[int]]],
    ) -> list[Read]:
        rows = lay_out(prompts, stories, self.template.tokenizer.pad_id, self.policy.device)
        with self.policy.reference():
            states = self.policy.read(rows, layers=self.critic.layers)[1] if self.critic.layers else []
        parts = iter(rows.split_states(self.critic.project(states) if states else None))
        reads: list[Read] = []
        for prompt, told, marked in zip(prompts, stories, ends, strict=True):
            marks = [Marks("", tuple(end), True) for end in marked]
            found = self.critic.reads(prompt, told, marks, [next(parts) for _ in told])
            reads += [read for read in found if read is not None]
        return reads

    def beam(
        self, request: Request, *, tokens: int, seed: int, drafts: int = 4, keep: int = 2, sentences: int = 2
    ) -> str:
        """A story of at most `tokens`: again and again `drafts` of the next `sentences` are drawn after each of the `keep`
        best stories so far, and the `keep` best of all are kept (Krishna et al. 2022, "RankGen", arXiv 2205.09726).

        A story is as good as the mean realism of its steps; it ends where a draft has no word, or no sentence that fits.
        Raises `DataError` when nothing could be drawn.
        """
        prompt, tokenizer = self.template.prompt(request), self.template.tokenizer
        alive: list[tuple[float, int, list[int]]] = [(0.0, 0, [])]
        done: list[tuple[float, int, list[int]]] = []
        step = 0
        while alive and step < tokens:
            grown: list[tuple[float, int, list[int]]] = []
            with self.policy.merged(drawing_dtype(self.recipe.rollout)):
                told = sample(
                    self.policy, [[*prompt, *story] for _, _, story in alive], drafts,
                    new_tokens=min(self.recipe.rollout.new_tokens, tokens),
                    temperature=self.recipe.rollout.temperature, ends=end_ids(self.template, self.policy), seed=seed + step,
                )  # fmt: skip
            for (total, steps, story), group in zip(alive, told, strict=True):
                marks = [sentence_marks(ids, tokenizer, request.language) for ids in group]
                room = tokens - len(story)
                fitting = [[end for end in mark.ends[:sentences] if end <= room] for mark in marks]
                cut = [one for one in zip(group, fitting, marks, strict=True) if one[1]]
                if story and len(cut) < len(group):
                    done.append((total, steps, story))
                if not cut:
                    continue
                opinions = self.opinions(
                    [*prompt, *story], [ids[: ends[-1]] for ids, ends, _ in cut], [ends for _, ends, _ in cut]
                )
                for (ids, ends, mark), opinion in zip(cut, opinions, strict=True):
                    one = (total + float(opinion.score[-1]), steps + 1, [*story, *ids[: ends[-1]]])
                    over = len(one[2]) >= tokens or (tokenizer.is_special(ids[-1]) and ends[-1] == mark.ends[-1])
                    (done if over else grown).append(one)
            best = sorted([*grown, *done], key=_mean, reverse=True)[:keep]
            alive, done = [one for one in best if one in grown], [one for one in best if one in done]
            step += 1
        if not (alive or done):
            raise DataError("no draft had a word in it; check the model with `storyteller write`.")
        return tokenizer.decode(max([*alive, *done], key=_mean)[2]).strip()


@dataclass(frozen=True, slots=True)
class Voices:
    """The realism of a text in parts, and for each sentence how it changed that of its part, and what were without it."""

    realism: float
    changes: tuple[float, ...]
    without: tuple[float, ...]


def hear(critic: Critic, parts: Sequence[Read], *, each: bool = True) -> Voices:
    """What the heads say of a text that was read in `parts`, its realism their mean weighted by their tokens.

    Without a sentence the rest is taken as it was read, with the sentence in sight: that needs no other pass of the
    model. A text of one sentence has realism 0 without it. Unless `each`, no sentence is left out.
    """
    lengths = [part.ends[-1] for part in parts]
    scores = critic.scores(parts)
    values = [float(score[-1]) for score in scores]
    changes, without = [], []
    for place, (part, score) in enumerate(zip(parts, scores, strict=True) if each else ()):
        changes += [after - before for before, after in zip((0.0, *score.tolist()), score.tolist(), strict=False)]
        spans = list(zip((0, *part.ends[:-1]), part.ends, strict=True))
        rest = [part.without(start, end) for start, end in spans] if len(spans) > 1 else []
        left = [float(one[-1]) for one in critic.scores(rest)] if rest else [0.0]
        for (start, end), value in zip(spans, left, strict=True):
            kept = [*lengths[:place], lengths[place] - (end - start), *lengths[place + 1 :]]
            without.append(_weighted([*values[:place], value, *values[place + 1 :]], kept))
    return Voices(_weighted(values, lengths), tuple(changes), tuple(without))


def _weighted(values: Sequence[float], weights: Sequence[int]) -> float:
    total: float = sum(map(operator.mul, values, weights))
    return total / max(1, sum(weights))


def _mean(one: tuple[float, int, list[int]]) -> float:
    return one[0] / max(1, one[1])


def best_of(judgements: Sequence[Judgement], coherence: float = 0.5) -> int:
    """The index of the text with the highest realism, plus `coherence` times its coherence if the critic judges that."""
    values = [_value(one, coherence) for one in judgements]
    return values.index(max(values))


def resample(judgements: Sequence[Judgement], seed: int, tau: float = 0.5, coherence: float = 0.0) -> int:
    """An index drawn in proportion to exp(score / tau): self-normalised importance sampling of the data's distribution.

    At `tau` 1 and for the best critic the draw has the data's distribution (Deng et al. 2020, arXiv 2004.11714); it keeps
    the diversity that the best of n loses.
    """
    values = [_value(one, coherence) / tau for one in judgements]
    top = max(values)
    return random.Random(seed).choices(range(len(values)), [math.exp(value - top) for value in values])[0]


def _value(one: Judgement, coherence: float) -> float:
    # The critic that comes with the package has no head for coherence; even 0 times its nan would be nan.
    return one.realism + (0.0 if math.isnan(one.coherence) else coherence * one.coherence)


def synthetic_filter(
    judgements: Sequence[Judgement],
    novelty: Sequence[float],
    least_novelty: float,
    *,
    second: Sequence[float] | None = None,
    share: float = 0.2,
) -> tuple[list[int], list[int]]:
    """Which synthetic stories may be trained on, and which are good negatives: (kept, rejected) indices.

    Kept is the top `share` by realism that a `second` critic of another kind agrees on (its top half), of at least median
    coherence (where the critic judges that) and `least_novelty` (what a tenth of the human stories fall short of).
    Rejected is the bottom `share`.
    """
    if not len(judgements) == len(novelty) or (second is not None and len(second) != len(judgements)):
        raise DataError(f"{len(judgements)} judgements, {len(novelty)} novelties: every story needs all its values.")
    order = sorted(range(len(judgements)), key=lambda i: -judgements[i].realism)
    count = max(1, round(share * len(order))) if order else 0
    known = sorted(one.coherence for one in judgements if not math.isnan(one.coherence))
    middle = known[(len(known) - 1) // 2] if known else -math.inf
    agreed = set(order)
    if second is not None:
        agreed = set(sorted(order, key=lambda i: -second[i])[: math.ceil(len(order) / 2)])
    kept = [
        i for i in order[:count] if i in agreed and not judgements[i].coherence < middle and novelty[i] >= least_novelty
    ]
    return kept, order[len(order) - count :]


class Likeness:
    """How human-like a text is: the share of human texts of its length band that the critic finds less real."""

    def __init__(self, bands: Mapping[int, Sequence[float]]) -> None:
        """Realism of human texts by band, see `of`."""
        self.bands = {band: sorted(values) for band, values in bands.items()}

    @classmethod
    def of(cls, judgements: Sequence[Judgement], least: int = 20) -> Likeness:
        """Calibrate on human texts; bands with fewer than `least` of them are left out."""
        bands: dict[int, list[float]] = {}
        for one in judgements:
            bands.setdefault(bisect_left(BANDS, one.tokens), []).append(one.realism)
        return cls({band: values for band, values in bands.items() if len(values) >= least})

    def percentile(self, judgement: Judgement) -> float | None:
        """From 0 to 100; None where no human text of such a length is known: then nothing can be said."""
        values = self.bands.get(bisect_left(BANDS, judgement.tokens))
        if not values:
            return None
        below = bisect_left(values, judgement.realism)
        equal = sum(value == judgement.realism for value in values)
        return 100 * (below + equal / 2) / len(values)
