"""A content check by words: small, local, and explained. It is a filter of words, no judge of meaning.

What it finds are patterns of two short lists, English and Chinese, with guards for words that mean something else (`a chink
in the wall`, 上吊桥). The writer's setting decides what becomes of a finding; one category is refused whatever the setting
is: sexual content with minors.

What it cannot see: anything said without these words, by hints, in misspellings, in other languages; who is speaking
(a survivor, a villain, a textbook); whether a scene is for or against what it shows. A text without findings is not
thereby fit for a reader, and one with findings is not thereby unfit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from storyteller.corpus.language import split_sentences
from storyteller.corpus.story import Language

__all__ = ["AGES", "CATEGORIES", "Category", "Finding", "Setting", "check", "explain"]

Category = Literal["minors", "sexual", "violence", "self_harm", "slurs"]
Setting = Literal["off", "note", "age"]
Action = Literal["refuse", "flag", "note"]

CATEGORIES: tuple[Category, ...] = ("minors", "sexual", "violence", "self_harm", "slurs")

AGES: dict[Category, int] = {"sexual": 18, "violence": 16, "self_harm": 16, "slurs": 14}
"""The reader's age from which a category is no longer flagged (with the setting `age`)."""

_SEXUAL = re.compile(
    r"\b(?:(?:ha(?:d|ve|ving|s)|oral|anal) sex\b|sexual intercourse|orgasm\w*|masturbat\w+|penis(?:es)?|vaginas?|clitoris"
    r"|genitals?|nipples|ejaculated (?:in|on)(?:side|to)?\b|his erection|blow ?jobs?|porn(?:o\w*)?|rap(?:ed|ing|ists?)\b"
    r"|fuck(?:ed|ing|s)? (?:me|you|him|her|them|each)|sexually arous\w+|erotic\w*)"
    "|性交|性爱|性高潮|做爱|阴茎|阴道|阴蒂|龟头|鸡巴|自慰|手淫|射精|口交|肛交|强奸|轮奸|奸淫|淫荡|淫水|肏|乳头|色情|共赴云雨|云雨之欢",
    re.I,
)
_VIOLENCE = re.compile(
    r"\b(?:disembowel\w*|eviscerat\w*|dismember\w*|decapitat\w*|flayed (?:him|her|them|alive)|severed (?:head|limb|hand|arm)s?"
    r"|(?:entrails|intestines|guts|brains) (?:spill|spatter|splatter|hung|hang|drip|slid|ooz)\w*"
    r"|blood (?:sprayed|spurted|splattered|gushed from (?:his|her|the) (?:neck|throat))"
    r"|(?:slit|cut) (?:his|her|the \w+'s) throat|gouged? (?:out|his eye|her eye)\w*|tortured? (?:him|her|them) (?:with|until))"
    "|开膛破肚|肠子(?:流|拖|淌)|脑浆(?:迸|四|流)|碎尸|肢解|凌迟|活剥|剥了(?:他|她)的皮|血肉模糊|鲜血(?:狂)?喷(?:涌|溅|出)|割(?:断|开)(?:了)?(?:他|她)?的?喉咙"
    "|剜(?:出|去)(?:了)?(?:他|她)?的?(?:双)?眼",
    re.I,
)
_SELF_HARM = re.compile(
    r"\b(?:kill(?:ed|ing|s)? (?:him|her|my|your|them)sel(?:f|ves)(?! (?:laughing|with laughter))|suicid\w+|self-harm\w*"
    r"|hang(?:ed|ing)? (?:him|her|my|your)self(?! (?:up|out|a)\b)|(?:slit|cut|slashed) (?:his|her|my|your) wrists?"
    r"|(?:took|taking|end(?:ed|ing)?) (?:his|her|my|your) own life|overdos(?:ed|ing) on)"
    "|自杀(?!式)|自尽|自缢|割腕|轻生|自残|寻短见|服毒自|上吊(?!桥|床|灯|车|环|篮|顶|扇|坠|瓶|锅|索|机|钩)|跳楼(?!价|甩卖|大甩卖|机|促销)",
    re.I,
)
# Three of them are words of old tales, too: firewood, a gap in a wall, to slow down.
_SLURS = re.compile(
    r"\b(?:nigg(?:er|a)s?|kikes?|spics?|gooks?|wetbacks?|trann(?:y|ies)"
    r"|(?:you|stupid|damn(?:ed)?|dirty|filthy|fucking) (?:fagg?ots?|chinks?|retards?))\b|支那(?!河)|黑鬼|基佬|倭奴|鞑子",
    re.I,
)
_PATTERNS: tuple[tuple[Category, re.Pattern[str]], ...] = (
    ("sexual", _SEXUAL),
    ("violence", _VIOLENCE),
    ("self_harm", _SELF_HARM),
    ("slurs", _SLURS),
)

# Ages count wherever they stand near; nouns for children only in the same sentence, for grown people have children.
_WORDS = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
_THINGS = (
    "whisk(?:e?y|ies)|wines?|scotch|bourbon|rum|brandy|cognac|port|cheese|cars?|trucks?|vans?|bikes?|houses?|buildings?|trees?"
    "|beds?|sofas?|couch|mattress|carpet|dress|shirt|coat|shoes|boots|books?|photo(?:graph)?s?|letters?|computer|laptop|phone"
    "|newspaper|magazines?|marriage|feud|dogs?|cats?|horses?|wounds?|scars?"
)
# What a number counts or measures is no age: a unit, a plural, hours, a score, the heights of grown people (6'2).
_NO_AGE = (
    r"(?!['’′] ?(?:\d|tall)|[.,:]\d|-\w| ?%| (?:per ?cent|o['’]clock|hundred|thousand|million|of|foot|feet|ft|stone|metre|meter"
    r"|inch|mile|yard|cm|mm|m|km|kg|lbs?|men|women|people|and (?:a half|(?:twen|thir|for|fif|six|seven|eigh|nine)ty))\b"
    r"| (?!(?:was|is|has|as|this|his|its|us|plus|always|perhaps|sometimes|says|does|yes|unless|whereas|besides|across)\b)"
    r"(?-i:[a-z]+s)\b)"
)
_AGE = re.compile(
    rf"(?<!\d[.,])\b(?:[1-9]|1[0-7]|(?<!ty[ -])(?<!hundred and )(?:one|{_WORDS}))"
    rf"(?:[- ]?(?:years?|yrs?)[- ]?old|[- ]?y/?o|[- ]years? of age)\b(?![ ,]+(?:{_THINGS})\b)"
    r"|\b(?:she|he|girl|boy|daughter|son|who|aged?|turned)(?: of|,? who)?(?: is| was|'s|’s)?(?: just| only| barely){0,2} "
    rf"(?:[1-9]|1[0-7]|{_WORDS})\b{_NO_AGE}"
    r"|\bunder-?age\b|\bpre-?teens?\b"
    r"|未成年|未满十八|(?<![\d十百大小长几差])(?<![大小长][他她我你])(?<![大小差]了)(?:[1-9]|1[0-7])岁"
    "|(?<![二三四五六七八九百大小长几差])(?<![大小长][他她我你])(?<![大小差]了)十[一二三四五六七]岁"
    "|(?<![一二三四五六七八九十百大小长几差])(?<![大小长][他她我你])(?<![大小差]了)[一二三四五六七八九十]岁"
    r"|(?:今年|刚满|年方|芳龄|年仅|年满)(?:[1-9]|1[0-7]|十[一二三四五六七]?|[一二三四五六七八九])(?=\s*(?:[，。！？；、,.!?;”」了]|$))",
    re.I,
)
_HALF = str.maketrans("０１２３４５６７８９", "0123456789")
_CHILD = re.compile(
    r"\b(?:(?:little|young|small) (?:girl|boy)s?|school ?(?:girl|boy)s?|child(?:ren)?|kids?|toddlers?|infants?|minors?"
    r"|teen(?:ager)?s?)\b"
    "|幼女|女童|男童|儿童|小女孩|小男孩|小学生|初中生|萝莉|正太",
    re.I,
)
_GROWN = re.compile(
    r"\b(?:(?:as|since|was|being|no longer) a (?:child|kid|little (?:girl|boy))\b|inner child"
    r"|(?:grown|adult) (?:children|child|kids)|(?:his|her|their|our|the) (?:children|kids) (?:were|had|are|have|sle(?:ep|pt))\b"
    r"|(?:with|had|have|having|no|want\w*|bear|raise\w*|two|three) (?:a )?(?:child(?:ren)?|kids)\b)"
    "|小时候|儿时|童年|孩子们(?:都)?睡",
    re.I,
)
_NEAR = 400  # characters


@dataclass(frozen=True, slots=True)
class Finding:
    """Words at `start` to `end` (characters), the category that they speak for, and what the setting makes of it.

    `refuse`: must not be shown or kept as the model's text. `flag`: not for this reader's age. `note`: for the writer to
    know. `beside` are the words that together with `words` made a finding of it.
    """

    category: Category
    words: str
    start: int
    end: int
    action: Action
    beside: str = ""


def check(text: str, *, setting: Setting = "note", age: int | None = None) -> list[Finding]:
    """What the lists find in a text of either language, in its order.

    `setting`: `off` finds what is always refused and nothing else; `note` finds everything; `age` flags what is not for a
    reader of that `age` (without one: everything), and leaves out the rest.
    """
    found: list[Finding] = []
    for category, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            beside = _minor_near(text, match) if category == "sexual" else ""
            place = match.group(), match.start(), match.end()
            if beside:
                found.append(Finding("minors", *place, "refuse", beside))
            elif setting == "note":
                found.append(Finding(category, *place, "note"))
            elif setting == "age" and (age is None or age < AGES[category]):
                found.append(Finding(category, *place, "flag"))
    return sorted(found, key=lambda one: (one.start, CATEGORIES.index(one.category)))


def explain(finding: Finding, language: Language, age: int | None = None) -> str:
    """What was found, and what becomes of it, in a sentence for the writer."""
    name = _NAMES[language][finding.category]
    if language == "zh":
        said = f"“{finding.words}”" + (f"与“{finding.beside}”一起" if finding.beside else "")
        then = {
            "refuse": "任何设置下都不会写出或保留这样的内容。",
            "flag": f"不适合{age}岁的读者。" if age is not None else "不适合年幼的读者。",
            "note": "仅作提示，由你决定。",
        }
        return f"{said}：{name}。{then[finding.action]}这是按词语查找，不理解上下文。"
    said = f"“{finding.words}”" + (f" together with “{finding.beside}”" if finding.beside else "")
    then = {
        "refuse": "This is neither written nor kept, whatever the settings are.",
        "flag": f"Not for a reader of {age}." if age is not None else "Not for young readers.",
        "note": "Only a note: it is yours to decide.",
    }
    return f"{said}: {name}. {then[finding.action]} Found by words, without regard to what is meant."


def _minor_near(text: str, match: re.Match[str]) -> str:
    """The words near a sexual term that say that somebody is a minor; "" where none do."""
    start = max(0, match.start() - _NEAR)
    if age := _AGE.search(text.translate(_HALF), start, min(len(text), match.end() + _NEAR)):
        return text[age.start() : age.end()]
    sentence = _sentence(text, match.start())
    for child in _CHILD.finditer(_GROWN.sub("", sentence)):
        return child.group()
    return ""


def _sentence(text: str, place: int) -> str:
    """The sentence in which a place lies."""
    before = max(0, place - _NEAR)
    return next((one for end, one in _ends(text[before : place + _NEAR]) if end > place - before), "")


def _ends(text: str) -> Iterator[tuple[int, str]]:
    end = 0
    for sentence in split_sentences(text, "zh" if re.search("[\u4e00-\u9fff]", text) else "en"):
        end += len(sentence)
        yield end, sentence


_NAMES: dict[Language, dict[Category, str]] = {
    "en": {
        "minors": "sexual content with a minor",
        "sexual": "explicit sexual content",
        "violence": "graphic violence",
        "self_harm": "suicide or self-harm",
        "slurs": "a slur",
    },
    "zh": {
        "minors": "涉及未成年人的性内容",
        "sexual": "露骨的性内容",
        "violence": "血腥暴力",
        "self_harm": "自杀或自残",
        "slurs": "侮辱性称呼",
    },
}
