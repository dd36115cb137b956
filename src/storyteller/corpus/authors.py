"""Who wrote a story: one key for the spellings of one author, and none for nobody."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["author_key"]

_NOBODY = re.compile(
    r"^(?:|anon(?:ymous)?|unknown.*|various.*|traditional|n/?a|none|author|(?:the )?storyteller authors?|folk ?tales?"
    r"|first-round|佚名|无名氏|匿名|未知|不详|古代作者|民间.*)$"
)
_BRACKETS = re.compile(r"\([^)]*\)|\[[^\]]*\]|（[^）]*）|〔[^〕]*〕|【[^】]*】")
_MACHINE = re.compile(r"^[\w.-]+/[\w.-]+$|\b(?:chat)?gpt|\b(?:qwen|deepseek|chatglm|generated)", re.I)
_BRANDS = frozenset({"claude", "falcon", "gemini", "llama", "mistral", "mixtral"})
_VARIANTS = (
    "ai anthropic base chat code flash google haiku instant instruct large medium meta nano nemo opus preview pro small "
    "sonnet ultra"
)
_BRANDS_AND_VARIANTS = _BRANDS | frozenset(_VARIANTS.split())


def author_key(author: str | None) -> str:
    """One key for the spellings of one real author; "" for nobody, a crowd or a generating model.

    `Dickens, Charles` and `Charles Dickens (ed.)` have the same key.
    """
    name = _BRACKETS.sub(" ", author or "").casefold().strip(" .,")
    if _NOBODY.match(name) or _MACHINE.search(author or "") or _is_model(name):
        return ""
    return " ".join(sorted(_words(name))) or name


def _is_model(name: str) -> bool:
    """Whether a name is that of a model whose brand people bear, too: nothing but the brand, versions and variants."""
    words = {re.sub(r"\d.*", "", word) for word in re.split(r"[\s,_-]+", name)} - {""}
    return bool(words & _BRANDS) and words <= _BRANDS_AND_VARIANTS


def _words(name: str) -> Iterable[str]:
    return re.findall(r"[^\W_]+", name)
