"""Every text as running prose before it is scored: a scorer should judge the story, not how its file was tokenised.

Data sets of machine stories are lower-cased and cut into tokens (`could n't`, ` .`, `</s>`) and hide names behind
placeholders; pages from the web hold Markdown and HTML entities. A language model finds all of that surprising.
"""

from __future__ import annotations

import html
import re

__all__ = ["normalise"]

_SEPARATOR = re.compile(r"</?s>|<eos>|<sep>|<newline>|<\|endoftext\|>|<eot>", re.I)
_KIN = (
    "wife|husband|mom|mother|dad|father|parents|family|friends?|brother|sister|son|daughter|grandma|grandpa|grandmother"
    "|grandfather|cousin|uncle|aunt|boyfriend|girlfriend|neighbors?|boss|dog|cat|car|house|kids"
)
_PLACEHOLDER = re.compile(rf"\[(FEMALE|MALE|NEUTRAL)\](?=( (?:{_KIN})\b)?)")
_NAMES = {"FEMALE": "Anna", "MALE": "Tom", "NEUTRAL": "Alex"}
_CLITIC = re.compile(r"(?<=\w) (n['’]t|['’](?:s|m|re|ve|ll|d))\b", re.I)
_MARK = re.compile(r" +([.,!?;:%)\]])")
_GLUED = re.compile(r"(?<=[a-z]{2}[.!?])(?=[A-Za-z])")
_MARKDOWN = re.compile(r"[*_#`~]+|\[(WP|EU|CW|PI|OT)\]")
_I = re.compile(r"\bi(?=\b(?!\.e))")
_START = re.compile(r"(^|[.!?][\"']? )([\"']?)([a-z])")
_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'"})


def normalise(text: str) -> str:
    """`text` as one paragraph of plain English prose.

    Separators, Markdown and HTML entities go, clitics and marks return to their words, quotation marks become straight,
    and `[MALE]`, `[FEMALE]`, `[NEUTRAL]` become a name (or `My` before a word such as *wife*). Where the text has
    hardly a capital, sentences and `I` get theirs.
    """
    text = _SEPARATOR.sub(" ", html.unescape(text)).translate(_QUOTES)
    lower_cased = _lower_cased(_PLACEHOLDER.sub("", text))
    text = _PLACEHOLDER.sub(lambda found: "My" if found[2] else _NAMES[found[1]], text)
    text = _MARKDOWN.sub("", text).replace("``", '"').replace("''", '"')
    text = _MARK.sub(r"\1", _CLITIC.sub(r"\1", " ".join(text.split())))
    text = _GLUED.sub(" ", text)
    if lower_cased:
        text = _START.sub(lambda found: found[1] + found[2] + found[3].upper(), _I.sub("I", text))
    return text


def _lower_cased(text: str) -> bool:
    """Whether the capitals were lost: English prose has one in every 20 to 50 letters."""
    return 200 * sum(map(str.isupper, text)) < sum(map(str.isalpha, text))
