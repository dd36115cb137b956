"""A story with a fault put in on purpose: what a scorer of coherence learns from, and the floor of an evaluation.

Each fault keeps everything else as it was: the white space between sentences stays in its place, and the length
stays near the original's where the fault allows it, so that a scorer cannot tell by the looks. The kinds follow
UNION (Guan and Huang 2020: repetition, substitution, reordering, negation), RankGen (Krishna et al. 2022: segments of
other stories) and the entity faults that human raters name first.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from storyteller.corpus.language import split_sentences
from storyteller.corpus.story import Language
from storyteller.errors import DataError

__all__ = ["FAULTS", "Corrupted", "Fault", "corrupt"]

Fault = Literal[
    "shuffle", "swap", "splice", "replace", "names", "pronouns", "repeat", "loop", "drop", "negate", "words"
]
FAULTS: tuple[Fault, ...] = get_args(Fault)

_AUXILIARY = r"is|are|was|were|has|have|had|will|would|can|could|shall|should|must|may|might|did|does|do"
_NEGATED = re.compile(rf"\b((?i:{_AUXILIARY})|(?i:ca)(?=n['’]t)|(?i:wo)(?=n['’]t))(?: not\b|n['’]t\b)")
_PLAIN = re.compile(rf"\b({_AUXILIARY})\b(?! not|n['’]t)")
_WHOLE = {"ca": "can", "wo": "will"}
_NEGATED_ZH = re.compile("不(?!过|但|是|仅|料|觉|断|同|由|得)|没有?(?=[一-鿿])")
_PLAIN_ZH = re.compile("(?<![不没])(?:会|能|敢|肯|想|要|愿意|知道|喜欢)")
_PRONOUNS = {
    "he": "she",
    "him": "her",
    "his": "her",
    "himself": "herself",
    "she": "he",
    "her": "his",
    "hers": "his",
} | {"herself": "himself"}
_PRONOUN = re.compile(rf"\b(?:{'|'.join(_PRONOUNS)})\b", re.I)
# "I saw her so happy": after these words and before a mark, "her" stands for a person and not for an owner.
_OBJECT = re.compile(r"(?! [a-z])| (?:so|as|to|and|in|on|at|with|for|from|that|when|if|but|by|into|or|the|a|an|who)\b")
_CONTENT = re.compile(r"(?<![\w'’-])[a-z]{4,}(?![\w'’-])")
_SHORT = (
    "that this with from they them their there then than when what were have been would could should which while your "
    "yours will shall into upon only very some such said more most much many after before about because where these "
    "those just also even over again here once every other another each both himself herself itself through under "
    "until against between down being does doing during same though without within"
)
_FUNCTION = frozenset(_SHORT.split())
_HAN_WORD = re.compile("[一-鿿]{2,}")


@dataclass(frozen=True, slots=True)
class Corrupted:
    """A faulty story: its text, the kind of fault, what was done in words, and the first sentence that differs.

    `first` counts sentences from 0; what stands before that sentence is as it was.
    """

    text: str
    fault: Fault
    note: str
    first: int


def corrupt(
    text: str, fault: Fault, language: Language = "en", *, seed: int = 0, other: str = "", names: Sequence[str] = ()
) -> Corrupted | None:
    """`text` with one fault, or None where the text has no room for it (too short, no such words, no names).

    - `shuffle`: all sentences but the first in another order; `swap`: two sentences exchanged.
    - `splice`: the second part is that of the story `other`; `replace`: one to three inner sentences are `other`'s.
    - `names`: from midway on two of the `names` are exchanged, or a single one gives way to a stranger's name.
      `pronouns`: from midway on he is she, and she is he (他, 她).
    - `repeat`: a sentence stands again in place of a later one; `loop`: the ending repeats a sentence over and over.
    - `drop`: a run of inner sentences is missing. `negate`: up to three statements are turned into their contrary.
    - `words`: one content word in six is a word of `other`.

    The same seed gives the same fault. `names` come from `storyteller.tokens.names.characters`; the Chinese `words`
    are jieba's. Raises `DataError` for an unknown fault, or where `splice`, `replace` or `words` get no `other`.
    """
    if fault not in FAULTS:
        raise DataError(f"There is no fault {fault!r}; choose one of {', '.join(FAULTS)}.")
    if fault in ("splice", "replace", "words") and not other.strip():
        raise DataError(f"The fault {fault!r} takes its material from another story: give `other`.")
    pieces = split_sentences(text, language)
    bodies = [piece.rstrip() for piece in pieces]
    spaces = [piece[len(body) :] for piece, body in zip(pieces, bodies, strict=True)]
    rng = random.Random(f"{seed} {fault} {text[:80]}")
    others = [piece.strip() for piece in split_sentences(other, language)]
    makers: dict[Fault, Callable[[], tuple[list[str], str] | None]] = {
        "shuffle": partial(_shuffle, bodies, rng),
        "swap": partial(_swap, bodies, rng),
        "splice": partial(_splice, bodies, others, rng),
        "replace": partial(_replace, bodies, others, rng),
        "names": partial(_names, bodies, names, language, rng),
        "pronouns": partial(_pronouns, bodies, language),
        "repeat": partial(_repeat, bodies, rng),
        "loop": partial(_loop, bodies, rng),
        "drop": partial(_drop, bodies, rng),
        "negate": partial(_negate, bodies, language, rng),
        "words": partial(_words, bodies, other, language, rng),
    }
    made = makers[fault]()
    if made is None or made[0] == bodies:
        return None
    new, note = made
    first = next((i for i, (a, b) in enumerate(zip(new, bodies, strict=False)) if a != b), min(len(new), len(bodies)))
    return Corrupted(_joined(new, spaces, language), fault, note, first)


def _joined(bodies: Sequence[str], spaces: Sequence[str], language: Language) -> str:
    """The sentences with the story's own white space between them; its last one stays at the end."""
    usual = "" if language == "zh" else " "
    inner = [space or usual for space in spaces[:-1]][: len(bodies) - 1]
    inner += [usual] * (len(bodies) - 1 - len(inner))
    return "".join(body + space for body, space in zip(bodies, [*inner, spaces[-1]], strict=True))


def _shuffle(bodies: list[str], rng: random.Random) -> tuple[list[str], str] | None:
    if len(set(bodies[1:])) < 2:
        return None
    rest = list(bodies[1:])
    while rest == bodies[1:]:
        rng.shuffle(rest)
    return [bodies[0], *rest], f"{len(rest)} sentences in another order"


def _swap(bodies: list[str], rng: random.Random) -> tuple[list[str], str] | None:
    if len(bodies) < 2:
        return None
    a, b = sorted(rng.sample(range(len(bodies)), 2))
    new = list(bodies)
    new[a], new[b] = new[b], new[a]
    return new, f"sentences {a + 1} and {b + 1} exchanged"


def _splice(bodies: list[str], others: list[str], rng: random.Random) -> tuple[list[str], str] | None:
    if len(bodies) < 2 or len(others) < 2:
        return None
    cut = rng.randint(max(1, len(bodies) // 3), max(1, 2 * len(bodies) // 3))
    # The other story goes on from its own middle to its own end, as long as the part that it takes the place of.
    tail = others[max(1, len(others) - (len(bodies) - cut)) :]
    return [*bodies[:cut], *tail], f"from sentence {cut + 1} on another story"


def _replace(bodies: list[str], others: list[str], rng: random.Random) -> tuple[list[str], str] | None:
    if len(bodies) < 3 or not others:
        return None
    number = rng.randint(1, min(3, len(bodies) - 2, len(others)))
    new = list(bodies)
    for place in rng.sample(range(1, len(bodies)), number):
        # A sentence from the same stretch of the other story: openings and endings have a look of their own.
        near = place * len(others) / len(bodies) + rng.uniform(-1.5, 1.5)
        new[place] = others[min(max(int(near), 0), len(others) - 1)]
    return new, f"{number} sentences of another story"


def _names(
    bodies: list[str], names: Sequence[str], language: Language, rng: random.Random
) -> tuple[list[str], str] | None:
    start = max(1, len(bodies) // 2)
    tail = " ".join(bodies[start:])
    present = [name for name in names if _name_pattern(name, language).search(tail)]
    strangers = ("小梅", "阿强", "老周") if language == "zh" else ("Martha", "Gilbert", "Edith", "Walter")
    if len(names) > 1 and present:
        a = present[0]
        b = next(name for name in names if name != a)
    elif present:
        a, b = present[0], rng.choice([name for name in strangers if name not in tail])
    else:
        return None
    both = re.compile(f"{_name_pattern(a, language).pattern}|{_name_pattern(b, language).pattern}")
    changed = [both.sub(lambda found: b if found.group() == a else a, body) for body in bodies[start:]]
    return [*bodies[:start], *changed], f"{a} and {b} exchanged from sentence {start + 1} on"


def _name_pattern(name: str, language: Language) -> re.Pattern[str]:
    return re.compile(re.escape(name) if language == "zh" else rf"\b{re.escape(name)}\b")


def _pronouns(bodies: list[str], language: Language) -> tuple[list[str], str] | None:
    start = max(1, len(bodies) // 2)
    if language == "zh":
        changed = [body.translate(str.maketrans("他她", "她他")) for body in bodies[start:]]
    else:
        changed = [_PRONOUN.sub(_other_pronoun, body) for body in bodies[start:]]
    return [*bodies[:start], *changed], f"he and she exchanged from sentence {start + 1} on"


def _other_pronoun(found: re.Match[str]) -> str:
    word = found.group()
    new = _PRONOUNS[word.lower()]
    if word.lower() == "her" and _OBJECT.match(found.string, found.end()):
        new = "him"
    return new.capitalize() if word[0].isupper() else new


def _repeat(bodies: list[str], rng: random.Random) -> tuple[list[str], str] | None:
    if len(bodies) < 3:
        return None
    new = list(bodies)
    number = rng.randint(1, max(1, len(bodies) // 3))
    for place in sorted(rng.sample(range(1, len(bodies)), number)):
        new[place] = new[rng.randrange(place)]
    return new, f"{number} sentences are repetitions"


def _loop(bodies: list[str], rng: random.Random) -> tuple[list[str], str] | None:
    if len(bodies) < 3:
        return None
    start = rng.randint(1, max(1, 2 * len(bodies) // 3))
    width = rng.randint(1, min(2, start))
    run = bodies[start - width : start]
    return [*bodies[:start], *(run[i % width] for i in range(len(bodies) - start))], f"a loop from sentence {start + 1}"


def _drop(bodies: list[str], rng: random.Random) -> tuple[list[str], str] | None:
    if len(bodies) < 4:
        return None
    number = rng.randint(1, max(1, (len(bodies) - 2) // 2))
    start = rng.randint(1, len(bodies) - 1 - number)
    return [*bodies[:start], *bodies[start + number :]], f"{number} sentences missing before sentence {start + 1}"


def _negate(bodies: list[str], language: Language, rng: random.Random) -> tuple[list[str], str] | None:
    places = list(range(len(bodies)))
    rng.shuffle(places)
    new, done = list(bodies), 0
    for place in places:
        if done < 3 and (contrary := _contrary(bodies[place], language)) != bodies[place]:
            new[place], done = contrary, done + 1
    return (new, f"{done} statements turned into their contrary") if done else None


def _contrary(sentence: str, language: Language) -> str:
    if language == "zh":
        denied = _NEGATED_ZH.sub("", sentence, count=1)
        return denied if denied != sentence else _PLAIN_ZH.sub(lambda found: "不" + found.group(), sentence, count=1)
    affirmed = _NEGATED.sub(lambda found: _WHOLE.get(found[1], found[1]), sentence, count=1)
    return affirmed if affirmed != sentence else _PLAIN.sub(r"\1 not", sentence, count=1)


def _words(bodies: list[str], other: str, language: Language, rng: random.Random) -> tuple[list[str], str] | None:
    material = sorted(set(_content_words(other, language)))
    own = [word for body in bodies for word in _content_words(body, language)]
    if not own or not material:
        return None
    chosen = {word: rng.choice(material) for word in sorted(set(own)) if rng.random() < 1 / 6}
    chosen = chosen or {rng.choice(own): rng.choice(material)}
    edge = "" if language == "zh" else r"\b"
    pattern = re.compile("|".join(f"{edge}{re.escape(word)}{edge}" for word in sorted(chosen, key=len, reverse=True)))
    new = [pattern.sub(lambda found: chosen[found.group()], body) for body in bodies]
    return new, f"{len(chosen)} words of another story"


def _content_words(text: str, language: Language) -> list[str]:
    if language == "en":
        return [word for word in _CONTENT.findall(text) if word not in _FUNCTION]
    import rjieba

    return [word for word in rjieba.cut(text) if _HAN_WORD.fullmatch(word)]
