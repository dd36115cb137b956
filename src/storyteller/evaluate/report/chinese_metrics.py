"""The metrics in Chinese: name, meaning and blind spot by key; one that is not here is told as the findings have it."""

from __future__ import annotations

__all__ = ["METRICS"]

_AUC = "0.5 表示评判器无法把系统与人区分开，1 表示总能区分。"
_COUNTED = "只数词语，不看内容：同一情节换一种说法也算不同。"
_SEEDS = "需要多个随机种子；人在每个提示下只写了一篇。"
_REPEATS = "叠句也是重复，因此旁边列出人的数值。"
_NAMES = "人名按规则识别：会漏掉普通词语充当的名字，以及寓言中的动物。"
_SURFACE = "只看表面特征：句子短也可能难懂。"

METRICS: dict[str, tuple[str, str, str]] = {
    "auc_word": ("词语评判器（AUC）", _AUC + "它看词和词对。", "只看用词，不看情节：打乱句子顺序也察觉不到。"),
    "auc_char": ("字符评判器（AUC）", _AUC + "它看连续的字符。", "只看写法和标点，不看情节：打乱句子顺序也察觉不到。"),
    "auc_embedding": ("语义评判器（AUC）", _AUC + "它看句子的意思。", "只能看到小型嵌入模型所看到的。"),
    "distinct_1": ("distinct-1", "不同的词所占的比例。", _COUNTED),
    "distinct_2": ("distinct-2", "不同的词对所占的比例。", _COUNTED),
    "distinct_3": ("distinct-3", "不同的三词组所占的比例。", _COUNTED),
    "ead": ("EAD", "按文本量校正后的不同词数。", _COUNTED),
    "bigram_entropy": ("二元组熵", "由其余词对猜出下一个词对有多难，单位为比特。", _COUNTED),
    "self_bleu": ("self-BLEU-4", "一篇故事与同一系统其他故事的重合程度。", _COUNTED),
    "self_bleu_within": ("同一提示内的 self-BLEU-4", "同一提示的多个回答之间的重合程度。", _SEEDS),
    "vendi": (
        "Vendi 分数",
        "这些故事的多样程度相当于多少篇完全不同的故事。",
        "只能看到嵌入模型所看到的：题材多于情节转折。",
    ),
    "vendi_within": ("同一提示内的 Vendi 分数", "一个提示得到多少种不同的回答。", _SEEDS),
    "rep_2": ("rep-2", "故事中先前出现过的词对所占的比例。", _REPEATS),
    "rep_3": ("rep-3", "故事中先前出现过的三词组所占的比例。", _REPEATS),
    "rep_4": ("rep-4", "故事中先前出现过的四词组所占的比例。", _REPEATS),
    "longest_repeat": ("最长重复", "故事中说了两遍的最长片段的词数。", _REPEATS),
    "loops": ("循环", "把同一片段连说三遍的故事所占的比例。", _REPEATS),
    "finished": ("写完", "在句末结束的故事所占的比例。", "句子结束不等于故事结束。"),
    "slop": (
        "滥用短语",
        "每 100 个词中有多少属于系统用得远比人多的短语。",
        "在一半提示上学得，在另一半上计数；人也滥用的短语看不到。",
    ),
    "copied": ("照抄", "故事中与训练文本逐字相同（至少 8 个词）的部分所占的比例。", "只看得到提供给它的文本。"),
    "longest_copy": ("最长照抄片段", "与训练文本相同的最长片段的词数。", "套语人人都用，因此旁边列出人的数值。"),
    "late_third": ("前三分之一之后出现的人名", "前三分之一之后才首次出现的人物所占的比例。", _NAMES),
    "late_two_thirds": ("后三分之一出现的人名", "最后三分之一才首次出现的人物所占的比例。", _NAMES),
    "persistence": ("留下来的人物", "前三分之一的人物中，在最后三分之一再次出现的比例。", _NAMES),
    "conflict": ("“他”与“她”矛盾", "既被称作“他”又被称作“她”的人物所占的比例。", "只计算明确指向一个名字的代词。"),
    "similarity": (
        "与提示的相似度",
        "故事与提示在意思上有多近（嵌入向量的余弦）。",
        "照抄提示的故事最近，因此旁边列出人的数值。",
    ),
    "matched": (
        "能认出提示",
        "故事离自己的提示比离其他提示更近的比例；瞎猜是一半。",
        "只说明保住了题材，不说明写得好。",
    ),
    "keywords": ("保留提示用词", "提示中的实词在故事里出现的比例。", "同义词不算。"),
    "characters_kept": ("保留人物", "所要求的人物中出现的比例。", "出现不等于有戏份。"),
    "keywords_kept": ("保留关键词", "所要求的关键词中出现的比例。", "出现不等于重要。"),
    "length": ("遵守长度", "写出的字数除以要求的字数。", "与节奏无关。"),
    "words_per_sentence": ("每句词数", "句子有多长。", _SURFACE),
    "flesch_ease": ("Flesch 易读度", "0 到 100，越高越易读。", _SURFACE),
    "flesch_kincaid": ("Flesch-Kincaid 年级", "读懂所需的学年数。", _SURFACE),
    "coleman_liau": ("Coleman-Liau 年级", "同上，以字母代替音节。", _SURFACE),
    "rare_words": ("生僻词", "最常用 3000 词以外的词所占的比例。", _SURFACE),
    "characters_per_sentence": ("每句字数", "句子有多长。", _SURFACE),
    "words_1000": ("前 1000 词", "最常用 1000 词所占的比例。", _SURFACE),
    "words_3000": ("前 3000 词", "最常用 3000 词所占的比例。", _SURFACE),
    "characters_1000": ("前 1000 字", "最常用 1000 字所占的比例。", _SURFACE),
    "characters_2500": ("前 2500 字", "小学所教的常用字所占的比例。", _SURFACE),
}
