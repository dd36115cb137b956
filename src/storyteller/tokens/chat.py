"""A conversation as ids, in the turns of a chat model: what instructions and questions are put into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storyteller.errors import ModelError
from storyteller.runs.files import read_json
from storyteller.tokens.request import Request
from storyteller.tokens.tokenizer import StoryTokenizer

__all__ = ["Conversation", "takes_instructions"]


class Conversation:
    """Turns of ChatML (`<|im_start|>role\\n…<|im_end|>\\n`), after which the assistant speaks.

    Stands where a `Template` does. What is said is plain text: it cannot end its own turn.
    """

    def __init__(self, tokenizer: StoryTokenizer, turns: Sequence[tuple[str, str]], opening: str = "") -> None:
        """`turns` are (role, text), of which roles are system, user and assistant; `opening` begins the answer."""
        start, end = tokenizer.id_of("<|im_start|>"), tokenizer.id_of("<|im_end|>")
        if start is None or end is None:
            raise ModelError("this model has no turns to speak in. Choose one that follows instructions.")
        self.tokenizer = tokenizer
        gap = tokenizer.encode("\n")
        self._ids: list[int] = []
        for role, text in turns:
            self._ids += [start, *tokenizer.encode(f"{role}\n{text}"), end, *gap]
        self._ids += [start, *tokenizer.encode("assistant\n"), *(tokenizer.encode(opening) if opening else ())]

    def prompt(self, request: Request) -> list[int]:
        """The ids of the conversation, whatever the request."""
        return list(self._ids)


def takes_instructions(folder: Path) -> bool:
    """Whether the model in a folder was made to follow instructions in ChatML: whether it brings that chat template."""
    template = folder / "chat_template.jinja"
    if template.is_file():
        return "<|im_start|>" in template.read_text(encoding="utf-8")
    try:
        return "<|im_start|>" in str(read_json(folder / "tokenizer_config.json").get("chat_template", ""))
    except (OSError, ValueError, AttributeError):
        return False
