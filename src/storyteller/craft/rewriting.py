"""Rewriting a selection: what to say to a model that follows instructions, and whether what it says is a rewriting."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from storyteller.corpus.language import count_words, ends_sentence, identify_language
from storyteller.corpus.story import Language
from storyteller.errors import GenerationError

__all__ = ["ACTIONS", "Action", "Checked", "aim", "best", "check", "refusal", "target_language", "turns"]

Action = Literal["rewrite", "expand", "shorten", "describe", "tone", "viewpoint", "translate"]
ACTIONS: tuple[Action, ...] = get_args(Action)

#: The least and most share of the selection's length that an answer may have.
_LENGTHS: dict[Action, tuple[float, float]] = {
    "rewrite": (0.5, 1.8), "expand": (1.25, 6.0), "shorten": (0.05, 0.8), "describe": (1.0, 6.0),
    "tone": (0.5, 2.0), "viewpoint": (0.6, 1.6), "translate": (0.3, 3.5),
}  # fmt: skip

#: The share of the selection's length that is aimed at.
_AIMS: dict[Action, float] = {
    "rewrite": 1.1, "expand": 1.8, "shorten": 0.5, "describe": 1.6, "tone": 1.1, "viewpoint": 1.1,
}  # fmt: skip

_TASKS: dict[Language, dict[Action, str]] = {
    "en": {
        "rewrite": "Rewrite the passage in other words. Keep what happens, the people, and the tense.",
        "expand": "Rewrite the passage so that it is twice as long. Keep what happens, and tell it in more detail.",
        "shorten": "Rewrite the passage so that it is half as long. Keep only what matters most.",
        "describe": "Rewrite the passage with more description: what can be seen, heard, smelled and felt.",
        "tone": "Rewrite the passage so that it sounds {value}. Keep what happens.",
        "viewpoint": "Rewrite the passage from this point of view: {value}. Keep what happens.",
        "translate": "Translate the passage into {value}.",
    },
    "zh": {
        "rewrite": "换一种说法改写这段文字，保留情节、人物和时态。",
        "expand": "扩写这段文字，长度约为原来的两倍，情节不变，细节更多。",
        "shorten": "缩写这段文字，长度约为原来的一半，只留最要紧的内容。",
        "describe": "改写这段文字，多写看到的、听到的、闻到的和感觉到的。",
        "tone": "改写这段文字，语气要{value}，情节不变。",
        "viewpoint": "从这个视角改写这段文字：{value}，情节不变。",
        "translate": "把这段文字翻译成{value}。",
    },
}
_FRAME: dict[Language, tuple[str, str]] = {
    "en": ("You are an editor of fiction. ", " Answer with the new passage alone."),
    "zh": ("你是一位小说编辑。", "只回答新的文字。"),
}
_NAMES: dict[Language, dict[Language, str]] = {
    "en": {"en": "English", "zh": "Chinese"},
    "zh": {"en": "英文", "zh": "中文"},
}
# An announcement names what it announces, or stands after a “Sure” on a line of its own: a story may begin with a colon's
# sentence, and with “Of course”, too.
_SURE = r"(?:sure|certainly|of course|okay|ok)\b"
_SAID = r"(?:here(?:['’]s| is| are)|below is|the following is|this is)\b"
_THAT = r"\b(?:passage|paragraph|text|version|rewrit\w+|revision|translation|attempt|expansion|summary)\b"
_PREAMBLE = re.compile(
    rf"\s*(?:{_SURE}[^\n]{{0,160}}:[ \t]*\n\s*"
    rf"|(?:{_SURE}[^\n.!:]{{0,60}}[.!:,]\s*)?(?:{_SAID}[^\n:]{{0,60}}{_THAT}[^\n:]{{0,60}}:\s*"
    r"|(?:rewritten|revised|new|expanded|shortened|translated)\s+(?:passage|text|version)\s*:\s*"
    r"|(?:passage|translation|answer)\s*:\s*)"
    r"|(?:好的|当然)(?:可以)?[，,。！!][ \t]*\n\s*|(?:(?:好的|当然)(?:可以)?[，,。！!]\s*)?(?:"
    r"(?:以下|下面|这)(?:就)?是[^\n：:。]{0,20}(?:文字|文本|段落|版本|内容|译文|改写|扩写|缩写|翻译)[^\n：:。]{0,12}"
    r"|(?:改写|扩写|缩写|翻译|译文)(?:后|如下|结果|版本?|的?(?:文字|文本|段落|内容))*)[：:]\s*)",
    re.I,
)
_FIRST = {"en": re.compile(r"\b(?:I|me|my|we|us|our)\b"), "zh": re.compile("[我咱]")}


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer without its preamble and wrapping; `faults` name what is wrong with it, `likeness` is to the selection."""

    text: str
    faults: tuple[str, ...]
    likeness: float

    @property
    def score(self) -> float:
        """Higher is better: no faults first, then something new that still speaks of the same."""
        return -len(self.faults) - abs(self.likeness - 0.5) / 10


def target_language(action: Action, value: str, language: Language) -> Language:
    """The language that the answer is to be in."""
    if action != "translate":
        return language
    wish = value.strip().lower()
    if wish in ("zh", "zh-cn", "chinese", "中文", "汉语", "简体中文"):
        return "zh"
    if wish in ("en", "english", "英文", "英语"):
        return "en"
    if not wish:
        return "en" if language == "zh" else "zh"
    raise GenerationError(f"the language {value!r} is not known. Translate into en or zh.")


def aim(action: Action, selection: str, language: Language) -> int | None:
    """The words or 字 that a rewriting should have; of a translation nothing is said."""
    return max(4, round(_AIMS[action] * count_words(selection, language))) if action in _AIMS else None


def refusal(action: Action, value: str, language: Language, languages: Sequence[str]) -> str | None:
    """Why a model that knows `languages` cannot do this, or None."""
    needed = {language, target_language(action, value, language)}
    if missing := sorted(needed - set(languages)):
        names = {"en": "English", "zh": "Chinese"}
        what = "translate" if action == "translate" else "rewrite this"
        return f"this model cannot {what}: it knows no {' and no '.join(names[one] for one in missing)}."
    if action in ("tone", "viewpoint") and not value.strip():
        return f"say which {'tone' if action == 'tone' else 'point of view'} you wish."
    return None


def turns(action: Action, selection: str, language: Language, value: str = "", wish: str = "") -> list[tuple[str, str]]:
    """The conversation that asks for it, (role, text): the task, in the selection's language, and the selection."""
    if action not in ACTIONS:
        raise GenerationError(f"no rewriting is called {action!r}. Choose one of: {', '.join(ACTIONS)}.")
    if action == "translate":
        value = _NAMES[language][target_language(action, value, language)]
    begin, end = _FRAME[language]
    task = _TASKS[language][action].format(value=value.strip())
    own = wish.strip()
    gap = "" if language == "zh" else " "
    asked = (
        task if not own else f"{task}{gap}{own if ends_sentence(own) else own + ('。' if language == 'zh' else '.')}"
    )
    return [("system", f"{begin}{asked}{end}"), ("user", selection.strip())]


def check(answer: str, selection: str, action: Action, language: Language, value: str = "") -> Checked:
    """An answer cleaned and looked at by rule: empty, the same, the wrong length, the wrong language, cut off."""
    text, original = _clean(answer, selection), selection.strip()
    if not text:
        return Checked("", ("empty",), 0.0)
    target = target_language(action, value, language)
    likeness = difflib.SequenceMatcher(None, _words(original), _words(text), autojunk=False).ratio()
    faults = ["same"] if likeness > 0.95 else []
    share = count_words(text, target) / max(count_words(original, language), 1)
    least, most = _LENGTHS[action]
    faults += ["too short"] if share < least else ["too long"] if share > most else []
    if (identify_language(text) or target) != target:
        faults.append("language")
    if ends_sentence(original) and not ends_sentence(text):
        faults.append("unfinished")
    if action != "translate" and likeness < 0.05 and share > least:
        faults.append("other matter")
    if action == "viewpoint" and re.search("first|第一|我", value, re.I) and not _FIRST[language].search(text):
        faults.append("viewpoint")
    if _loops(text):
        faults.append("repeats")
    return Checked(text, tuple(faults), likeness)


def best(checked: Sequence[Checked], count: int) -> list[Checked]:
    """The best answers that differ, best first."""
    unlike = {one.text: one for one in sorted(checked, key=lambda one: -one.score) if one.text}
    return list(unlike.values())[:count]


def _clean(answer: str, selection: str) -> str:
    """The answer without a preamble, a fence or quotes that the selection does not have."""
    text = answer.strip()
    text = re.sub(r"\A```\w*\n(.*?)\n?```\Z", r"\1", text, flags=re.S)
    preamble = _PREAMBLE.match(text)
    if preamble and not _PREAMBLE.match(selection):
        text = text[preamble.end() :]
    for opening, closing in ('""', "“”", "「」"):
        whole = text[:1] == opening and text[-1:] == closing and opening not in text[1:-1]
        if whole and selection.strip()[:1] != opening:
            text = text[1:-1]
    return text.strip()


def _words(text: str) -> list[str]:
    return re.findall(r"[一-鿿]|\w+", text.lower())


def _loops(text: str) -> bool:
    """Whether a sentence stands there three times."""
    sentences = [one.strip() for one in re.split(r"[.!?。！？\n]+", text) if len(one.strip()) > 8]
    return any(sentences.count(one) >= 3 for one in set(sentences))
