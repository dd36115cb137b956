from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.studio.telling.memory import MemoryStore

from storyteller.craft.shown import Shown
from storyteller.generate.engine import common_prefix
from storyteller.studio.errors import ConflictError
from storyteller.studio.telling.asking import index_of, read_ask
from storyteller.studio.telling.events import EventLog
from storyteller.studio.telling.line import Line
from storyteller.studio.telling.rows import CHUNK, Rows


def test_the_line_is_ordered_by_priority_and_then_by_time() -> None:
    line, order, positions = Line(), list[str](), dict[str, list[int]]()
    first = line.join("writer")
    assert line.wait(first)
    places = {}
    for name in ("chat", "plan", "writer"):
        positions[name] = []
        places[name] = line.join(name, positions[name].append)  # type: ignore[arg-type]

    def work(name: str) -> None:
        assert line.wait(places[name])
        order.append(name)
        line.leave(places[name])

    threads = [threading.Thread(target=work, args=(name,)) for name in places]
    for thread in threads:
        thread.start()
    line.leave(first)
    for thread in threads:
        thread.join(5)
    assert order == ["writer", "plan", "chat"]
    assert positions["chat"][0] == 1  # the one at work was before it
    assert max(positions["chat"]) == 3
    assert not line.busy


def test_ghosts_go_when_anybody_else_comes() -> None:
    line, dropped = Line(), list[str]()
    at_work = line.join("ghost", dropped=lambda: dropped.append("at work"))
    assert line.wait(at_work)
    line.join("ghost", dropped=lambda: dropped.append("waiting"))
    assert dropped == ["at work"]  # a newer ghost is wanted more, too
    line.join("writer")
    assert dropped == ["at work", "waiting", "at work"] or dropped == ["at work", "at work", "waiting"]


def test_who_leaves_the_line_is_woken() -> None:
    line = Line()
    assert line.wait(line.join("writer"))
    place, answers = line.join("writer"), list[bool]()
    thread = threading.Thread(target=lambda: answers.append(line.wait(place)))
    thread.start()
    line.leave(place)
    thread.join(5)
    assert answers == [False]


def test_events_are_heard_from_where_one_left_off() -> None:
    log = EventLog()
    for number in range(3):
        log.add("text", {"n": number})

    async def listen(after: int) -> list[int]:
        return [number async for number, _, _ in log.listen(after)]

    async def both() -> list[list[int]]:
        listening = asyncio.gather(listen(0), listen(2))
        await asyncio.sleep(0.01)
        threading.Thread(target=lambda: (log.add("done", {}), log.close())).start()
        return await asyncio.wait_for(listening, 5)

    assert asyncio.run(both()) == [[1, 2, 3, 4], [3, 4]]
    assert [number for number, _, _ in log.follow(3)] == [4]


class CountingBatch:
    """Rows that count what they read; a row's logits are its length."""

    name, context, vocabulary_size = "counting", 4096, 4

    def __init__(self, rows: int) -> None:
        self.rows, self.read, self.copied = rows, 0, 0
        self.ids: list[list[int]] = [[] for _ in range(rows)]

    def feed_many(self, sequences: Mapping[int, Sequence[int]]) -> Sequence[NDArray[np.float32]]:
        logits = []
        for row, ids in sequences.items():
            self.read += len(ids) - common_prefix(self.ids[row], list(ids))
            self.ids[row] = list(ids)
            logits.append(np.full(4, len(ids), dtype=np.float32))
        return logits

    def copy_row(self, source: int, target: int) -> None:
        self.copied += 1
        self.ids[target] = list(self.ids[source])

    def close(self) -> None:
        pass


class CountingEngine:
    name, context, vocabulary_size = "llama", 4096, 4

    def __init__(self) -> None:
        self.made: CountingBatch | None = None

    def batch(self, rows: int, context: int) -> CountingBatch:
        self.made = CountingBatch(rows)
        return self.made

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        raise AssertionError

    def close(self) -> None:
        pass


def test_scenes_find_again_what_was_read_of_them() -> None:
    engine = CountingEngine()
    rows, batch = Rows(engine), engine.made
    assert batch is not None
    scenes = [[scene * 1000 + place for place in range(500)] for scene in range(4)]
    for prompt in scenes:
        assert rows.feed({rows.take(prompt, 1)[0]: prompt}, lambda *_: True) is not None
    assert batch.read == 2000
    for prompt in scenes:  # each with its last sentence changed
        edited = [*prompt[:480], *range(7, 37)]
        rows.feed({rows.take(edited, 1)[0]: edited}, lambda *_: True)
    assert batch.read == 2000 + 4 * 30


def test_a_prompt_of_many_candidates_is_read_once() -> None:
    engine = CountingEngine()
    rows, batch = Rows(engine), engine.made
    assert batch is not None
    prompt = list(range(300))
    mine = rows.take(prompt, 3)
    assert mine == list(range(mine[0], mine[0] + 3))
    rows.feed({mine[0]: prompt}, lambda *_: True)
    rows.share(mine)
    rows.feed({row: [*prompt, 1] for row in mine}, lambda *_: True)
    assert batch.read == 303


def test_reading_stops_between_two_pieces() -> None:
    engine = CountingEngine()
    rows, batch = Rows(engine), engine.made
    assert batch is not None
    assert rows.feed({0: list(range(10 * CHUNK))}, lambda read, _: read < 3 * CHUNK) is None
    assert batch.read == 3 * CHUNK


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(1, 8)), max_size=20))
def test_rows_never_mix_up_texts(asked: list[tuple[int, int, int]]) -> None:
    engine = CountingEngine()
    rows, batch = Rows(engine), engine.made
    assert batch is not None
    for scene, length, count in asked:
        prompt = [scene * 100 + place for place in range(length)]
        mine = rows.take(prompt, count)
        assert len(set(mine)) == count
        rows.feed({mine[0]: prompt}, lambda *_: True)
        rows.share(mine)
        for row in mine:
            assert batch.ids[row] == prompt


@pytest.mark.parametrize(
    ("text", "shown", "trimmed"),
    [
        (" The story so far:\n\nShe slept.", "She slept.", " The story so far:\n\n"),
        ("(The story so far:) She slept.", "She slept.", "(The story so far:) "),
        ("About: a seal\nTitle: Salt\n\nShe slept.", "She slept.", "About: a seal\nTitle: Salt\n\n"),
        (" The story of a seal.\n\n\nIt swam. ", " The story of a seal.\nIt swam. ", ""),
        ("The", "The", ""),
        ("\n\nShe slept.\n\n", "\nShe slept.", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_templates_own_words_are_not_shown(text: str, shown: str, trimmed: str, size: int) -> None:
    passing = Shown("story", "en")
    said = "".join(passing.feed(text[start : start + size]) for start in range(0, len(text), size)) + passing.end()
    assert said == shown
    assert passing.trimmed == trimmed


def test_chinese_labels_go_and_screenplays_stay_as_they_are() -> None:
    passing = Shown("story", "zh")
    assert passing.feed("前文：\n") + passing.feed("她睡了。") == "她睡了。"
    assert Shown("screenplay", "en").feed("INT. HALL\n\nShe sleeps.") == "INT. HALL\n\nShe sleeps."


def test_labels_are_those_of_the_template() -> None:
    from storyteller.craft.shown import _ALONE, _WITH_LINE
    from storyteller.tokens import Character, Request, request_text

    for language in ("en", "zh"):
        full = Request("infill", language, about="x", title="x", characters=(Character("x"),), keywords=("x",), outline="x",
                       before="x", after="x")  # fmt: skip
        written = request_text(full) + request_text(Request("continue", language, before="x"))
        written += "Story:正文："  # of a base model's template
        assert all(label in written for label in (*_ALONE[language], *_WITH_LINE[language]))


def test_places_count_as_javascript_does() -> None:
    assert [index_of("a😀b", unit) for unit in (0, 1, 3, 4, 9)] == [0, 1, 2, 3, 3]
    ask = read_ask(MemoryStore("😀 One. Two."), "s", {"mode": "continue", "at": 8})
    assert "😀 One. Two."[: ask.wish.at] == "😀 One. "[: ask.wish.at]
    assert ask.wish.at == 7


def test_a_page_that_is_behind_is_told_so() -> None:
    store = MemoryStore("One.")
    with pytest.raises(ConflictError) as told:
        read_ask(store, "s", {"mode": "continue", "base": "n0"})
    assert told.value.state["text"] == "One."
    assert read_ask(store, "s", {"base": "n0", "text": "Mine."}).view.text == "Mine."


def test_settings_are_those_of_the_preset_and_what_is_chosen_over_it() -> None:
    store = MemoryStore("One.")
    store.own = {"preset": "calm", "sampling": {"top_k": 40}}
    kept = read_ask(store, "s", {}).settings
    assert (kept.temperature, kept.top_k) == (0.7, 40)
    now = read_ask(store, "s", {"preset": "wild", "sampling": {"dry": False}}).settings
    assert (now.temperature, now.top_k, now.dry_multiplier) == (1.4, None, 0.0)


def test_an_event_log_wakes_quickly() -> None:
    log = EventLog()

    async def wait() -> float:
        listening = log.listen()
        threading.Timer(0.05, lambda: log.add("text", {"at": time.perf_counter()})).start()
        _, _, data = await anext(listening)
        return time.perf_counter() - float(data["at"])

    assert asyncio.run(wait()) < 0.5


def test_a_note_may_stand_at_the_very_end() -> None:
    store = MemoryStore("One.\nTwo.")
    for kept, depth in ((0, 0), (2, 2), (None, 3)):
        store.project("p")["note_depth"] = kept
        assert read_ask(store, "s", {"mode": "continue"}).view.note_depth == depth
