"""What a sweep's report says in its own words, in English and in Chinese; the type sees to it that both say all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["WORDS", "Language", "Words"]

Language = Literal["en", "zh"]


@dataclass(frozen=True, kw_only=True)
class Words:
    """The sentences of the report; `{names}` in braces are filled in by `str.format`."""

    title: str
    counts: str
    best: str
    given: str
    chosen: str
    importance: str
    too_little: str
    trials: str
    states: dict[str, str]
    failures: str
    failure: str


WORDS: dict[Language, Words] = {
    "en": Words(
        title="# Sweep: {name}",
        counts="lowest dev {objective}; {complete} trials ended, {pruned} were cut short, {failed} failed, {running} are "
        "running.",
        best="The best is trial {number} with {value:.4f}: {settings}.",
        given="The recipe as it was given (trial {number}) has {value:.4f}.",
        chosen="It was chosen by this very figure among all trials, so the figure flatters it. Run it with another seed and "
        "compare on the test split:",
        importance="| key | share of the variation that it explains |",
        too_little="Too little was tried to say which key matters ({least} trials that ended are the least).",
        trials="| trial | state | value | evaluations | settings |",
        states={"complete": "complete", "pruned": "pruned", "running": "running", "failed": "failed"},
        failures="Why trials failed:",
        failure="- trial {number}: {why}",
    ),
    "zh": Words(
        title="# 搜索：{name}",
        counts="以 dev 上的 {objective} 最低为目标；{complete} 次试验跑完，{pruned} 次提前中止，{failed} 次失败，"
        "{running} 次仍在运行。",
        best="最好的是第 {number} 次试验，{value:.4f}：{settings}。",
        given="原来的配方（第 {number} 次试验）是 {value:.4f}。",
        chosen="它正是凭这个数字从所有试验里挑出来的，所以这个数字偏乐观。请换一个随机种子再跑一遍，并在 test 上比较：",
        importance="| 设置 | 它能解释的差异所占的份额 |",
        too_little="试验太少，看不出哪项设置要紧（至少要有 {least} 次跑完）。",
        trials="| 试验 | 状态 | 数值 | 评估次数 | 设置 |",
        states={"complete": "跑完", "pruned": "中止", "running": "运行中", "failed": "失败"},
        failures="失败的原因：",
        failure="- 第 {number} 次试验：{why}",
    ),
}
