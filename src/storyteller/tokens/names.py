"""The people of a story, without labels: by capitals in English, by part of speech in Chinese, by cues in plays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from storyteller.corpus.story import Story
from storyteller.tokens.request import Character
from storyteller.tokens.vocabulary import word_list

__all__ = ["CUED", "character_names", "characters", "mentions", "without_speech"]

#: Forms that are written as cues and lines.
CUED = ("screenplay", "play", "dialogue")
_MOST = 20_000  # characters of text that are read for names

_TITLE = (
    "Mr|Mrs|Ms|Miss|Dr|Doctor|Professor|Sir|Lady|Lord|King|Queen|Prince|Princess|Captain|Colonel|Major|General|Sergeant"
    "|Uncle|Aunt|Father|Mother|Brother|Sister|Old|Little|Saint|St|Count|Baron|Duke|Judge|Inspector|Madame|Monsieur"
    "|Grandma|Grandpa|Granny|Squire|Reverend"
)
_CAPITAL = r"[A-Z][a-z]+(?:[-’'][A-Z][a-z]+)*"
_NAME = re.compile(rf"\b(?=[A-Z])((?:(?:{_TITLE})\.? )*)({_CAPITAL}(?: {_CAPITAL}){{0,2}})\b")
_SPEECH = (
    "said|asked|cried|replied|answered|exclaimed|whispered|shouted|thought|muttered|murmured|began|added|continued"
)
_DOES = re.compile(
    rf" (?:{_SPEECH}|was|had|is|has|went|came|took|looked|saw|knew|felt|stood|sat|ran|made|gave|got|told|would|could"
    r"|did|turned|put|kept|found|left|heard|set|began|wanted|smiled|laughed"
    r"|sang|wrote|spoke|rode|rose|held|led|met|sent|shook|slept|drew|drank|drove|ate|flew|forgot|grew|hid|lay|lost|swam|threw"
    r"|woke|won|brought|bought|caught|chose|crept|fell|understood|[a-z]{3,}ed)\b"
)
_SPEAKS = re.compile(rf"\b(?:{_SPEECH}) $")
_WHERE = re.compile(r"\b(?:in|at|into|near|from|to|of|through|across|toward|towards|for) (?:the )?$")
_MIDDLE = re.compile(r"[a-z,;] $")

_CHINESE_DOES = re.compile(
    r"(?:便|又|也|就|只|忙|却|笑着|听了|冷笑|大)?(?:道|说|笑|问|曰|叫|听|见|想|答|喝|哭|走|看|坐|站|去|来|回|把|在|到|是|有)"
)
_PLACES = "山泊寺庙府县州城村江河湖桥关岭"
_CUE_LINE = re.compile(r"^@?([A-Z][A-Z .'’-]{1,30}?|[一-鿿]{2,5})(?: ?[(（][^)）]*[)）])? ?\^?$", re.M)
_CUE_COLON = re.compile(r"^\**([A-Z][A-Za-z.'’ -]{1,25}|[一-鿿]{1,5})\**(?: ?[(（][^)）]*[)）])? ?[:：]", re.M)
_NO_CUE = re.compile(
    r"^(?:INT|EXT|EST|CUT|FADE|ACT|SCENE|THE END|DISSOLVE|TITLE|MONTAGE|BACK|LATER|END|CURTAIN|I+|场景|时间"
    r"|地点|人物|内景|外景|幕|注|旁白)\b\.?",
    re.I,
)
_NO_WHO = re.compile(
    r"\b(?:who|which|that|and|when|as|but|was|had|said|time|day|next|other|same|first|last|moment|minute|[a-z]+ly)\b"
)


def characters(story: Story, most: int = 8, least: int | None = None) -> list[Character]:
    """The people of a story, most frequent first.

    English: capitalised words that stand in the middle of a sentence, act or speak, and occur `least` times (by default
    twice, and three times in a text over 400 words). Chinese: names by jieba's tags that occur `least` times (by
    default twice) and act or speak. Plays and dialogues: the names before the lines.
    """
    text = story.text[:_MOST]
    names = character_names(story, most, least)
    return [Character(name, _who(name, text) if story.language == "en" else "") for name in names]


def character_names(story: Story, most: int = 8, least: int | None = None) -> list[str]:
    """The names alone of `characters`, in half the time."""
    text = story.text[:_MOST]
    if story.form in CUED and (cues := _cues(text)):
        return cues[:most]
    enough = least or (3 if story.language == "en" and story.words > 400 else 2)
    return (_chinese(text, enough) if story.language == "zh" else _english(text, enough))[:most]


def mentions(name: str, text: str) -> list[int]:
    """Where a text mentions the person of that name, as characters: by the whole name, its first or its last word."""
    words = re.sub(rf"^(?:(?:{_TITLE})\.? )+", "", name).split(" ")
    spellings = dict.fromkeys((name, " ".join(words), words[0], words[-1]))
    either = "|".join(map(re.escape, spellings))
    pattern = rf"\b(?:{either})\b" if name.isascii() else either
    return [match.start() for match in re.finditer(pattern, text, re.I if name.isupper() else 0)]


def without_speech(text: str) -> str:
    """What a play or a dialogue tells beside its lines: the blocks that no cue begins, without their brackets."""
    blocks = re.split(r"\n\s*\n", text)
    told = (block for block in blocks if not _CUE_LINE.match(block) and not _CUE_COLON.match(block))
    return "\n\n".join(block.strip("[]()（） \n") for block in told)


def _cues(text: str) -> list[str]:
    counts = Counter(match[1].strip(" .") for pattern in (_CUE_LINE, _CUE_COLON) for match in pattern.finditer(text))
    names = [name for name, count in counts.most_common() if count >= 2 and name and not _NO_CUE.match(name)]
    return [name.title().replace("’S", "’s").replace("'S", "'s") if name.isupper() else name for name in names]


def _english(text: str, least: int) -> list[str]:
    seen, middle, acts, places = (Counter[str]() for _ in range(4))
    found = list(_capitalised(text))
    for _, _, words, _ in found:
        seen.update(words)
    # What is too rare to be somebody's name need not be looked at, and that is most of it.
    often = {word for word, count in seen.items() if count >= least}
    full: dict[str, Counter[str]] = {word: Counter() for word in often}
    for start, end, words, titled in found:
        if often.isdisjoint(words):
            continue
        before = text[max(0, start - 16) : start]
        inside = bool(_MIDDLE.search(before) or titled)
        where = bool(_WHERE.search(before) and not titled)
        doing = bool(_DOES.match(text, end) or _SPEAKS.search(before))
        for word in often.intersection(words):
            times = words.count(word)
            middle[word] += inside * times
            places[word] += where * times
            acts[word] += doing * times
            full[word][" ".join(filter(None, [titled, *words]))] += times
    names: list[str] = []
    for word, count in seen.most_common(40):
        known = count >= least and middle[word] and acts[word] and places[word] <= count / 2
        # "Fox" of a fable is a person although "a fox" occurs once; "Captain" with many a "captain" is not.
        if not known or _lower(word, text) > count / 3 or any(word in name.split(" ") for name in names):
            continue
        longest, times = max(full[word].items(), key=lambda item: (item[1], len(item[0])))
        name = longest if times * 3 >= count else word
        if name.endswith("s") and name[:-1] in " ".join(names):
            continue  # a family by its plural
        # "Anne" of "Anne Farringdon" is one person.
        names = [other for other in names if other not in name.split(" ")] + [name]
    return names


def _capitalised(text: str) -> Iterator[tuple[int, int, list[str], str]]:
    """What may be names: (start, end, words, title)."""
    not_names = word_list("not_names_en")
    for match in _NAME.finditer(text):
        all_words = words = match[2].split(" ")
        while words and words[0] in not_names:
            words = words[1:]
        while words and words[-1] in not_names:
            words = words[:-1]
        if words and not_names.isdisjoint(words):
            yield match.start(), match.end(), words, match[1].strip() if words is all_words else ""


def _lower(word: str, text: str) -> int:
    """How often the word stands there without its capital."""
    small = word.lower()
    # Only then is a pattern worth its making.
    return len(re.findall(rf"\b{re.escape(small)}\b", text)) if small in text else 0


def _chinese(text: str, least: int) -> list[str]:
    import rjieba

    surnames, not_names = word_list("surnames_zh"), word_list("not_names_zh")
    counts = Counter(word for word, tag in rjieba.tag(text) if tag == "nr" and 2 <= len(word) <= 4)
    names: list[str] = []
    for word, count in counts.most_common(40):
        places = list(_places(word, text))
        acts = any(_CHINESE_DOES.match(text, place + len(word)) for place in places)
        # jieba cuts 林小舟 into 林 and 小舟.
        before, times = Counter(text[max(0, place - 1) : place] for place in places).most_common(1)[0]
        name = before + word if len(word) == 2 and before in surnames and times * 2 > len(places) else word
        plausible = name[0] in surnames or name[:2] in surnames
        if not acts or count < (least if plausible else least + 3) or {word, name} & not_names or name[-1] in _PLACES:
            continue
        if not any(name in other or other in name for other in names):
            names.append(name)
    return names


def _places(word: str, text: str) -> Iterator[int]:
    """Where the word stands; a pattern for each word would take longer to make than to use."""
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + len(word))


def _who(name: str, text: str) -> str:
    """A short description that stands beside the name: `Tom, the miller's son,`."""
    found = re.search(
        rf"\b{re.escape(name)}, ((?:a|an|the) (?:[a-z][a-z’'-]+ ?){{1,3}}(?: of (?:the )?[a-z]+)?),(?! and| or)", text
    )
    return "" if not found or _NO_WHO.search(found[1]) else found[1]
