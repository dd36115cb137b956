"""What is shown of what a model writes: without the template's own words at its start, and as lines of a manuscript."""

from __future__ import annotations

from storyteller.corpus.story import Form, Language
from storyteller.craft.context import LITERAL

__all__ = ["Shown"]

#: Labels of a request that a model may repeat before its story (see `tokens.wording`): those that stand on a line alone,
#: and those whose line goes with them.
_ALONE: dict[Language, tuple[str, ...]] = {
    "en": ("The story so far:", "Beginning:", "Ending:", "Story:"),
    "zh": ("前文：", "开头：", "结尾：", "正文："),
}
_WITH_LINE: dict[Language, tuple[str, ...]] = {
    "en": ("Title:", "Characters:", "Keywords:", "About:", "Tell this part:"),
    "zh": ("标题：", "人物：", "关键词：", "内容：", "讲述这一段："),
}


#: White space, and marks that a label may stand in.
_BEFORE = ' \t\n\r\u3000([{*#"“（【'
_AFTER = ' \t\n\r\u3000)]}*#"”）】'


class Shown:
    """Passes a text on piece by piece.

    `trimmed` is what was kept back for good: labels of the request at the start. In prose, breaks between paragraphs
    become single ones; one at the end is kept back until something follows.
    """

    def __init__(self, form: Form, language: Language, begun: str = "") -> None:
        """`begun` is what was shown already, as when a text goes on from one of its tokens."""
        self._prose = form not in LITERAL
        self._language: Language = language
        self._head: str | None = None if begun.strip() else ""
        self._break = False
        self.trimmed = ""

    def feed(self, text: str) -> str:
        """What may be shown now that `text` has come."""
        if self._head is not None:
            self._head += text
            if self._undecided():
                return ""
            text, self._head = self._head, None
        return self._lines(text) if self._prose else text

    def end(self) -> str:
        """What was kept back and turns out to be text."""
        head, self._head = self._head, None
        return self._lines(head) if head and head.strip() and self._prose else head or ""

    def _undecided(self) -> bool:
        """Cut labels off the beginning; whether it may still become one."""
        assert self._head is not None
        while True:
            if self.trimmed:
                self._trim(self._head.lstrip(_AFTER))
            start = self._head.lstrip(_BEFORE)
            label = next((label for label in _ALONE[self._language] if start.startswith(label)), None)
            if label is not None:
                self._trim(start[len(label) :])
                continue
            label = next((label for label in _WITH_LINE[self._language] if start.startswith(label)), None)
            if label is None:
                labels = (*_ALONE[self._language], *_WITH_LINE[self._language])
                return not start or any(label.startswith(start) for label in labels)
            if "\n" not in start:
                return True
            self._trim(start.partition("\n")[2])

    def _trim(self, rest: str) -> None:
        assert self._head is not None
        self.trimmed += self._head[: len(self._head) - len(rest)] if rest else self._head
        self._head = rest

    def _lines(self, text: str) -> str:
        shown = []
        for letter in text:
            if letter == "\n":
                self._break = True
            elif not (self._break and letter.isspace()):
                if self._break:
                    shown.append("\n")
                    self._break = False
                shown.append(letter)
        return "".join(shown)
