"""Unpaired style transfer: one policy that tells a passage again in another style, and never sees a pair of passages.

Three kinds of lessons, from the safe to the sharp. *Denoising*: a human passage from the words that are left of it when
its style is taken off (Lample et al. 2018, arXiv 1711.00043). *Back-translation*: the policy tells a human passage in
another style, and from that learns to tell the human passage, by likelihood: the target is always a person's (Sennrich et
al. 2016; He et al. 2016, arXiv 1611.00179). *Dual*: what it told is rewarded by a critic of the style and by how likely
the original is on the way back, and the policy gradient follows (Luo et al. 2019, DualRL, arXiv 1905.10060).
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from storyteller.adversarial.groups import lay_out
from storyteller.adversarial.measuring import end_ids
from storyteller.adversarial.policy import Policy, Tokens, Weights
from storyteller.adversarial.rewards import leave_one_out, normalised, repeated_share
from storyteller.adversarial.rollouts import sample
from storyteller.adversarial.update import Batch, Lesson, Loss, batches, take_step
from storyteller.corpus.language import words_of
from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.tokens import Request, Template
from storyteller.tokens.chat import Conversation
from storyteller.tokens.vocabulary import word_list
from storyteller.train.optim import trainable

__all__ = ["Passage", "Rewrite", "State", "StyleRecipe", "Transfer", "Way", "bleached", "dual_loss", "style_advantages"]

_COPIED = 0.5
"""A rewrite that shares so much of its 4-grams with its source is no rewrite: learning from it would teach to copy."""

_REPEATED = 0.3


@dataclass(frozen=True, slots=True)
class Passage:
    """A human passage of a style; its `ids` end with the stop token."""

    text: str
    style: str
    work: str
    language: Language
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """A passage and the style that it is to be told in; with `bleached` that stands where the passage would."""

    passage: Passage
    style: str
    bleached: str = ""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What the policy told: its `ids` with the token that ended it, the `text` without, and whether it may teach.

    `fault` says why not: `empty`, `unfinished`, `repetition` or `copy`.
    """

    ids: tuple[int, ...]
    text: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class StyleRecipe:
    """How a policy learns styles; the defaults are for a 135M model with LoRA of rank 16."""

    new_tokens: int = 160
    temperature: float = 0.7
    group: int = 4
    lr: float = 5e-4
    dual_lr: float = 2e-4
    rows: int = 16
    content: float = 1.0
    penalty: float = 1.0
    likelihood: float = 1.0
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """A copy of the adapter and of its optimizer's moments."""

    weights: Weights
    moments: dict[str, Any]


def bleached(
    text: str, language: Language, chance: random.Random, *, function: float = 0.3, content: float = 0.9
) -> str:
    """What a passage tells without how: its words in lower case without marks, few of the function words, in near order.

    A function word is kept with the chance `function`, any other with `content`; neighbours may change places. What comes
    out has at least one word if the passage has one.
    """
    if language == "zh":
        import rjieba

        common = word_list("common_zh")
        words = [word for word in rjieba.cut(text) if word.strip() and any(map(str.isalnum, word))]
        bare = [len(word) < 2 or word in common for word in words]
    else:
        common = word_list("common_en")
        words = [word.lower() for word in words_of(text)]
        bare = [len(word) < 4 or word in common for word in words]
    kept = [word for word, plain in zip(words, bare, strict=True) if chance.random() < (function if plain else content)]
    places = [place + 2 * chance.random() for place in range(len(kept))]
    moved = [word for _, word in sorted(zip(places, kept, strict=True))]
    return ("" if language == "zh" else " ").join(moved or words[:1])


class Transfer:
    """The policy with its requests, its optimizer and its lessons.

    `requests` hold, for each style, the words that ask for a passage in it.
    """

    def __init__(
        self, policy: Policy, template: Template, requests: Mapping[str, str], recipe: StyleRecipe | None = None
    ) -> None:
        if len(requests) < 2:
            raise DataError("style transfer needs two styles or more; give passages of each.")
        self.policy, self.template, self.requests = policy, template, requests
        self.recipe = recipe or StyleRecipe()
        self.optimizer = torch.optim.AdamW(
            trainable(policy.model).values(), lr=self.recipe.lr, betas=(0.9, 0.95), weight_decay=0.0
        )
        self._ends = end_ids(template, policy)

    def passage(self, text: str, style: str, work: str, language: Language) -> Passage:
        """A human passage; raises `DataError` when it is empty or longer than what the policy may tell."""
        ids = self.template.tokenizer.encode(text.strip())
        if not ids or len(ids) >= self.recipe.new_tokens:
            raise DataError(f"a passage of {len(ids)} tokens: 1 to {self.recipe.new_tokens - 1} can be learned from.")
        return Passage(text.strip(), style, work, language, (*ids, self.template.stop_id))

    def prompt(self, text: str, style: str) -> list[int]:
        """The ids that ask for `text` in a style."""
        turn = f"{self.requests[style]}\n\n{text}"
        return Conversation(self.template.tokenizer, [("user", turn)]).prompt(Request())

    def rewrite(
        self, ways: Sequence[Way], each: int, seed: int, *, temperature: float | None = None,
        dtype: torch.dtype | None = None,
    ) -> list[list[Rewrite]]:  # fmt: skip
        """`each` rewrites of every passage, with the adapter as it is; `dtype` as in `Policy.merged`."""
        prompts = [self.prompt(way.bleached or way.passage.text, way.style) for way in ways]
        with self.policy.merged(dtype):
            told = self.tell(prompts, each, seed, temperature or self.recipe.temperature)
        return [[self.looked_at(ids, way) for ids in group] for group, way in zip(told, ways, strict=True)]

    def tell(self, prompts: Sequence[Sequence[int]], each: int, seed: int, temperature: float) -> list[list[list[int]]]:
        """Draw answers to any prompts; run it inside `Policy.merged` or `Policy.reference`."""
        return sample(
            self.policy, prompts, each, new_tokens=self.recipe.new_tokens, temperature=temperature, ends=self._ends,
            seed=seed, batch=1024,
        )  # fmt: skip

    def read(self, ids: Sequence[int]) -> str:
        """The text of drawn ids, without the token that ended it."""
        ends = set(self._ends)
        return self.template.tokenizer.decode([index for index in ids if index not in ends]).strip()

    def looked_at(self, ids: list[int], way: Way) -> Rewrite:
        """The drawn ids as a rewrite, with its fault."""
        text, source = self.read(ids), way.passage.ids[:-1]
        fault = ""
        if not text:
            fault = "empty"
        elif ids[-1] != self.template.stop_id:
            fault = "unfinished"
        elif repeated_share(ids) > _REPEATED:
            fault = "repetition"
        elif _shared(ids[:-1], source) >= _COPIED:
            fault = "copy"
        return Rewrite(tuple(ids), text, fault)

    def state(self) -> State:
        """What `restore` puts back: the adapter and its optimizer as they are."""
        return State(self.policy.weights(), copy.deepcopy(self.optimizer.state_dict()))

    def restore(self, state: State) -> None:
        """Go on from `state`, which stays as it is."""
        self.policy.load(state.weights)
        self.optimizer.load_state_dict(copy.deepcopy(state.moments))

    def denoising(self, passages: Sequence[Passage], seed: int) -> list[Lesson]:
        """Lessons that put a style on bleached words."""
        chance = random.Random(seed)
        return [
            self._lesson(bleached(passage.text, passage.language, chance), passage) for passage in passages
        ]  # fmt: skip

    def back(self, ways: Sequence[Way], rewrites: Sequence[Rewrite]) -> list[Lesson]:
        """Lessons on the way back, from what the policy told to the human passage; rewrites with a fault teach nothing."""
        return [
            self._lesson(rewrite.text, way.passage)
            for way, rewrite in zip(ways, rewrites, strict=True)
            if not rewrite.fault
        ]

    def _lesson(self, text: str, passage: Passage) -> Lesson:
        return Lesson(self.prompt(text, passage.style), [], [], [], passage.ids)

    def dual(
        self, ways: Sequence[Way], groups: Sequence[Sequence[Rewrite]], scores: Tensor, kept: Tensor
    ) -> tuple[list[Lesson], dict[str, float]]:
        """Lessons that follow the reward: `scores` of style and `kept` content, [ways, members] each, higher is better."""
        faults = torch.tensor([[float(bool(rewrite.fault)) for rewrite in group] for group in groups])
        worth = style_advantages(scores, kept, faults, self.recipe.content, self.recipe.penalty)
        lessons = []
        for way, group, values in zip(ways, groups, worth, strict=True):
            weights = [value.expand(len(rewrite.ids)) for value, rewrite in zip(values, group, strict=True)]
            nothing = [torch.zeros(len(rewrite.ids)) for rewrite in group]
            prompt = self.prompt(way.bleached or way.passage.text, way.style)
            lessons.append(Lesson(prompt, [rewrite.ids for rewrite in group], weights, nothing, ()))
        return lessons, {
            "style_logit": float(scores.mean()), "kept": float(kept.mean()), "faults": float(faults.mean()),
        }  # fmt: skip

    def kept(self, ways: Sequence[Way], groups: Sequence[Sequence[Rewrite]], *, frozen: bool = False) -> Tensor:
        """How likely each passage is on the way back from its rewrites, nats a token [ways, members]; 0 would be certain.

        By the policy as it is, or `frozen`: by the reference, which knows no more of one system than of another.
        """
        prompts = [
            self.prompt(rewrite.text, way.passage.style) for way, group in zip(ways, groups, strict=True)
            for rewrite in group
        ]  # fmt: skip
        answers = [way.passage.ids for way, group in zip(ways, groups, strict=True) for _ in group]
        return self.likelihood(prompts, answers, frozen=frozen).view(len(ways), -1)

    def likelihood(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, frozen: bool = False
    ) -> Tensor:
        """The mean log-probability of the tokens of each answer [answers]."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(answers[i]))
        found = torch.zeros(len(prompts))
        rows = 2 * self.recipe.rows
        for start in range(0, len(order), rows):
            part = order[start : start + rows]
            layout = lay_out(
                [prompts[i] for i in part], [[answers[i]] for i in part], self.template.tokenizer.pad_id,
                self.policy.device,
            )  # fmt: skip
            with self.policy.reference() if frozen else torch.no_grad():
                hidden, _ = self.policy.read(layout)
                values = layout.split(self.policy.tokens(hidden, layout.labels, 1.0).logprob)
            found[part] = torch.stack([value.mean() for value in values]).cpu()
        return found

    def step(self, dual: Sequence[Lesson], human: Sequence[Lesson], rate: float) -> dict[str, float]:
        """One optimizer step on `dual` lessons and on those whose target is a person's, in small batches."""
        recipe, pad, device = self.recipe, self.template.tokenizer.pad_id, self.policy.device
        parts = itertools.chain(
            batches(_by_length(dual), max(1, recipe.rows // 2), recipe.temperature, pad, device),
            batches(_by_length(human), recipe.rows, recipe.temperature, pad, device),
        )
        return take_step(
            self.policy, self.optimizer, parts, dual_loss(recipe.likelihood), rate=rate, clip=recipe.clip
        )  # fmt: skip


def dual_loss(likelihood: float) -> Loss:
    """-1/N sum A log pi over drawn tokens, whose weights are the advantages A, + `likelihood` * NLL of the human tokens.

    The human targets hold the policy where people write: there is no reference to hold it near, since the reference
    cannot do what is asked.
    """

    def loss(tokens: Tokens, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        mine = batch.drawn
        gain = (batch.weight * tokens.logprob)[mine].sum() / batch.drawn_tokens
        nll = -tokens.logprob[~mine].sum() / batch.human_tokens
        return likelihood * nll - gain, {"human_loss": float(nll.detach()), "gain": float(gain.detach())}

    return loss


def style_advantages(scores: Tensor, kept: Tensor, faults: Tensor, content: float, penalty: float) -> Tensor:
    """What each rewrite is worth beside the others of its passage [passages, members]: its style, and `content` times what
    is kept, each in deviations within the groups (passages differ in how likely they are at all), less its fault.
    """
    value = normalised(leave_one_out(scores)) + content * normalised(leave_one_out(kept)) - penalty * faults
    return normalised(leave_one_out(value))


def _shared(ids: Sequence[int], source: Sequence[int], n: int = 4) -> float:
    """The share of a text's n-grams that stand in its source."""
    mine, theirs = ({tuple(each[i : i + n]) for i in range(len(each) - n + 1)} for each in (ids, source))
    return len(mine & theirs) / len(mine) if mine else 0.0


def _by_length(lessons: Sequence[Lesson]) -> list[Lesson]:
    return sorted(lessons, key=lambda lesson: len(lesson.prompt) + sum(map(len, lesson.stories)) + len(lesson.human))
