"""Language, counts and sentences by light rules in English and Chinese: `re` and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from storyteller.corpus.story import Language

__all__ = ["HAN", "count_words", "ends_sentence", "identify_language", "sample", "split_sentences", "words_of"]

HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
"""The Han characters as ranges of a regular expression's character class."""

_HAN_RUN = re.compile(f"[{HAN}]+")
_KANA_HANGUL = re.compile("[\u3041-\u30ff\u31f0-\u31ff\uac00-\ud7af]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]+")
_WORD = re.compile(r"[^\W_]+(?:[’'‐-][^\W_]+)*")
_FUNCTION_WORDS = (
    "the and of to that he she it his her with you for had they said at but from not were have this my be are "
    "there when what who your their would him them which i thou thy hath is was into could then we our"
)
_ENGLISH = frozenset(_FUNCTION_WORDS.split())
_ENGLISH_SHARE = 0.15  # English prose has 0.3 to 0.5 of these words; Dutch, German and French under 0.08

_CLOSERS = "\"'”’»)\\]」』）】》"
_END = re.compile(f"(?:[.!?…]+[{_CLOSERS}*_]*(?=\\s)|[。！？!?…][。！？!?…]*[{_CLOSERS}]*|\\n\\s*)")
_ENDED = re.compile(f"(?:[.!?…。！？]|[—-](?=[{_CLOSERS}]))[{_CLOSERS}*_]*$")
_SHORTENED = (
    "mr mrs ms messrs mme mlle dr st prof capt col gen lt sgt maj rev hon esq jr sr vs viz etc e.g i.e cf vol co inc"
)
_ABBREVIATIONS = frozenset(_SHORTENED.split())
_LAST_WORD = re.compile(r"([^\W\d_][\w.]*)$")
_SAYS = re.compile(r"[^。！？\n“「，,]{0,8}?(?:说|道|问|答|喊|叫|嚷|骂|叹|說|問|喊道)")


def sample(text: str, size: int = 6000) -> str:
    """At most about `size` characters of `text`: its beginning, middle and end, so that a test has one price."""
    if len(text) <= size:
        return text
    part, middle = size // 3, len(text) // 2
    return f"{text[:part]}\n{text[middle : middle + part]}\n{text[-part:]}"


def identify_language(text: str) -> Language | None:
    """The language of `text`, `None` when it is neither English nor Chinese.

    Chinese by the share of Han characters (Japanese and Korean by their own script are neither), English by the share
    of its function words.
    """
    text = sample(text, 1500)
    han = 0 if text.isascii() else sum(map(len, _HAN_RUN.findall(text)))
    if han and han >= 0.25 * (han + sum(map(len, _LATIN.findall(text)))):
        return None if len(_KANA_HANGUL.findall(text)) > 0.1 * han else "zh"
    words = text.lower().split()
    known = sum(map(_ENGLISH.__contains__, words))
    return "en" if known and known >= _ENGLISH_SHARE * len(words) else None


def words_of(text: str) -> list[str]:
    """The words of an English text; `don't` and `well-known` are one word each."""
    return _WORD.findall(text)


def count_words(text: str, language: Language) -> int:
    """Words in English; in Chinese 字: every Han character, and each Latin word or number as one."""
    if language == "en":
        return len(_WORD.findall(text))
    rest, runs = _HAN_RUN.subn(" ", text)
    return len(text) - len(rest) + runs + len(_WORD.findall(rest))


def split_sentences(text: str, language: Language) -> list[str]:
    """The sentences of `text`, each with the white space after it: joined they are `text` again.

    Closing quotes belong to the sentence before them; a speech with its `he said` or 他说 behind it is one sentence.
    """
    pieces: list[str] = []
    start = 0
    for end in _boundaries(text, language):
        if text[start:end].strip():
            pieces.append(text[start:end])
            start = end
    if start < len(text):
        if pieces and not text[start:].strip():
            pieces[-1] += text[start:]
        else:
            pieces.append(text[start:])
    return pieces


def ends_sentence(text: str) -> bool:
    """Whether `text` ends where a sentence ends, in either language."""
    text = text.rstrip()
    match = _ENDED.search(text)
    return match is not None and not (match.group() == "." and _abbreviated(text[: match.start()]))


def _boundaries(text: str, language: Language) -> Iterator[int]:
    """Where sentences end, after the white space that follows them."""
    for match in _END.finditer(text):
        mark, end = match.group(), match.end()
        if mark[0] == "\n":
            yield end
            continue
        spaces = end
        while spaces < len(text) and text[spaces].isspace():
            spaces += 1
        following = text[spaces : spaces + 24]
        if "\n" in text[end:spaces] or not following:
            yield spaces
        elif language == "zh":
            if _ends_chinese(mark, following):
                yield spaces
        elif spaces > end and not _goes_on(text[: match.start()][-24:], mark, following):
            yield spaces


def _ends_chinese(mark: str, following: str) -> bool:
    if set(mark) == {"…"}:
        return False
    return not (mark[-1] in '”’」』"' and _SAYS.match(following))


def _goes_on(before: str, mark: str, following: str) -> bool:
    """Whether an English sentence goes on after `mark`: a small letter follows, or the full stop is of a word."""
    first = following.lstrip("\"'“‘(*_")[:1]
    return first.islower() or (mark == "." and _abbreviated(before))


def _abbreviated(before: str) -> bool:
    match = _LAST_WORD.search(before)
    if match is None:
        return False
    word = match.group(1)
    return word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I")
