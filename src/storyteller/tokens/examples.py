"""Examples: stories turned into requests and completions that fit the context, by task, with every cut counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from storyteller.corpus.story import Story
from storyteller.recipe.models import DataRecipe
from storyteller.tokens.conditions import Conditions
from storyteller.tokens.request import Character, Request, Task
from storyteller.tokens.template import Template
from storyteller.tokens.units import Unit, clause_near, join_text, split_units

__all__ = ["Examples", "StoryExample"]

#: Tasks whose request shows text of the story.
_SURROUNDED = ("continue", "infill")


@dataclass(frozen=True, slots=True)
class StoryExample:
    """A request, the completion that answers it, and both as ids, of which the last `targets` are labels."""

    story: str
    request: Request
    completion: str
    ends: bool
    ids: list[int]
    targets: int

    @property
    def bytes(self) -> int:
        """The bytes of text that the labels spell."""
        return len(self.completion.encode())

    @property
    def starts(self) -> None:
        """Which ids begin a word: nobody asks of an example."""
        return None


@dataclass
class Examples:
    """Makes the examples of stories and counts what happened to each.

    `counts`: `stories`, `whole` (fit the context), `cut` (told in parts, nothing lost), `truncated` (some part was
    left out, because no task of the recipe may tell it or it cannot fit), `capped` (told up to the recipe's
    `max_parts`), `without_target` (nothing to learn).
    """

    template: Template
    conditions: Conditions
    data: DataRecipe
    counts: Counter[str] = field(default_factory=Counter)
    _bare: dict[Request, int] = field(default_factory=dict)

    def of(self, stories: Sequence[Story]) -> Iterator[StoryExample]:
        """The examples of a handful of stories, in order; encoded together, which is what the handful is for."""
        units_of = split_units(stories, self.template.tokenizer, max(8, self.data.context // 8))
        for story, units in zip(stories, units_of, strict=True):
            self.counts["stories"] += 1
            if not units:
                self.counts["without_target"] += 1
                continue
            people = self.conditions.people(story)
            for view in range(self.data.views):
                chance = random.Random(f"{self.data.seed}/{story.id}/{view}")
                yield from self._view(story, units, people, chance, first=view == 0)

    def _view(
        self, story: Story, units: list[Unit], people: list[Character], chance: random.Random, first: bool
    ) -> Iterator[StoryExample]:
        tasks = {task: weight for task, weight in self.data.tasks.items() if weight > 0}
        task: Task = chance.choices(list(tasks), list(tasks.values()))[0]
        if sum(len(unit.ids) for unit in units) + self._overhead(story, "write") < self.data.context:
            short = self._short(story, units, task, people, chance) if task != "write" else None
            if not short and "write" in tasks:
                request = self._request(story, units, 0, len(units), "write", people, chance)
                short = self._part(story, units, 0, len(units), request, shrink=True)
            # Without `write` a task that found no place in the story looks again, and then another one does.
            for other in [] if short or "write" in tasks else [task] * 3 + list(tasks) * 3:
                if short := self._short(story, units, other, people, chance):
                    break
            if short:
                self.counts["whole"] += first
                yield short
            if short or "write" not in tasks:
                self.counts["without_target"] += first and not short
                return
        later = {name: weight for name, weight in tasks.items() if name != "write"}
        task, at, lost, parts = "write", 0, False, 0
        if "write" not in tasks:
            task = chance.choices(list(later), list(later.values()))[0]
            # What goes on, or arrives somewhere, needs something before it.
            at = 0 if task == "passage" else _filled(units, 0, self.data.context // 4)
        while at < len(units):
            if parts == self.data.max_parts:
                self.counts["capped"] += first
                return
            example, end = self._long(story, units, at, task, people, chance)
            if example:
                yield example
            lost, at, parts = lost or not example, end, parts + 1
            if at < len(units) and not later:
                lost = True
                break
            if later:
                task = chance.choices(list(later), list(later.values()))[0]
        self.counts["truncated" if lost else "cut"] += first

    def _short(
        self, story: Story, units: list[Unit], task: Task, people: list[Character], chance: random.Random
    ) -> StoryExample | None:
        """One example of a story that fits, by another task than `write`; `None` when it has too few units for it."""
        count = len(units)
        start, end = chance.randrange(count), count
        if task == "infill":
            start, end = (sorted(chance.sample(range(1, count), 2))) if count > 2 else (0, 0)
        elif task == "passage":
            end = chance.randint(start + 1, count)
        if start >= end or count < 2 or (task == "continue" and start == 0):
            return None
        request = self._request(story, units, start, end, task, people, chance)
        return self._part(story, units, start, end, request, shrink=False)

    def _long(
        self, story: Story, units: list[Unit], at: int, task: Task, people: list[Character], chance: random.Random
    ) -> tuple[StoryExample | None, int]:
        """The example of the part that begins at unit `at`, and the unit after it."""
        # Conditions are known only when the part is: they are found in a part that surely fits, which then grows.
        room = self.data.context - 1 - self._overhead(story, task)
        surely = _filled(units, at, room - min(room // 4, 128) - (self.data.context // 4 if task in _SURROUNDED else 0))
        if task == "infill" and surely == len(units):
            task = "continue"  # there is no ending left to arrive at
            if not self.data.tasks.get(task):
                return None, len(units)
        if task == "infill":  # the ending that the request shows begins where the part ends
            surely = end = _at_paragraph(units, at, surely)
            request = self._request(story, units, at, end, task, people, chance)
        else:
            request = self._request(story, units, at, surely, task, people, chance)
            room = self.data.context - 1 - len(self.template.prompt(request))
            end = _at_paragraph(units, at, _filled(units, at, room))
        return self._part(story, units, at, end, request, shrink=True), end

    def _request(
        self, story: Story, units: list[Unit], start: int, end: int, task: Task,
        people: list[Character], chance: random.Random,
    ) -> Request:  # fmt: skip
        """The request that the units `start:end` answer."""
        text = join_text(units[start:end]).strip()
        request = self.conditions.derive(story, text, task, chance, people, whole=task == "write")
        room = self.data.context // (8 if task == "infill" else 4)
        if task in _SURROUNDED:
            request = replace(request, before=_tail(units[:start], room))
        return replace(request, after=_head(units[end:], room)) if task == "infill" else request

    def _part(
        self, story: Story, units: list[Unit], start: int, end: int, request: Request, shrink: bool
    ) -> StoryExample | None:
        """The example of units `start:end`, or `None` when it is longer than the context.

        With `shrink` its conditions, then the text before and after it, are left out until it fits.
        """
        part, ends = units[start:end], end == len(units) or request.task == "infill"
        least: Task = "write" if request.task == "write" else "passage"
        attempts = [request]
        if shrink:
            bare = Request(request.task, request.language, request.form, before=request.before, after=request.after)
            attempts += [replace(request, about=None), bare]
            if self.data.tasks.get(least):
                attempts.append(Request(least, request.language, request.form))
            else:
                attempts += [_nearer(bare, parts) for parts in (2, 4, 8)]
        for attempt in attempts:
            example = self._join(story, attempt, part, ends)
            if len(example.ids) <= self.data.context:
                return example
        return None

    def _join(self, story: Story, request: Request, part: list[Unit], ends: bool) -> StoryExample:
        """Put a request before its part, less the opening that it forces, and for a passage the space before it."""
        first = part[0].text.removeprefix(request.opening or "")
        if (not first and len(part) == 1) or (request.opening and len(first) == len(part[0].text)):
            first, request = part[0].text, replace(request, opening=None)
        if request.task == "passage":  # unlike a continuation, it stands alone
            first = first.lstrip()
        ids = part[0].ids if first == part[0].text else self.template.tokenizer.encode(first)
        ids = ids + [index for unit in part[1:] for index in unit.ids]
        text = first + join_text(part[1:])
        prompt = self.template.prompt(request)
        joined = self.template.join(prompt, ids, ends)
        return StoryExample(story.id, request, text, ends, joined.ids, len(joined.ids) - len(prompt))

    def _overhead(self, story: Story, task: Task) -> int:
        """The tokens of a request that says nothing but its task, form and language."""
        request = Request(task, story.language, story.form)
        if request not in self._bare:
            self._bare[request] = len(self.template.prompt(request))
        return self._bare[request]


def _nearer(request: Request, parts: int) -> Request:
    """A request that shows only the part of what stands before, and of what comes after, that is next to the gap."""
    before, after = request.before or "", request.after or ""
    near, far = before[len(before) - len(before) // parts :], after[: len(after) // parts]
    # Words stay whole; where there are no spaces, as in Chinese, any character may be the first.
    near, far = near.partition(" ")[2] or near, far.rpartition(" ")[0] or far
    return replace(request, before=near or request.before, after=far or request.after)


def _filled(units: list[Unit], start: int, room: int) -> int:
    """The end of the units from `start` that fill `room` tokens, at least one."""
    end = start
    while end < len(units) and (room := room - len(units[end].ids)) >= 0:
        end += 1
    return max(end, start + 1)


def _at_paragraph(units: list[Unit], start: int, end: int) -> int:
    """The last paragraph's beginning in the final fifth of `start:end`, else `end`."""
    if end == len(units):
        return end
    total = sum(len(unit.ids) for unit in units[start:end])
    kept, place = total, end
    while place > start + 1 and not units[place].paragraph:
        place -= 1
        kept -= len(units[place].ids)
    return place if units[place].paragraph and kept * 5 >= total * 4 else end


def _tail(units: list[Unit], room: int) -> str | None:
    """The last text of at most about `room` tokens: whole units, or the end of one that is too long."""
    if units and len(units[-1].ids) > room:
        text = units[-1].text.strip()
        return text[clause_near(text, len(text) - len(text) * room // len(units[-1].ids)) :].strip() or None
    start = len(units)
    while start and (room := room - len(units[start - 1].ids)) >= 0:
        start -= 1
    return join_text(units[start:]).strip() or None


def _head(units: list[Unit], room: int) -> str | None:
    """The first text of at most about `room` tokens: whole units, or the beginning of one that is too long."""
    if units and len(units[0].ids) > room:
        text = units[0].text.strip()
        return text[: clause_near(text, len(text) * room // len(units[0].ids))].strip() or None
    return join_text(units[: _filled(units, 0, room)]).strip() if units else None
