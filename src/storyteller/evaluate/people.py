"""People: whether the persons of a story stay who they are, and whether the story has what was asked for.

Names come from the rules of `tokens.names`, not from coreference, so that nothing is fetched: they miss names that are
ordinary words, and the animals of fables. Compare systems by them, and read the human texts' figures beside.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from storyteller.corpus.language import count_words, split_sentences
from storyteller.corpus.story import Form, Language, Story
from storyteller.tokens.names import characters, mentions
from storyteller.tokens.request import Request
from storyteller.tokens.vocabulary import terms

__all__ = ["Kept", "People", "asked_kept", "keyword_coverage", "name_places", "people"]

_MOST = 16  # names of a story that are looked at
_SPEECH = re.compile(r"“[^”\n]*[”\n]|\"[^\"\n]*[\"\n]|「[^」]*」|(?<!\w)[‘'][^’'\n]{12,}?[.,!?…][’'](?!\w)")
_SPOKEN = "“”"  # where a speech stood: who says it, the sentence before does not tell
# A pronoun that can stand for the subject before it: an object, `him`, is someone else, and `and she` may be.
_PRONOUN = {
    "en": re.compile(r"(?:\b(and|but|as|while|where|[a-z]+[,;]) )?\b(?:(he|himself)|(she|herself))\b", re.I),
    "zh": re.compile("([，；])?(?:(他(?!们|們|人|日|乡|处))|(她(?!们|們)))"),
}
_SUBJECT = 24  # characters of a sentence before a name that can still be its subject
_SOMEONE = {
    "en": re.compile(
        r"\b(?:(?:wo)?m[ae]n|boys?|girls?|mother|father|mom|dad|mum|mama|papa|sister|brother|wife|husband|son|daughter"
        r"|king|queen|prince|princess|lady|gentleman|lord|grand(?:mother|father|ma|pa)|aunt|uncle|friend|child|baby|maid"
        r"|someone|doctor|captain|stranger|nurse|teacher|who|whom|one)\b",
        re.I,
    ),
    "zh": re.compile("男|女|母|父|妈|爸|爹|娘|姐|妹|哥|弟|妻|夫|儿|公主|王子|太太|老师|医生|人"),
}
_ASKING = (
    "write short story stories words word about title characters character keywords keyword fable scene screenplay"
    " dialogue lesson novel chapter following include 短篇小说 小说 标题 人物 关键词 内容 故事 寓言 对话 课文 剧本"
)
_REQUEST_WORDS = frozenset(_ASKING.split())


@dataclass(frozen=True, slots=True)
class People:
    """The named people of one story; a share is `None` where there is nothing to take it of.

    `names`: how many there are. `late_third`, `late_two_thirds`: the share of them first named after that part of the
    text. `persistence`: of those named in the first third, the share named in the last third again. `conflict`: of those
    that a pronoun refers to twice or more, the share called both `he` and `she` (see `people`).
    """

    names: float
    late_third: float | None
    late_two_thirds: float | None
    persistence: float | None
    conflict: float | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What a story kept of its request; `None` where that was not asked for.

    `characters`, `keywords`: the share of those asked for that occur. `length`: words (or 字) by words asked for.
    """

    characters: float | None
    keywords: float | None
    length: float | None


def people(text: str, language: Language, form: Form = "story") -> People:
    """The names of a story by place, and those whose pronouns disagree.

    A sentence's first `he` or `she` counts for a name that stands before it, near the beginning of the sentence, or of the
    sentence before when this one begins with the pronoun; not where someone speaks or is mentioned, by name or as `the
    man`, nor after `and` or a comma. A name is in conflict when each gender has at least a third of its pronouns.
    """
    places = name_places(text, language, form)
    early = [own for own in places.values() if own[0] <= 1 / 3]
    return People(
        names=len(places),
        late_third=_share([own[0] > 1 / 3 for own in places.values()]),
        late_two_thirds=_share([own[0] > 2 / 3 for own in places.values()]),
        persistence=_share([own[-1] > 2 / 3 for own in early]),
        conflict=_share(_conflicts(text, list(places), language)),
    )


def name_places(text: str, language: Language, form: Form = "story") -> dict[str, list[float]]:
    """Where each person is named, from 0 at the beginning of the text to 1 at its end; a single time is enough."""
    story = Story(id="", text=text, language=language, form=form, words=count_words(text, language))
    found = {person.name: mentions(person.name, text) for person in characters(story, _MOST, least=1)}
    return {name: [place / len(text) for place in places] for name, places in found.items() if places}


def _conflicts(text: str, names: list[str], language: Language) -> list[bool]:
    """For each name with two pronouns or more, whether they disagree."""
    he, she = Counter[str](), Counter[str]()
    pronoun = _PRONOUN[language]
    subject: str | None = None  # the one person of the sentence before
    for sentence in split_sentences(_SPEECH.sub(_SPOKEN, text), language):
        sentence = sentence.strip()
        named = {name: places[0] for name in names if (places := mentions(name, sentence))}
        of, subject = subject, None
        if _SOMEONE[language].search(sentence) or _SPOKEN in sentence or len(named) > 1:
            continue
        if named:
            of = subject = next(iter(named)) if min(named.values()) <= _SUBJECT else None
        found = pronoun.search(sentence, named[of]) if named and of else pronoun.match(sentence)
        if of is not None and found is not None and not found[1]:
            he[of] += found[2] is not None
            she[of] += found[3] is not None
    counted = [(he[name], she[name]) for name in names if he[name] + she[name] >= 2]
    return [min(pair) >= sum(pair) / 3 for pair in counted]


def asked_kept(text: str, request: Request) -> Kept:
    """How much of what a request asks for the text has: its people by a part of their names, its keywords, its length."""
    return Kept(
        characters=_share([bool(mentions(person.name, text)) for person in request.characters]),
        keywords=_share([_occurs(word, text, request.language) for word in request.keywords]),
        length=count_words(text, request.language) / request.words if request.words else None,
    )


def keyword_coverage(prompt: str, text: str, language: Language) -> float | None:
    """The share of the prompt's content words that the text has; `None` for a prompt without any.

    Content words are those of `tokens.vocabulary.terms`, less the words that requests are made of (`write`, `story`).
    """
    wanted = dict.fromkeys(word for word in terms(prompt, language) if word not in _REQUEST_WORDS)
    return _share([_occurs(word, text, language) for word in wanted])


def _occurs(word: str, text: str, language: Language) -> bool:
    """Whether a keyword occurs, in English with up to three letters more or less of an ending (`seal`, `seals`)."""
    if language == "zh" or len(word) < 4:
        return word.casefold() in text.casefold()
    stem = re.sub(r"(?:ies|es|s|ed|ing|y|e)$", "", word) if len(word) > 4 else word
    return re.search(rf"\b{re.escape(stem)}[a-z]{{0,3}}\b", text, re.I) is not None


def _share(truths: list[bool]) -> float | None:
    return sum(truths) / len(truths) if truths else None
