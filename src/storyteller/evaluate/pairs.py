"""Pairs of texts by two systems on one prompt, for whoever says which is better: a person or a judge model."""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, zip_longest

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.texts import Text

__all__ = ["Pair", "choose_pairs", "tidy"]

_SPACES = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r"\s*\n\s*")
_DASH = re.compile(r"[^\S\n]*(?:--+|[—―─]+)[^\S\n]*")
_DOTS = re.compile(r"(?:\. ?){2,}\.|…+")
_STRAIGHT = str.maketrans("“”„‟‘’‚‛", "\"\"\"\"''''")
_CURLY = str.maketrans("「」『』", "“”‘’")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tidied texts on one prompt; `first` and `second` are their systems, by name.

    `id` is the same for every rater and judge, `cluster` what is drawn as one in the bootstrap; `continues` says that the
    texts go on from the prompt, which is a passage then.
    """

    id: str
    first: str
    second: str
    first_text: str
    second_text: str
    prompt: str
    prompt_id: str
    cluster: str
    language: Language
    continues: bool = False


def choose_pairs(
    texts: Sequence[Text], systems: Sequence[str] = (), count: int | None = None, seed: int = 1
) -> list[Pair]:
    """`count` pairs (all: None), spread evenly over every two of `systems`, each prompt once before any comes twice.

    Without names all systems meet. `name@0.8` takes the texts of one temperature. Texts that are the same after `tidy`
    are no pair. The same texts, names (in any order) and seed give the same pairs. Raises `DataError` for an unknown
    system and where two share no prompt.
    """
    names = sorted(set(systems) or {text.system for text in texts})
    if len(names) < 2:
        raise DataError(f"a comparison needs two systems; {'only ' + names[0] if names else 'none'} is there.")
    written = {name: _by_prompt(texts, name) for name in names}
    queues = [_meetings(written[a], written[b], a, b, seed) for a, b in combinations(names, 2)]
    rounds = (pair for round_ in zip_longest(*queues) for pair in round_ if pair is not None)
    return list(islice(rounds, count))


def tidy(text: str, language: Language) -> str:
    """`text` in the one typography that all texts are shown in, so that marks do not tell who wrote it.

    NFC; one newline between paragraphs, no other white space but single spaces. English: straight quotes, `—` without
    spaces, `...`. Chinese: “” and ‘’, —— and ……; straight double quotes open and close in turn.
    """
    text = _SPACES.sub(" ", unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")))
    text = _BREAKS.sub("\n", text).strip()
    if language == "en":
        return _DOTS.sub("...", _DASH.sub("—", text.translate(_STRAIGHT))).strip()
    text = _DOTS.sub("……", _DASH.sub("——", text.translate(_CURLY)))
    return "\n".join(_paired(paragraph) for paragraph in text.split("\n")).strip()


def _paired(paragraph: str) -> str:
    pieces = paragraph.split('"')
    return pieces[0] + "".join("“”"[index % 2] + piece for index, piece in enumerate(pieces[1:]))


def _by_prompt(texts: Sequence[Text], name: str) -> dict[tuple[str, Language], list[Text]]:
    """The texts of a system by prompt and language."""
    system, _, temperature = name.rpartition("@")
    found = [text for text in texts if text.system == name]
    if not found and system:
        found = [text for text in texts if text.system == system and f"{text.temperature or 0:g}" == temperature]
    if not found:
        there = ", ".join(sorted({text.system for text in texts})) or "none"
        raise DataError(f"no text is by {name!r}. The systems of the texts: {there}.")
    prompts: dict[tuple[str, Language], list[Text]] = defaultdict(list)
    for text in found:
        prompts[text.prompt_id, text.language].append(text)
    return prompts


def _meetings(
    firsts: dict[tuple[str, Language], list[Text]],
    seconds: dict[tuple[str, Language], list[Text]],
    first: str,
    second: str,
    seed: int,
) -> Iterator[Pair]:
    """The pairs of two systems in random order: one for each prompt, then the second samples, and so on."""
    common = sorted(firsts.keys() & seconds.keys())
    if not common:
        raise DataError(
            f"{first} and {second} have no prompt in common, so nothing pairs their texts. "
            "Let both answer the same prompts: storyteller evaluate MODEL MODEL --suite stories"
        )
    chance = random.Random(f"{seed} {first} {second}")
    rounds: dict[int, list[Pair]] = defaultdict(list)
    for prompt in common:
        ours, theirs = (chance.sample(side[prompt], len(side[prompt])) for side in (firsts, seconds))
        for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            pair = _pair(one, other, first, second)
            if pair.first_text != pair.second_text:
                rounds[number].append(pair)
    for _, pairs in sorted(rounds.items()):
        chance.shuffle(pairs)
        yield from pairs


def _pair(one: Text, other: Text, first: str, second: str) -> Pair:
    left, right = tidy(one.text, one.language), tidy(other.text, other.language)
    digest = hashlib.sha256("\0".join((one.prompt_id, first, second, left, right)).encode()).hexdigest()[:12]
    prompt = tidy(one.prompt or other.prompt, one.language)
    continues = bool(one.request and one.request.before)
    return Pair(digest, first, second, left, right, prompt, one.prompt_id, one.cluster, one.language, continues)
