"""Who wrote a story: one key for the spellings of one author, and none for nobody."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["author_key"]

_NOBODY = re.compile(
    r"^(?:|anon(?:ymous)?|unknown.*|various.*|traditional|n/?a|none|author|(?:the )?storyteller authors?|folk ?tales?"
    r"|first-round|佚名|无名氏|匿名|未知|不详|古代作者|民间.*)$"
)
_MACHINE = re.compile(
    r"^[\w.-]+/[\w.-]+$|\b(?:gpt|llama|qwen|claude|gemini|mistral|deepseek|chatglm|falcon|generated)", re.I
)


def author_key(author: str | None) -> str:
    """One key for the spellings of one real author; "" for nobody, a crowd or a generating model.

    `Dickens, Charles` and `Charles Dickens (ed.)` have the same key.
    """
    name = re.sub(r"\([^)]*\)|\[[^\]]*\]|（[^）]*）", " ", author or "").casefold().strip(" .,")
    if _NOBODY.match(name) or _MACHINE.search(author or ""):
        return ""
    return " ".join(sorted(_words(name))) or name


def _words(name: str) -> Iterable[str]:
    return re.findall(r"[^\W_]+", name)
