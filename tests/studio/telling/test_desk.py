from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.studio.telling.memory import MemoryStore

from storyteller.craft.shown import Shown
from storyteller.generate import Storyteller
from storyteller.generate.torch_engine import TorchEngine
from storyteller.models import Located, load_model
from storyteller.studio.errors import NotFoundError
from storyteller.studio.telling import Desk
from storyteller.studio.telling.asking import Origin
from storyteller.studio.telling.generation import Generation
from storyteller.tokens import StoryTokenizer, Template

Events = list[tuple[int, str, dict[str, Any]]]
SENTENCE = "The seal swam on. "


class Slow:
    """Writes `text` after whatever prompt, takes its time for each token, and fails when it is told to."""

    name, context = "scripted", 2048

    def __init__(self, tokenizer: StoryTokenizer, text: str, pause: float = 0.0, fails_at: int | None = None) -> None:
        self.vocabulary_size = tokenizer.vocabulary_size
        self.pause, self.fails_at, self.asked = pause, fails_at, 0
        self._script, self._stop = tokenizer.encode(text), tokenizer.stop_ids[0]
        self._start, self._frame = tokenizer.id_of("<|im_start|>"), len(tokenizer.encode("assistant\n"))

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        time.sleep(self.pause)
        self.asked += 1
        if self.fails_at is not None and self.asked >= self.fails_at:
            raise RuntimeError("out of memory")
        turn = max((place for place, index in enumerate(ids) if index == self._start), default=-1 - self._frame)
        written = max(0, len(ids) - turn - 1 - self._frame)
        logits = np.zeros(self.vocabulary_size, dtype=np.float32)
        logits[self._script[written % len(self._script)]] = 100.0
        if written and written % len(self._script) == 0:
            logits[self._stop] = 200.0
        return logits

    def close(self) -> None:
        pass


@pytest.fixture
def desks() -> Iterator[Callable[..., Desk]]:
    opened: list[Desk] = []

    def open_desk(store: MemoryStore, load: Callable[[str], Storyteller]) -> Desk:
        opened.append(Desk(store, load, lambda name: name))
        return opened[-1]

    yield open_desk
    for desk in opened:
        desk.close()


def scripted(folder: Path, text: str, **options: Any) -> Callable[[str], Storyteller]:
    tokenizer = StoryTokenizer.load(folder)

    def load(name: str) -> Storyteller:
        return Storyteller(Slow(tokenizer, text, **options), Template.load(folder, tokenizer), name=name)

    return load


def tiny(folder: Path) -> Callable[[str], Storyteller]:
    def load(name: str) -> Storyteller:
        engine = TorchEngine(load_model(Located("tiny", folder, "tiny")), context=1024)
        return Storyteller(engine, Template.load(folder), name=name)

    return load


def hear(desk: Desk, generation: str, after: int = 0) -> Events:
    async def all_of_it() -> Events:
        return [event async for event in desk.events(generation, after)]

    return asyncio.run(asyncio.wait_for(all_of_it(), 30))


def said(events: Events, candidate: int = 0) -> str:
    return "".join(data["text"] for _, name, data in events if name == "text" and data["candidate"] == candidate)


def names(events: Events) -> list[str]:
    return [name for _, name, _ in events]


@pytest.mark.parametrize(("language", "sentence"), [("en", SENTENCE), ("zh", "海豹游着。")])
def test_a_continuation_streams_and_is_kept(
    tiny_llama: Path, desks: Callable[..., Desk], language: str, sentence: str
) -> None:
    store = MemoryStore("She slept." if language == "en" else "她睡了。", language)
    desk = desks(store, scripted(tiny_llama, sentence * 30))
    generation = desk.start("s", {"mode": "continue", "words": 20, "seed": 5, "sampling": {"temperature": 0}})
    events = hear(desk, generation)
    assert names(events)[:2] == ["queued", "started"]
    assert names(events)[-2:] == ["candidate", "done"]
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    started = events[1][2]
    assert started["seeds"] == [5]
    assert started["context"]["tokens"] <= started["context"]["limit"]
    assert said(events).startswith(" The seal" if language == "en" else "海豹")
    record = store.generation(generation)
    assert (record["status"], record["seed"], record["model"]) == ("done", 5, "default")
    assert (
        record["candidates"][0]["text"] == said(events) == "".join(t["text"] for t in record["candidates"][0]["tokens"])
    )
    assert record["candidates"][0]["finish_reason"] == "stop"
    assert len(record["candidates"][0]["tokens"][0]["alternatives"]) == 8
    assert hear(desk, generation, after=len(events) - 1) == events[-1:]


def test_one_who_joins_late_hears_everything_and_one_who_leaves_stops_nothing(
    tiny_llama: Path, desks: Callable[..., Desk]
) -> None:
    store = MemoryStore("She slept.")
    desk = desks(store, scripted(tiny_llama, SENTENCE * 30, pause=0.005))
    generation = desk.start("s", {"words": 30})

    async def leave_early() -> None:
        async for number, _, _ in desk.events(generation):
            if number == 4:
                return

    asyncio.run(leave_early())
    events = hear(desk, generation)
    assert names(events)[-1] == "done"
    assert events[0][0] == 1


def test_stopping_takes_no_time_and_keeps_what_was_shown(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("She slept.")
    desk = desks(store, scripted(tiny_llama, SENTENCE * 100, pause=0.02))
    generation = desk.start("s", {"words": 300})
    while not store.generation(generation)["candidates"]:
        time.sleep(0.01)
    started = time.perf_counter()
    desk.stop(generation)
    assert time.perf_counter() - started < 0.1
    events = hear(desk, generation)
    assert names(events)[-2:] == ["candidate", "done"]
    assert events[-2][2]["finish_reason"] == "cancelled"
    record = store.generation(generation)
    assert (record["status"], record["candidates"][0]["text"]) == ("stopped", said(events))


def test_one_that_waits_can_be_stopped_and_says_its_place(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("She slept.")
    desk = desks(store, scripted(tiny_llama, SENTENCE * 100, pause=0.01))
    first, second = desk.start("s", {"words": 60}), desk.start("s", {"words": 60})
    time.sleep(0.05)
    desk.stop(second)
    events = hear(desk, second)
    assert names(events) == ["queued", "done"]
    assert events[0][2]["position"] == 1
    desk.stop(first)


def test_what_is_stopped_while_its_model_loads_stays_stopped(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store, load = MemoryStore("She slept."), scripted(tiny_llama, SENTENCE)
    begun, loading = threading.Event(), threading.Event()

    def slowly(name: str) -> Storyteller:
        begun.set()
        loading.wait(10)
        return load(name)

    desk = desks(store, slowly)
    generation = desk.start("s", {"words": 30})
    begun.wait(10)
    desk.stop(generation)
    loading.set()
    while any(thread.name.startswith("generation") for thread in threading.enumerate()):
        time.sleep(0.01)
    assert store.generation(generation)["status"] == "stopped"
    assert names(hear(desk, generation))[-1] == "done"


def test_ghost_text_is_one_sentence_and_gives_way(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("She slept.")
    desk = desks(store, scripted(tiny_llama, SENTENCE * 100))
    events = hear(desk, desk.start("s", {"mode": "ghost", "n": 4}))
    assert said(events).strip() == "The seal swam on."
    slow = desks(store, scripted(tiny_llama, "swam " * 100, pause=0.02))
    ghost = slow.start("s", {"mode": "ghost"})
    time.sleep(0.1)
    asked = slow.start("s", {"words": 1})
    assert store.generation(ghost)["status"] == "stopped"
    assert names(hear(slow, asked))[-1] == "done"


def test_candidates_are_written_side_by_side_each_with_a_seed(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("The keeper and the seal.")
    desk = desks(store, tiny(tiny_llama))
    wish = {"n": 3, "seed": 7, "words": 10, "preset": "wild"}
    events = hear(desk, desk.start("s", wish))
    texts = [said(events, candidate) for candidate in range(3)]
    assert len(set(texts)) == 3
    alone = hear(desk, desk.start("s", wish | {"n": 1, "seed": 8}))
    assert said(alone) == texts[1]


def test_it_goes_on_from_another_token(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("The keeper and the seal.")
    desk = desks(store, tiny(tiny_llama))
    first = desk.start("s", {"words": 10, "seed": 3})
    hear(desk, first)
    tokens = store.generation(first)["candidates"][0]["tokens"]
    other = desk.start("s", {"words": 10, "from": {"generation": first, "candidate": 0, "token": 4, "choice": 2}})
    hear(desk, other)
    gone_on = store.generation(other)["candidates"][0]["tokens"]
    assert [token["id"] for token in gone_on[:4]] == [token["id"] for token in tokens[:4]]
    assert gone_on[4]["id"] == tokens[4]["alternatives"][2]["id"]
    assert len(gone_on[0]["alternatives"]) == 8
    nowhere = hear(desk, desk.start("s", {"from": {"generation": first, "candidate": 0, "token": 9999, "choice": 0}}))
    assert names(nowhere)[-1] == "failed"


@pytest.mark.parametrize(
    ("language", "raw", "chosen", "told"),
    [("en", ["One.", "\n\n", "Two"], "Then", "One.\nThen"),
     ("en", ["One.", " Two"], "\n\n", "One.\n"),
     ("en", ["The", " keeper", " lit"], " seal", "The keeper seal"),
     ("en", ["The", " keeper"], " seal", "The seal"),  # it may become "The story so far:" and is kept back
     ("en", ["Story", ":", "\n\n", "Once"], "The", "The"),
     ("zh", ["一。", "\n\n", "二"], "三", "一。\n三")],
)  # fmt: skip
def test_what_was_kept_back_before_the_chosen_token_is_shown(
    language: Any, raw: list[str], chosen: str, told: str
) -> None:
    store = MemoryStore(language=language)
    generation = Generation(store.create_generation("s", "continue", 0, "n1")["id"], store, language, "tiny")
    shown = Shown("story", language)
    for text in raw:
        other = {"text": chosen, "id": 2, "p": 0.5}
        generation.say(0, shown.feed(text), {"id": 1, "logprob": -1.0, "alternatives": [other], "raw": text})
    generation.done()
    record = store.generation(generation.id)
    begun = Origin(generation.id, 0, len(raw) - 1, 0).begun(record, "story", language)
    assert "".join(token["text"] for token in begun) == told
    assert [token["id"] for token in begun] == [1] * (len(raw) - 1) + [2]


def test_a_model_that_breaks_keeps_the_text_and_is_loaded_anew(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store, loads = MemoryStore("She slept."), list[str]()
    load = scripted(tiny_llama, SENTENCE * 30, fails_at=12)

    def counted(name: str) -> Storyteller:
        loads.append(name)
        return load(name)

    desk = desks(store, counted)
    generation = desk.start("s", {"words": 60, "sampling": {"temperature": 0}})
    events = hear(desk, generation)
    assert names(events)[-2:] == ["candidate", "failed"]
    assert "out of memory" in events[-1][2]["message"]
    assert events[-1][2]["kept"] is True
    record = store.generation(generation)
    assert (record["status"], record["candidates"][0]["text"]) == ("failed", said(events))
    assert said(events)
    hear(desk, desk.start("s", {"words": 5}))
    assert len(loads) == 2


def test_a_full_disk_ends_nothing(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("She slept.")
    store.broken = True
    desk = desks(store, scripted(tiny_llama, SENTENCE * 30))
    generation = desk.start("s", {"words": 20})
    events = hear(desk, generation)
    assert events[-1][1:] == ("done", {"generation": generation, "saved": False})
    assert said(events)


def test_a_language_that_the_model_does_not_write_is_refused_with_advice(
    tiny_llama: Path, desks: Callable[..., Desk]
) -> None:
    def english(name: str) -> Storyteller:
        teller = scripted(tiny_llama, SENTENCE)(name)
        teller.languages = ("en",)
        return teller

    desk = desks(MemoryStore("她睡了。", "zh"), english)
    (_, _, failed) = hear(desk, desk.start("s", {}))[-1]
    assert "writes no Chinese" in failed["message"]
    assert "gemma3-270m" in failed["next"]


def test_what_is_asked_of_nothing_is_refused_at_once(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    desk = desks(MemoryStore("One."), scripted(tiny_llama, SENTENCE))
    with pytest.raises(NotFoundError):
        desk.start("none", {})
    with pytest.raises(NotFoundError):
        hear(desk, "none")


def test_a_new_story_begins_without_template_words(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("")
    desk = desks(store, scripted(tiny_llama, "The story so far:\n\nThe seal swam.\n\nIt rained. "))
    generation = desk.start("s", {"mode": "begin", "words": 9, "sampling": {"temperature": 0, "dry": False}})
    events = hear(desk, generation)
    assert said(events).startswith("The seal swam.")
    assert "\n\n" not in said(events)
    assert store.generation(generation)["candidates"][0]["extra"]["trimmed"] == "The story so far:"
    assert store.generation(generation)["context"]["request"]["task"] == "write"


def test_a_story_that_is_over_is_told_again_from_its_record(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("She slept.")
    first = desks(store, scripted(tiny_llama, SENTENCE * 30))
    generation = first.start("s", {"words": 20})
    text = said(hear(first, generation))
    later = desks(store, scripted(tiny_llama, SENTENCE))
    again = hear(later, generation)
    assert names(again) == ["started", "text", "candidate", "done"]
    assert said(again) == text
    joined = hear(later, generation, after=50)
    assert [(number, name) for number, name, _ in joined] == [(51, "candidate"), (52, "done")]
    assert joined[0][2]["text"] == text
    store.kept[generation]["status"] = "interrupted"
    assert names(hear(later, generation))[-1] == "failed"


def test_the_context_is_shown_without_writing(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("She came to Marl.")
    entry = {
        "id": "e1",
        "kind": "place",
        "name": "Marl",
        "aliases": [],
        "not": [],
        "text": "a town of salt",
        "always": False,
    }
    store.entry_list = [entry | {"enabled": True, "priority": 0, "proposed": False, "extra": {}}]
    desk = desks(store, scripted(tiny_llama, SENTENCE))
    with desk.turn("default"):
        pass
    context = desk.context("s", {"mode": "continue"})
    lore = next(part for part in context["parts"] if part["name"] == "lore: Marl")
    assert (lore["why"], lore["text"], lore["dropped"]) == ("name: Marl", "a town of salt", False)
    assert not store.kept


def test_two_models_stay_in_memory(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    desk = desks(MemoryStore("One."), scripted(tiny_llama, SENTENCE))
    for name in ("a", "b", "a", "c"):
        with desk.turn(name):
            pass
    assert desk.loaded() == ["c", "a"]
    assert desk.status("a") == {"name": "a", "loaded": True, "loading": False}
    desk.load("b")
    deadline = time.monotonic() + 5
    while not desk.status("b")["loaded"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert desk.loaded() == ["b", "c"]


@pytest.mark.parametrize(("action", "script", "doubt"), [
    ("shorten", "Here is the passage:\n\nThe seal swam on.", None), ("expand", "The seal swam on.", "too short"),
])  # fmt: skip
def test_a_rewriting_is_cleaned_and_checked(
    tiny_llama: Path, desks: Callable[..., Desk], action: str, script: str, doubt: str | None
) -> None:
    text = "One. The seal swam on and on through the cold water of the bay. Two."
    store = MemoryStore(text)
    desk = desks(store, scripted(tiny_llama, script))
    generation = desk.start("s", {"mode": "rewrite", "action": action, "at": 5, "end": len(text) - 5})
    events = hear(desk, generation)
    assert names(events)[-1] == "done"
    assert said(events).startswith("The seal swam on.")
    extra = store.generation(generation)["candidates"][0]["extra"]
    assert (doubt is None) == ("doubt" not in extra)
    assert [part["name"] for part in desk.context("s", {"mode": "rewrite", "at": 5, "end": 9})["parts"]] == [
        "task",
        "selection",
    ]


def test_threads_end_with_the_desk(tiny_llama: Path) -> None:
    desk = Desk(MemoryStore("One."), scripted(tiny_llama, SENTENCE * 100, pause=0.01))
    desk.start("s", {"words": 300})
    desk.start("s", {"words": 300})
    time.sleep(0.1)
    desk.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("generation")]
