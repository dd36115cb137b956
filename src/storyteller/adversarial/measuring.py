"""Measuring the policy on fixed prompts: the independent judge through a function that is passed in, the rest here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from storyteller.adversarial.adversary import Adversary
from storyteller.adversarial.policy import Policy, Weights
from storyteller.adversarial.prompts import Prompt
from storyteller.adversarial.reading import Group, read_groups
from storyteller.adversarial.rewards import Rules
from storyteller.adversarial.rollouts import drawing_dtype, sample
from storyteller.adversarial.update import Lesson, batches, k3
from storyteller.corpus.story import Language
from storyteller.errors import DataError, TrainingError
from storyteller.recipe.models import RolloutRecipe
from storyteller.tokens import Template

__all__ = ["Measured", "Score", "UnjudgedError", "auc", "end_ids", "measure"]

Score = Callable[[Sequence[str], Sequence[str], Sequence[str], Language], Mapping[str, float]]
"""(human texts, drawn texts, works, language), in pairs -> figures: `judge_auc` (0.5 is best), and for the guardrails
`distinct_2`, `self_bleu` and `rep_4`. It must share nothing with the critic."""


class UnjudgedError(TrainingError):
    """The stories that were drawn are too few, or too unlike people's in length, for the judge."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one evaluation and the texts that they come from: (prompt, human, drawn)."""

    figures: dict[str, float]
    texts: list[tuple[str, str, str]]


def measure(
    policy: Policy,
    weights: Weights | None,
    adversary: Adversary,
    template: Template,
    prompts: Sequence[Prompt],
    rules: Rules,
    score: Score,
    recipe: RolloutRecipe,
    language: Language,
    *,
    rows: int,
    seed: int,
    learned: bool = True,
) -> Measured:
    """The figures of the policy with adapter `weights` (None: as it is) on `prompts`, one story each, or more of few.

    The same seed gives two models the same random numbers. The score function gets the stories in `language` only. A critic
    that has not `learned` is not asked. Raises `UnjudgedError` when the score function cannot tell, and
    `FloatingPointError` when the policy's logits are no numbers.
    """
    each = max(1, math.ceil(recipe.dev_prompts / len(prompts)))
    with policy.wearing(weights):
        with policy.merged(drawing_dtype(recipe)):
            stories = sample(
                policy, [prompt.ids for prompt in prompts], each, new_tokens=recipe.new_tokens,
                temperature=recipe.temperature, ends=end_ids(template, policy), seed=seed,
            )  # fmt: skip
        groups = read_groups(
            policy, adversary.critic, template, prompts, stories,
            temperature=recipe.temperature, new_tokens=recipe.new_tokens, rows=rows, seed=seed,
        )  # fmt: skip
        figures = _likelihoods(policy, groups, recipe.temperature, rows, template.tokenizer.pad_id)
    figures |= _shapes(groups, rules) | (_critics(adversary, groups) if learned else {})
    texts = [
        (prompt.asked, prompt.text, mark.text)
        for prompt, group in zip(prompts, groups, strict=True)
        for mark in group.marks
    ]
    figures |= _scored(groups, score, language)
    return Measured(figures, texts)


def _scored(groups: Sequence[Group], score: Score, language: Language) -> dict[str, float]:
    """What the score function says of the stories in `language` that have a word."""
    told = [
        (group.prompt.text, mark.text, group.prompt.work)
        for group in groups
        for mark in group.marks
        if mark.ends and group.prompt.language == language
    ]
    if not told:
        raise UnjudgedError(
            f"every drawn story in {language} is empty, so there is nothing to judge. Check the model with `storyteller write`."
        )
    human, drawn, works = zip(*told, strict=True)
    try:
        return dict(score(human, drawn, works, language))
    except DataError as error:
        raise UnjudgedError(
            f"the judge cannot judge the {len(told)} dev stories: {error} Raise refine.rollout.dev_prompts, or prepare "
            "a corpus whose dev split has more works."
        ) from error


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a positive value is over a negative one, ties counting half (Mann and Whitney 1947)."""
    if not len(positive) or not len(negative):
        return 0.5
    first, second = np.asarray(positive)[:, None], np.asarray(negative)[None, :]
    return float((first > second).mean() + 0.5 * (first == second).mean())


def end_ids(template: Template, policy: Policy) -> list[int]:
    """Ids that end a rollout: every control token, and rows of the output layer that no token of the tokenizer has."""
    tokenizer = template.tokenizer
    known = tokenizer.vocabulary_size
    return [i for i in range(known) if tokenizer.is_special(i)] + list(range(known, policy.head.shape[0]))


@torch.no_grad()
def _likelihoods(
    policy: Policy, groups: Sequence[Group], temperature: float, rows: int, pad_id: int
) -> dict[str, float]:
    """Divergence and entropy on the drawn stories, and the human stories' loss, per token."""
    lessons = [
        Lesson(group.prompt.ids, group.stories, [torch.zeros(len(s)) for s in group.stories], group.reference,
               group.prompt.human)
        for group in groups
    ]  # fmt: skip
    drift = entropy = nll = 0.0
    for batch in batches(lessons, rows, temperature, pad_id, policy.device):
        hidden, _ = policy.read(batch.rows)
        tokens, mine = policy.tokens(hidden, batch.rows.labels, batch.temperature), batch.drawn
        drift += float(k3(tokens.logprob[mine], batch.reference[mine]).sum()) / batch.drawn_tokens
        entropy += float(tokens.entropy[mine].sum()) / batch.drawn_tokens
        nll -= float(tokens.logprob[~mine].sum()) / batch.human_tokens
    return {"kl": drift, "entropy": entropy, "human_nll": nll}


def _shapes(groups: Sequence[Group], rules: Rules) -> dict[str, float]:
    """Length, endings and copying of the drawn stories."""
    marks = [mark for group in groups for mark in group.marks]
    stories = [story for group in groups for story in group.stories]
    return {
        "length": sum(mark.ends[-1] if mark.ends else 0 for mark in marks) / len(marks),
        "endings": sum(mark.ended for mark in marks) / len(marks),
        "copying": sum(rules.copied_share(story) for story in stories) / len(stories),
        "empty": sum(not mark.ends for mark in marks) / len(marks),
    }


def _critics(adversary: Adversary, groups: Sequence[Group]) -> dict[str, float]:
    """The critic's AUC on pairs of one length, and what it thinks of the drawn stories' coherence."""
    pairs = [pair for group in groups for pair in group.pairs()]
    human = adversary.opinions([pair.human for pair in pairs])
    drawn = adversary.opinions([pair.generated for pair in pairs])
    return {
        "critic_auc": auc([float(o.score[-1]) for o in human if o], [float(o.score[-1]) for o in drawn if o]),
        "critic_coherence": sum(float(o.coherence[:, -1].mean()) for o in drawn if o) / max(1, len(drawn)),
    }
