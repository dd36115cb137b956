"""Which words of a text say what it is about: terms, and in how many stories each occurs."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

from storyteller.corpus.story import Language, Story

__all__ = ["Frequencies", "terms"]

_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")

# English function words, and the verbs and adverbs of every story, that no writer would give as a keyword.
_STOP = frozenset(
    """able about above across after again against almost alone along already also although always among amongst
    another answer answered anything around aren't asked away back became because become been before began begin behind
    being believe below beside besides best better between beyond both bring brought called came can't cannot certain
    certainly come comes coming could couldn't course cried didn't different does doesn't doing done don't down during
    each either else enough even ever every everybody everyone everything except fact feel feet fell felt find first
    five follow found four from full gave give given goes going gone good gotten great hadn't half hand hands hard
    hardly hasn't have haven't having hear heard held help here hers herself himself hold home hour hours however
    hundred i'll i'm i've indeed instead into isn't it's itself just keep kept kind knew know known large last late
    least leave left less lest let's like little long longer look looked looking looks lost made make makes making
    many matter maybe mean might mind mine more moment most much must myself near nearly need neither never
    next none nothing nowhere often once one's only onto open other others ought ourselves over own part people perhaps
    place please point presently put quite rather reach ready really replied rest return right round said same saying
    says seem seemed seems seen sent several shall shan't she'd she'll she's should shouldn't show side since small
    some somebody somehow someone something sometimes somewhat somewhere soon sort spoke stand still stood such sure
    take taken tell than that that's thee their theirs them themselves then there there's therefore these they they'd
    they'll they're thing things think this those thou though thought three through thus till time times together told
    took toward towards tried true trying turn turned twenty under unless until unto upon used very wait want wanted
    wasn't we'll we're we've well went were weren't what what's whatever when whenever where wherever whether which
    while whilst who's whole whom whose will with within without won't word words work would wouldn't year years yes
    yesterday yonder you'd you'll you're you've young your yours yourself thing's face head eyes voice way ways night
    morning evening today tomorrow door room house man men woman women hast hath doth thy thyself wilt shalt aren ain't
    mother's father's o'clock whence thence hence hither thither""".split()
)
_CHINESE_STOP = frozenset(
    """时候 东西 事情 样子 地方 时间 今天 明天 昨天 一声 一时 大家 自己 人家 先生 太太 老爷 奶奶 姑娘 哥哥 弟弟 姐姐
    妹妹 父亲 母亲 众人 小人 当下 说话 心里 心中 口中 手中 身上 里面 外面 上面 下面 后面 前面 眼睛 声音 意思 道理 缘故
    只见 不知 如何 怎么 什么 这样 那样 如此 话说 不题 主人 家里 家中 次日 一日 原来 正是 且说 却说 只是 不是 一个 两个
    不得 不曾 起来 出来 进来 过来 上来 下来 出去 进去 过去 没有 可以 知道 看见 听见 觉得 以为 于是 因为 所以 但是 然而
    老头 老人 有人 旁人 别人 人们 日子 工夫 功夫 小子 大人 小的 官人 相公 老婆 丈夫 妻子 孩子 儿子 女儿 问题 时节 这厮""".split()
)
_MOST_WORDS = 200_000


def terms(text: str, language: Language) -> list[str]:
    """The content words of a text, repeats kept: English words of 4 letters and up, Chinese nouns of 2 字 and up.

    English verbs and adverbs go by their endings (-ed, -ing, -ly), for a keyword is a thing.
    """
    if language == "zh":
        import rjieba

        return [
            word
            for word, tag in rjieba.tag(text)
            if len(word) >= 2 and tag.startswith("n") and tag != "nr" and word not in _CHINESE_STOP
        ]
    found = []
    for match in _WORD.finditer(text.lower()):
        word = match.group().replace("’", "'").removesuffix("'s")
        verbal = len(word) > 5 and word.endswith(("ed", "ing", "ly"))
        if len(word) >= 4 and not verbal and "'" not in word and word not in _STOP:
            found.append(word)
    return found


class Frequencies:
    """In how many stories of a corpus each term occurs, for each language; bounded to the 200,000 most common."""

    def __init__(self) -> None:
        """Know nothing: every term is equally rare."""
        self._counts: dict[Language, Counter[str]] = {"en": Counter(), "zh": Counter()}
        self._stories: Counter[Language] = Counter()

    @classmethod
    def of(cls, stories: Iterable[Story]) -> Frequencies:
        """Count the terms in the first 20,000 characters of each story."""
        frequencies = cls()
        for story in stories:
            counts = frequencies._counts[story.language]
            counts.update(set(terms(story.text[:20_000], story.language)))
            frequencies._stories[story.language] += 1
            if len(counts) > 2 * _MOST_WORDS:
                frequencies._counts[story.language] = Counter(dict(counts.most_common(_MOST_WORDS)))
        return frequencies

    def rarity(self, term: str, language: Language) -> float:
        """The inverse document frequency of a term: ln((1 + stories) / (1 + stories that have it)), Spärck Jones 1972.

        At least 0.1. A term of one story in a large corpus is more likely a misprint than a subject, so it counts
        no more than a term of three.
        """
        stories, seen = self._stories[language], self._counts[language][term]
        return max(0.1, math.log((1 + stories) / (1 + (max(seen, 3) if stories > 100 else seen))))
