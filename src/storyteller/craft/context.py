"""What the model sees: a request made of memory, lore, notes and the text before the cursor, part by part.

The parts stand so that a model's cache survives typing: first what rarely changes (title, people, what the story is about,
memory), then the text, of which the oldest is cut in large steps, and only in its last paragraphs the lore that fired and
the author's note. Whatever does not fit is named among the parts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from storyteller.corpus.language import ends_sentence, split_sentences
from storyteller.corpus.story import Form, Language
from storyteller.craft.book import Entry
from storyteller.craft.lore import Fired, fired
from storyteller.craft.retrieval import Passage
from storyteller.tokens.request import Character, Request
from storyteller.tokens.wording import request_text

__all__ = ["LITERAL", "Context", "Mode", "Part", "SceneView", "Wish", "build_context", "to_manuscript", "to_template"]

Mode = Literal["continue", "begin", "infill", "ghost", "rewrite", "chat"]
Count = Callable[[str], int]

#: Forms that the model reads line by line as they are written; in the others a line is a paragraph.
LITERAL: tuple[Form, ...] = ("screenplay", "play")

#: Control tokens of a template around the words of a request, with room for how words join.
FRAME = 24

#: Shares of the limit that lore, the note, and the text after the cursor may take, and what is said of the story at most.
LORE, NOTE, AFTER, ABOUT = 0.2, 0.1, 0.25, 0.4

_QUOTED: dict[Language, str] = {"en": "Earlier: {}", "zh": "前文：{}"}
_BREAKS = re.compile(r"[ \t]*(?:\r\n?|\n)\s*")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"”’」』]*\s*")


@dataclass(frozen=True, slots=True)
class SceneView:
    """A scene as a model may know it; `earlier` is the text of the scenes before it, `summary` tells what lies further back.

    `text` and `earlier` are manuscripts (a line is a paragraph). The note stands `note_depth` paragraphs or a little more
    before the cursor. `people` come from the plan; entries of kind `person` that are always on join them. `related` are
    passages from further back (`craft.retrieval`), of which those are shown that lore leaves room for.
    """

    language: Language = "en"
    form: Form = "story"
    text: str = ""
    title: str | None = None
    idea: str = ""
    plot: str = ""
    theme: str = ""
    memory: str = ""
    note: str = ""
    note_depth: int = 3
    summary: str = ""
    earlier: str = ""
    people: tuple[Character, ...] = ()
    entries: Sequence[Entry] = field(default=())
    related: Sequence[Passage] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What the writer asks for: where (`at`, `end` count characters of the text), and how.

    `instruction` is what should happen next (a line of the plan, or the writer's words); `action` and `value` are those
    of a rewriting.
    """

    mode: Mode = "continue"
    at: int | None = None
    end: int | None = None
    instruction: str = ""
    action: str = ""
    value: str = ""
    words: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what the model sees, with its tokens; `why` says why it is there, or why it was left out (`dropped`)."""

    name: str
    text: str
    tokens: int
    why: str = ""
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """The request, and what it is made of; `tokens` are those of the whole, at most `limit`."""

    request: Request
    parts: list[Part]
    tokens: int
    limit: int


def build_context(view: SceneView, wish: Wish, count: Count, limit: int) -> Context:
    """The request that a wish makes of a scene in at most `limit` tokens, which `count` counts; a pure function."""
    return _Builder(view, wish, count, limit).build()


def to_template(text: str, form: Form) -> str:
    """A manuscript as the model reads it: in prose a blank line between paragraphs."""
    return text if form in LITERAL else _BREAKS.sub("\n\n", text)


def to_manuscript(text: str, form: Form) -> str:
    """A model's text as a manuscript: in prose a line for each paragraph."""
    return text if form in LITERAL else _BREAKS.sub("\n", text)


class _Builder:
    def __init__(self, view: SceneView, wish: Wish, count: Count, limit: int) -> None:
        self.view, self.wish, self.count, self.limit = view, wish, count, limit
        self.parts: list[Part] = []
        at = len(view.text) if wish.at is None else wish.at
        told = "\n".join(text for text in (view.earlier.rstrip(), view.text[:at]) if text)
        self.told = "" if wish.mode == "begin" else told
        self.after = view.text[at if wish.end is None else wish.end :] if wish.mode == "infill" else ""

    def build(self) -> Context:
        view = self.view
        told = to_template(self.told, view.form)
        if not told.strip():
            request = self._beginning()
        else:
            request = self._about(Request("infill" if self.after.strip() else "continue", view.language, view.form))
            request = self._asked(request)
            after, left = self._after()
            late = self._late(told, after)
            request = self._before(replace(request, after=after), told, late)
            if after:
                self._note_part("after", after, left)
        tokens = self._tokens(request)
        return Context(request, self.parts, tokens, self.limit)

    def _beginning(self) -> Request:
        """A request for a new story, in which everything has a line that the model was trained on."""
        request = self._asked(self._about(Request("write", self.view.language, self.view.form, words=self.wish.words)))
        people, more = list(request.characters), [request.about or ""]
        heard = "\n".join([request.about or "", request.outline or "", self.view.note])
        for found in self._fired(heard):
            entry = found.entry
            if entry.kind == "person" and len(entry.text) < 80:
                trial = replace(request, characters=(*people, Character(entry.name, entry.text.strip(" .。"))))
            else:
                trial = replace(request, about=_joined([*more, _told_of(entry)], self.view.language))
            if self._fits(trial, f"lore: {entry.name}", entry.text, _why(found)):
                request, people, more = trial, list(trial.characters), [trial.about or ""]
        if self.view.note.strip():
            trial = replace(request, about=_joined([*more, self.view.note], self.view.language))
            request = trial if self._fits(trial, "note", self.view.note, "") else request
        return request

    def _about(self, request: Request) -> Request:
        """Title, people, and what the story is about, which stay the same while the writer types."""
        view, most = self.view, int(self.limit * ABOUT)
        self.parts.append(Part("task", request_text(request), self._tokens(request)))
        if view.title and view.title.strip():
            request = self._grown(request, replace(request, title=view.title.strip()), "title", view.title, most)
        people = [*view.people]
        for entry in view.entries:
            if entry.enabled and entry.always and entry.kind == "person" and len(entry.text) < 80:
                people.append(Character(entry.name, entry.text.strip(" .。")))
        for person in people:
            trial = replace(request, characters=(*request.characters, person))
            request = self._grown(request, trial, f"person: {person.name}", f"{person.name}: {person.who}", most)
        keywords = tuple(word.strip() for word in re.split("[,;，；、]", view.theme) if word.strip())
        short = all(len(word) < 24 for word in keywords)
        if keywords and short:
            request = self._grown(request, replace(request, keywords=keywords), "theme", view.theme, most)
        said: list[str] = []
        for name, text in (("idea", view.idea), ("plot", view.plot), ("theme", "" if short else view.theme),
                           ("memory", view.memory)):  # fmt: skip
            for piece in self._pieces(text, most // 2):
                trial = replace(request, about=_joined([*said, piece], view.language))
                grown = self._grown(request, trial, name, piece, most)
                said = [*said, piece] if grown is not request else said
                request = grown
        return request

    def _pieces(self, text: str, longest: int) -> list[str]:
        """A text whole, or, where it would not fit, its sentences."""
        text = text.strip()
        if not text:
            return []
        return [text] if self.count(text) <= longest else split_sentences(text, self.view.language)

    def _asked(self, request: Request) -> Request:
        """What should happen next, as the line of an outline."""
        asked = self.wish.instruction.strip()
        if not asked:
            return request
        return self._grown(request, replace(request, outline=asked), "instruction", asked, self.limit // 2)

    def _after(self) -> tuple[str | None, str]:
        """The text after the cursor as far as it fits, in whole sentences; and what is left of it."""
        text = to_template(self.after, self.view.form).strip()
        if not text:
            return None, ""
        room, end = int(self.limit * AFTER), 0
        for sentence in split_sentences(text[: room * 8], self.view.language):
            if self.count(text[: end + len(sentence)]) > room:
                break
            end += len(sentence)
        return text[:end].strip() or None, text[end:]

    def _late(self, told: str, after: str | None) -> str:
        """What fired and the author's note, in one line of brackets that stands near the end of the text."""
        view = self.view
        window = told[-self.limit * 8 :]
        heard = "\n".join([window, after or "", self.wish.instruction])
        said: list[str] = []
        room = int(self.limit * LORE)
        for found in self._fired(heard):
            text = _told_of(found.entry)
            cost = self.count(f" {text}")
            fits = cost <= room
            why = _why(found) if fits else f"{_why(found)}; left out: {cost} tokens, {room} free"
            self.parts.append(Part(f"lore: {found.entry.name}", found.entry.text, cost, why, not fits))
            if fits:
                said.append(text)
                room -= cost
        for passage in view.related:
            text = _QUOTED[view.language].format(" ".join(passage.text.split()))
            cost = self.count(text)
            fits = cost <= room
            why = f"{passage.source}: {', '.join(passage.terms)}"
            why += "" if fits else f"; left out: {cost} tokens, {room} free"
            self.parts.append(Part("related", passage.text.strip(), cost, why, not fits))
            if fits:
                said.append(text)
                room -= cost
        if note := " ".join(view.note.split()):
            cost, most = self.count(note), int(self.limit * NOTE)
            fits = cost <= most
            self.parts.append(
                Part("note", note, cost, "" if fits else f"left out: {cost} tokens, {most} free", not fits)
            )
            said += [note] if fits else []
        return f"[{_joined(said, view.language)}]" if said else ""

    def _fired(self, heard: str) -> list[Fired]:
        """The entries that fire, less the people who are named in any case."""
        shown = {entry.name for entry in self.view.entries if entry.always and len(entry.text) < 80}
        known = {person.name for person in self.view.people} | shown
        return [
            found
            for found in fired(self.view.entries, heard, self.view.language)
            if found.entry.text.strip() and not (found.entry.kind == "person" and found.entry.name in known)
        ]

    def _before(self, request: Request, told: str, late: str) -> Request:
        """The summary and the text before the cursor, cut so that all fits; the late line goes into its last paragraphs."""
        view = self.view
        summary = to_template(view.summary.strip(), view.form)
        # The room for lore and note is kept free where there may be any, so that the cut stays when one fires.
        kept = (LORE if view.entries or view.related else 0) + (NOTE if view.note.strip() else 0)
        room = self.limit - self._tokens(request) - FRAME - (self.count(summary) if summary else 0)
        room -= int(self.limit * kept)
        while True:
            start = _cut(told, max(room, 16), self.count)
            text = _with_late(told, start, late, max(1, view.note_depth), view.form)
            trial = replace(request, before=_paragraphs([summary, text], view.form))
            if self._tokens(trial) <= self.limit or room <= 0:
                break
            room -= max(16, self.limit // 8)
        if self._tokens(trial) > self.limit and summary:
            self._note_part("summary", "", summary)
            summary, trial = "", replace(request, before=text)
        if summary:
            self.parts.append(Part("summary", summary, self.count(summary)))
        self.parts.append(Part("text", told[start:], self.count(told[start:])))
        if start:
            self.parts.append(Part("text", told[:start], 0, f"left out: {start} characters further back", dropped=True))
        return trial

    def _note_part(self, name: str, shown: str, left: str) -> None:
        if shown:
            self.parts.append(Part(name, shown, self.count(shown)))
        if left.strip():
            self.parts.append(Part(name, left, 0, f"left out: {len(left)} characters do not fit", dropped=True))

    def _grown(self, request: Request, trial: Request, name: str, text: str, most: int) -> Request:
        """`trial` where it fits into `most` tokens; the part is noted in any case, with what it costs."""
        tokens = self._tokens(trial)
        cost = tokens - self._tokens(request)
        if tokens <= most:
            self.parts.append(Part(name, text.strip(), cost))
            return trial
        self.parts.append(Part(name, text.strip(), cost, f"left out: {tokens} tokens of {most}", dropped=True))
        return request

    def _fits(self, trial: Request, name: str, text: str, why: str) -> bool:
        tokens, most = self._tokens(trial), int(self.limit * (ABOUT + LORE + NOTE))
        fits = tokens <= most
        why = why if fits else f"{why}; left out: {tokens} tokens of {most}".lstrip("; ")
        self.parts.append(Part(name, text, self.count(text), why, not fits))
        return fits

    def _tokens(self, request: Request) -> int:
        opening = self.count(request.opening) if request.opening else 0
        return self.count(request_text(request)) + opening + FRAME


def _cut(text: str, room: int, count: Count) -> int:
    """Where the last text that fits into `room` tokens begins: at one of a few places that do not move as it grows.

    The places lie half a window apart, counted from the beginning of the text, so a window is read anew only once in half
    a window of writing.
    """
    if len(text) <= room * 8 and count(text) <= room:
        return 0
    sample = text[:2000]
    density = 2.0 ** math.ceil(
        math.log2(max(count(sample) / len(sample), 1 / 16))
    )  # rounded, so that an edit moves nothing
    step = max(32, int(room / density / 2))
    for size in (step, max(1, step // 8)):
        number = max(1, (len(text) - room * 8) // size)
        while number * size < len(text):
            start = _place(text, number * size, size)
            if start < len(text) and count(text[start:]) <= room:
                return start
            number += 1
    start = max(0, len(text) - room // 4)  # text of a kind that no word of the vocabulary is made for
    while start < len(text) and count(text[start:]) > room:
        start += max(1, (len(text) - start) // 2)
    return start


def _place(text: str, near: int, reach: int) -> int:
    """The beginning of the paragraph, else of the sentence, that comes next within reach."""
    line = text.find("\n", near - 1, near + reach)
    if line >= 0:
        while line < len(text) and text[line].isspace():
            line += 1
        return line
    sentence = _SENTENCE_END.search(text, near, near + reach)
    return sentence.end() if sentence else near


def _with_late(told: str, start: int, late: str, depth: int, form: Form) -> str:
    """The text from `start` on with a line between its last paragraphs.

    It stands `depth` to twice `depth` paragraphs before the end, at a paragraph whose number is a multiple of it: so it
    stays in its place while that many paragraphs are written.
    """
    if not late:
        return told[start:]
    breaks = [match.end() for match in re.finditer(r"\n+", told.rstrip())]
    place = (len(breaks) + 1 - depth) // depth * depth
    at = breaks[place - 1] if place > 0 else 0
    if at <= start:
        return _paragraphs([late, told[start:]], form)
    return f"{told[start:at]}{late}{_gap(form)}{told[at:]}"


def _gap(form: Form) -> str:
    return "\n" if form in LITERAL else "\n\n"


def _paragraphs(texts: Sequence[str], form: Form) -> str:
    return _gap(form).join(text for text in texts if text)


def _told_of(entry: Entry) -> str:
    """An entry in words: its text, with its name before it where the text does not say it."""
    text = " ".join(entry.text.split())
    return text if entry.name.casefold() in text.casefold() else f"{entry.name}: {text}"


def _joined(sentences: Sequence[str], language: Language) -> str:
    """Texts one after another, each ended as a sentence."""
    stop, gap = ("。", "") if language == "zh" else (".", " ")
    told = [text.strip() for text in sentences if text.strip()]
    return gap.join(
        text if ends_sentence(text) or place == len(told) - 1 else text + stop for place, text in enumerate(told)
    )


def _why(found: Fired) -> str:
    return found.why if found.why == "always" else f"{found.why}: {found.key}"
