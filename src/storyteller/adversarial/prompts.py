"""Prompts for refinement, each with the human story that answers it, split by work.

Half are requests, half show a human beginning that is to be continued. `train` feeds policy and critic, `held` (a tenth
of the same works' number, other works) measures the critic, `dev` the monitors, `gate` the last decision; `dev` and
`gate` come from the corpus's dev split and share no work. The test split is never opened: it belongs to the evaluation.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storyteller.adversarial.marks import sentence_marks
from storyteller.corpus import Story, count_words, read_split, split_sentences
from storyteller.corpus.corruption import FAULTS, corrupt
from storyteller.corpus.story import Language
from storyteller.errors import DataError, RecipeError
from storyteller.recipe import DataRecipe
from storyteller.recipe.models import RolloutRecipe
from storyteller.runs.console import say
from storyteller.tokens import StoryTokenizer, Template, request_text
from storyteller.tokens.conditions import Conditions
from storyteller.tokens.examples import Examples
from storyteller.tokens.names import character_names
from storyteller.tokens.vocabulary import Frequencies

__all__ = ["Prompt", "PromptSets", "corrupted", "draw", "make_prompts", "training_texts"]

_BORROWING = ("splice", "replace", "words")
"""Faults that take their material from another story."""

_READ = 30_000_000
"""Characters of the training stories in which copies are looked for: some twenty seconds."""

_LEAK = 0.5
"""A human story that shares so much of its 8-grams with its prompt is given away by it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt and the human story that answers it, both as ids; `human` is cut like a rollout, and ends with the stop
    token where the story ends. `asked` are the prompt's words, `text` is the human story as far as it goes.
    """

    ids: tuple[int, ...]
    human: tuple[int, ...]
    text: str
    asked: str
    work: str
    language: Language
    story: str


@dataclass(frozen=True, slots=True)
class PromptSets:
    """The four sets; no work stands in two of them."""

    train: list[Prompt]
    held: list[Prompt]
    dev: list[Prompt]
    gate: list[Prompt]

    @property
    def judged(self) -> Language:
        """The language whose stories are judged, that of which both dev and gate have most: a judge compares in one."""
        dev, gate = (Counter(prompt.language for prompt in prompts) for prompts in (self.dev, self.gate))
        return max(sorted(dev), key=lambda language: min(dev[language], gate[language]))

    @property
    def unjudged(self) -> str:
        """What the judges do not see of prompts in several languages, as a sentence; "" where there is one language."""
        judged = self.judged
        others = sorted({prompt.language for prompt in [*self.train, *self.dev, *self.gate]} - {judged})
        if not others:
            return ""
        seen = " and ".join(
            f"{sum(prompt.language == judged for prompt in prompts)} of {len(prompts)} prompts of {name}"
            for name, prompts in (("dev", self.dev), ("gate", self.gate))
        )
        return f"Judges and diversity see {judged} only, {seen}: what becomes of {', '.join(others)} is not judged."

    def counts(self) -> dict[str, dict[str, int]]:
        """Prompts and works of each set, for the data report."""
        return {
            name: {"prompts": len(prompts), "works": len({prompt.work for prompt in prompts})}
            for name, prompts in (("train", self.train), ("held", self.held), ("dev", self.dev), ("gate", self.gate))
        }


def make_prompts(data: DataRecipe, template: Template, rollout: RolloutRecipe, seed: int) -> PromptSets:
    """The prompts that a prepared corpus gives; a function of its arguments.

    Raises `DataError` when a split is too small, or when most prompts give their human story away.
    """
    sampled = itertools.islice(read_split(data.path, "train"), 20_000)
    examples = Examples(
        template,
        Conditions(Frequencies.of(sampled), data.keep_condition),
        data.model_copy(update={"tasks": {"write": 1.0}, "views": 1, "max_parts": 1}),
    )
    train = _by_work(_answered(data, "train", examples, rollout, seed, rollout.prompts), seed)
    dev = _by_work(_answered(data, "dev", examples, rollout, seed, 2 * rollout.dev_prompts), seed)
    held, rest = _parted(train, 0.1)
    watched, gate = _parted(dev, 0.5)
    sets = PromptSets(rest, held, watched[: rollout.dev_prompts], gate[: rollout.dev_prompts])
    for name, prompts in (("train", rest), ("held", held), ("dev", watched), ("gate", gate)):
        if not prompts:
            split = "train" if name in ("train", "held") else "dev"
            raise DataError(
                f"{data.path}: its split {split} has too few works for the prompts of {name}. Prepare a corpus with "
                "more works (two in each split are the least), or raise refine.rollout.prompt_tokens."
            )
    return sets


def training_texts(data: DataRecipe, tokenizer: StoryTokenizer) -> Iterator[list[int]]:
    """The training stories in full, as ids: the first `_READ` characters of a larger corpus, which is said."""
    read = 0
    for story in read_split(data.path, "train"):
        if read > _READ:
            say(f"copies are looked for in the first {_READ / 1e6:.0f} million characters of {data.path}")
            return
        read += len(story.text)
        yield tokenizer.encode(story.text)


def draw(prompts: Sequence[Prompt], count: int, seed: int, step: int) -> list[Prompt]:
    """The prompts of a step: the stream of epochs, each a permutation by seed, cut into parts of `count`."""
    chosen = []
    for index in range(step * count, (step + 1) * count):
        epoch, place = divmod(index, len(prompts))
        chosen.append(prompts[_permutation(len(prompts), seed, epoch)[place]])
    return chosen


@functools.lru_cache(maxsize=8)
def _permutation(count: int, seed: int, epoch: int) -> list[int]:
    return random.Random(f"{seed}/{epoch}").sample(range(count), count)


def corrupted(prompt: Prompt, template: Template, most: int, seed: int, other: str) -> list[int] | None:
    """The human story with one fault as ids, cut to `most` tokens; None where no fault finds room in them."""
    chance = random.Random(f"{seed}/{prompt.story}")
    sound = template.tokenizer.encode(prompt.text)[:most]
    faults = [fault for fault in FAULTS if other.strip() or fault not in _BORROWING]
    for fault in chance.sample(faults, len(faults)):
        names = _names(prompt) if fault == "names" else ()
        faulty = corrupt(prompt.text, fault, prompt.language, seed=chance.randrange(1 << 30), other=other, names=names)
        if faulty is None:
            continue
        ids = template.tokenizer.encode(faulty.text)[:most]
        if ids and ids != sound[: len(ids)]:  # else the fault stands after the cut
            return ids
    return None


def _names(prompt: Prompt) -> list[str]:
    text, language = prompt.text, prompt.language
    return character_names(Story(prompt.story, text, language, "story", count_words(text, language)))


def _answered(
    data: DataRecipe, split: str, examples: Examples, rollout: RolloutRecipe, seed: int, most: int
) -> list[Prompt]:
    stories = list(read_split(data.path, split))
    if rollout.only and split == "train":  # the dev prompts stay the same for all members
        stories = [story for story in stories if _found(rollout.only, story)]
        if not stories:
            raise DataError(f"{data.path}: no story of train has {rollout.only!r} in form, source, author or title.")
    random.Random(f"{seed}/{split}").shuffle(stories)
    prompts: list[Prompt] = []
    dropped, leaking = 0, 0
    for story in stories:
        made = _prompt(story, examples, rollout, random.Random(f"{seed}/{story.id}"))
        if made is None:
            dropped += 1
        elif _shared(made) >= _LEAK:
            leaking += 1
        else:
            prompts.append(made)
        if len(prompts) == most:
            break
    if leaking > len(prompts):
        raise DataError(
            f"{data.path}: {leaking} of {leaking + len(prompts)} prompts of {split} contain the human story that answers "
            "them, so the critic could tell by the prompt. Check the corpus's prompts for copies of its texts."
        )
    if dropped or leaking:
        say(f"{split}: {dropped} stories give no prompt that fits, {leaking} are given away by their prompt")
    return prompts


def _found(pattern: str, story: Story) -> bool:
    said = "\n".join(filter(None, (story.form, story.source, story.author, story.title)))
    try:
        return re.search(pattern, said, re.IGNORECASE | re.MULTILINE) is not None
    except re.error as error:
        raise RecipeError(f"refine.rollout.only={pattern!r} is no regular expression: {error}.") from error


def _prompt(story: Story, examples: Examples, rollout: RolloutRecipe, chance: random.Random) -> Prompt | None:
    example = next(iter(examples.of([story])), None)
    if example is None:
        return None
    template = examples.template
    ids, text = example.ids[: len(example.ids) - example.targets], example.completion
    if chance.random() < rollout.prefix_share:
        shown, rest = _cut(text, story.language, chance.uniform(0.1, 0.6))
        before = template.tokenizer.encode(shown)
        # A long story's beginning may be longer than a prompt: then it is cut earlier, or only the request is shown.
        while shown and len(ids) + len(before) > rollout.prompt_tokens:
            shown, rest = _cut(text, story.language, 0.5 * len(shown) / len(text))
            before = template.tokenizer.encode(shown)
        ids, text = ids + before, rest
    human = template.tokenizer.encode(text)
    if example.ends and len(human) < rollout.new_tokens:
        human.append(template.stop_id)
    human = human[: rollout.new_tokens]
    marks = sentence_marks(human, template.tokenizer, story.language)
    if len(ids) > rollout.prompt_tokens or not marks.ends:
        return None
    # An author's single stories are works of their own; what one book holds is one work.
    work = " / ".join(part for part in (story.author, story.work) if part) if story.work else story.title or story.id
    return Prompt(tuple(ids), tuple(human), marks.text, request_text(example.request), work, story.language, story.id)


def _cut(text: str, language: Language, share: float) -> tuple[str, str]:
    """The first sentences of `text`, at most that share of its characters, and the rest with the space between."""
    shown = ""
    for sentence in split_sentences(text, language):
        if len(shown) + len(sentence) > share * len(text):
            break
        shown += sentence
    shown = shown.rstrip()
    return shown, text[len(shown) :]


def _shared(prompt: Prompt) -> float:
    """The share of the human story's 8-grams that stand in its prompt."""
    grams = {prompt.human[i : i + 8] for i in range(len(prompt.human) - 7)}
    asked = {prompt.ids[i : i + 8] for i in range(len(prompt.ids) - 7)}
    return len(grams & asked) / len(grams) if grams else 0.0


def _by_work(prompts: Sequence[Prompt], seed: int) -> list[list[Prompt]]:
    works: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        works[prompt.work].append(prompt)
    names = sorted(works)
    random.Random(seed).shuffle(names)
    return [works[name] for name in names]


def _parted(works: Sequence[list[Prompt]], share: float) -> tuple[list[Prompt], list[Prompt]]:
    """Works parted so that the first part has about `share` of the prompts and, of two works, at least one.

    A work that is too large for the first part does not begin it where there is a smaller one.
    """
    wanted = share * sum(map(len, works))
    start = next((i for i, work in enumerate(works) if len(work) / 2 <= wanted), None)
    if start is None:
        start = min(range(len(works)), key=lambda i: len(works[i]), default=0)
    works = [*works[start : start + 1], *works[:start], *works[start + 1 :]]
    first: list[Prompt] = []
    for number, work in enumerate(works):
        if first and (len(first) + len(work) / 2 > wanted or number == len(works) - 1):
            return first, [prompt for rest in works[number:] for prompt in rest]
        first += work
    return first, []
