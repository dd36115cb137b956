"""The people of a story, found without labels: by capitals in English, by part of speech in Chinese, by cues in plays."""

from __future__ import annotations

import re
from collections import Counter

from storyteller.corpus.story import Story
from storyteller.tokens.request import Character

__all__ = ["characters"]

_CUED = ("screenplay", "play", "dialogue")
_MOST = 20_000  # characters of text that are read for names

_TITLE = (
    "Mr|Mrs|Ms|Miss|Dr|Doctor|Professor|Sir|Lady|Lord|King|Queen|Prince|Princess|Captain|Colonel|Major|General|Sergeant"
    "|Uncle|Aunt|Father|Mother|Brother|Sister|Old|Little|Saint|St|Count|Baron|Duke|Judge|Inspector|Madame|Monsieur"
    "|Grandma|Grandpa|Granny|Squire|Reverend"
)
_CAPITAL = r"[A-Z][a-z]+(?:[-’'][A-Z][a-z]+)*"
_NAME = re.compile(rf"\b((?:(?:{_TITLE})\.? )*)({_CAPITAL}(?: {_CAPITAL}){{0,2}})\b")
_TITLES = frozenset(_TITLE.split("|"))
_SPEECH = "said|asked|cried|replied|answered|exclaimed|whispered|shouted|thought|muttered|murmured|began|added|continued"
_DOES = re.compile(
    rf" (?:{_SPEECH}|was|had|is|has|went|came|took|looked|saw|knew|felt|stood|sat|ran|made|gave|got|told|would|could"
    r"|did|turned|did|put|kept|found|left|heard|set|began|wanted|smiled|laughed|[a-z]{3,}ed)\b"
)
_SPEAKS = re.compile(rf"\b(?:{_SPEECH}) $")
_WHERE = re.compile(r"\b(?:in|at|into|near|from|to|of|through|across|toward|towards|for) (?:the )?$")
_MIDDLE = re.compile(r"[a-z,;] $")

_NO_NAME = frozenset(
    """The A An And But Or Nor So Yet For If Then When While Where What Who Why How He She It They We You I His Her Its
    Their Our My Your This That These Those There Here Now Not No Yes Oh Ah Alas Well Why Look Come Go Once One Two
    Three Four Five Six All Some Many Most Every Each Any Another Other Such Only Even Still Just Perhaps Maybe After
    Before Because As At By In On To From With Without Of Off Up Down Out Over Under Into Upon Till Until Though Although
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August
    September October November December Christmas Easter Spring Summer Autumn Winter God Heaven Hell Bible Christian
    Christ Lord English French German American Indian Irish Scotch Scottish Welsh Dutch Spanish Italian Russian Latin
    Greek Roman Turkish Chinese Japanese African Jew Jewish England France Germany America India Ireland Scotland London
    Paris Rome Europe Africa Asia China Japan Russia Spain Italy Greece Egypt York Earth Mars Venus Moon Sun Jupiter
    Street Road River North South East West Chapter Act Scene Book Part Enter Exit Exeunt Mr Mrs Sir Madam Dear Good
    Never Nothing Something Everything Soon Suddenly Finally Meanwhile Please Thank Thanks Hello Goodbye Let Do Did Does
    Is Are Was Were Have Has Had Will Would Could Should Can May Might Must Shall Tell Ask Said Says Don Can't Won
    Father Mother Brother Sister Uncle Aunt Captain Doctor King Queen Prince Princess Professor Colonel General Major
    Day Night Morning Evening Time Year Years Death Life Love Nature Fate Providence Gutenberg Mary's Hall House Castle
    Church University College Company States United State City Town Village Earthmen Earthman Terra Republic Army Navy
    """.split()
)

_SURNAMES = frozenset(
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章云苏潘葛奚范彭郎鲁韦昌马苗凤"
    "方俞任袁柳鲍史唐费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于时傅皮齐康伍余元卜顾孟平黄和穆萧尹姚邵湛汪祁毛禹狄米贝明"
    "臧计伏成戴谈宋茅庞熊纪舒屈项祝董梁杜阮蓝闵席季麻强贾路娄危江童颜郭梅盛林刁钟徐邱骆高夏蔡田樊胡凌霍虞万支柯管"
    "卢莫房裘解应宗丁宣邓郁单杭洪包诸左石崔吉龚程嵇邢裴陆荣翁荀甄家封芮储靳段焦巴山车侯全班秋仲伊宫宁仇栾武刘龙叶"
    "司黎薄印白怀蒲从卓池乔苍闻翟谭贡姬申冉边燕尚温庄晏柴瞿阎连习艾容向古易廖终衡步都耿满匡文寇广东欧沃利师巩关查游"
    "阿小老"
)
_COMPOUND = ("欧阳", "司马", "上官", "诸葛", "东方", "皇甫", "尉迟", "公孙", "慕容", "令狐", "长孙", "宇文", "司徒", "西门", "呼延")
_NO_CHINESE_NAME = frozenset(
    """明白 高兴 安静 小心 老爷 和尚 温柔 张开 金银 白雪 相公 小姐 小人 老人 老婆 老头 老妈 老太 老儿 小厮 小子 小孩 小鬼
    老师 老虎 老鼠 小说 安心 平安 文章 应声 都督 太公 太尉 员外 关门 时常 全身 白发 元宝 明公 金光 高声 方才 马上 任凭
    连忙 解开 家人 家私 都头 和气 水火 黄金 白银 温暖 从容 明月 宫女 山门 于今 秋风 石头 老三 包袱 盛怒 老天爷 老夫人
    小二 老汉 老娘 小生 小弟 老夫 小可 小娘子 老道 小喽罗 老道士 老和尚 小和尚 老大爷 东张西望 常言道 古人 古诗 满脸""".split()
)
_CHINESE_DOES = re.compile(
    r"(?:便|又|也|就|只|忙|却|笑着|听了|冷笑|大)?(?:道|说|笑|问|曰|叫|听|见|想|答|喝|哭|走|看|坐|站|去|来|回|把|在|到|是|有)"
)
_CUE_LINE = re.compile(r"^@?([A-Z][A-Z .'’-]{1,30}?|[一-鿿]{2,5})(?: ?[(（][^)）]*[)）])? ?\^?$", re.M)
_CUE_COLON = re.compile(r"^\**([A-Z][A-Za-z.'’ -]{1,25}|[一-鿿]{1,5})\**(?: ?[(（][^)）]*[)）])? ?[:：]", re.M)
_NO_CUE = re.compile(r"^(?:INT|EXT|EST|CUT|FADE|ACT|SCENE|THE END|DISSOLVE|TITLE|MONTAGE|BACK|LATER|END|CURTAIN|I+|场景|时间"
                     r"|地点|人物|内景|外景|幕|注|旁白)\b\.?", re.I)


def characters(story: Story, most: int = 8) -> list[Character]:
    """The people of a story, most frequent first.

    English: capitalised words that stand in the middle of a sentence, act or speak, and occur at least twice (three
    times in a text over 400 words). Chinese: names by jieba's tags that occur twice and act or speak. Plays and
    dialogues: the names before the lines.
    """
    text = story.text[:_MOST]
    if story.form in _CUED and (cues := _cues(text)):
        names = cues
    else:
        names = _chinese(text) if story.language == "zh" else _english(text, 3 if story.words > 400 else 2)
    return [Character(name, _who(name, text) if story.language == "en" else "") for name in names[:most]]


def _cues(text: str) -> list[str]:
    counts = Counter(match[1].strip(" .") for pattern in (_CUE_LINE, _CUE_COLON) for match in pattern.finditer(text))
    names = [name for name, count in counts.most_common() if count >= 2 and name and not _NO_CUE.match(name)]
    return [name.title().replace("’S", "’s").replace("'S", "'s") if name.isupper() else name for name in names]


def _english(text: str, least: int) -> list[str]:
    seen, middle, acts, places = (Counter[str]() for _ in range(4))
    full: dict[str, Counter[str]] = {}
    for match in _NAME.finditer(text):
        words = match[2].split(" ")
        while words and words[0] in _NO_NAME:
            words.pop(0)
        while words and words[-1] in _NO_NAME:
            words.pop()
        if not words or any(word in _NO_NAME for word in words):
            continue
        before = text[max(0, match.start() - 16) : match.start()]
        titled = match[1].strip() if len(words) == len(match[2].split(" ")) else ""
        for word in words:
            seen[word] += 1
            middle[word] += bool(_MIDDLE.search(before) or titled)
            places[word] += bool(_WHERE.search(before) and not titled)
            acts[word] += bool(_DOES.match(text, match.end()) or _SPEAKS.search(before))
            full.setdefault(word, Counter())[" ".join(filter(None, [titled, *words]))] += 1
    lower = Counter(re.findall(r"\b[a-z]{2,}\b", text))
    names: list[str] = []
    for word, count in seen.most_common(40):
        known = count >= least and middle[word] and acts[word] and places[word] <= count / 2
        # "Fox" of a fable is a person although "a fox" occurs once; "Captain" with many a "captain" is not.
        if not known or lower[word.lower()] > count / 3 or any(word in name.split(" ") for name in names):
            continue
        longest, times = max(full[word].items(), key=lambda item: (item[1], len(item[0])))
        names.append(longest if times * 3 >= count else word)
    return names


def _chinese(text: str) -> list[str]:
    import rjieba

    counts = Counter(word for word, tag in rjieba.tag(text) if tag == "nr" and 2 <= len(word) <= 4)
    names: list[str] = []
    for word, count in counts.most_common(40):
        surname = word[0] in _SURNAMES or word.startswith(_COMPOUND)
        if count < (2 if surname else 5) or word in _NO_CHINESE_NAME:
            continue
        acts = sum(bool(_CHINESE_DOES.match(text, match.end())) for match in re.finditer(re.escape(word), text))
        if acts and not any(word in name or name in word for name in names):
            names.append(word)
    return names


def _who(name: str, text: str) -> str:
    """A short description that stands beside the name: `Tom, the miller's son,`."""
    found = re.search(rf"\b{re.escape(name)}, ((?:a|an|the) [a-z][a-z’' -]{{3,36}}[a-z])[,.;]", text)
    if not found or re.search(r"\b(?:who|which|that|and|when|as|but|was|had|said|time|day|next|other|same)\b", found[1]):
        return ""
    return found[1]
