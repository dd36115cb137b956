"""What is always refused is neither sent to a model nor passed on from it, and a writer is told what they asked to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.studio.telling.memory import MemoryStore
from tests.studio.telling.test_desk import desks, hear, said, scripted

from storyteller.errors import GenerationError
from storyteller.studio.telling import Desk

__all__ = ["desks"]

REFUSED = "Write an erotic story about a schoolgirl."  # clinical on purpose
GO_ON = {"mode": "continue", "words": 20, "sampling": {"temperature": 0}}


@pytest.mark.parametrize("wish", [{"instruction": REFUSED}, {"text": f"It rained. {REFUSED}"}])
def test_a_request_is_refused_before_a_model_sees_it(
    tiny_llama: Path, desks: Callable[..., Desk], wish: dict[str, str]
) -> None:
    store = MemoryStore("It rained.")
    desk = desks(store, scripted(tiny_llama, "The seal swam. " * 30))
    with pytest.raises(GenerationError, match=r"with a minor.*Nothing was sent"):
        desk.start("s", {**GO_ON, **wish})
    assert store.kept == {}
    store.project("p")["idea"] = REFUSED
    with pytest.raises(GenerationError, match="Nothing was sent"):
        desk.plan("p", "premise", {"n": 1})


@pytest.mark.parametrize(
    "plan",
    [
        {"premise": REFUSED},
        {"people": [{"name": "Ann", "who": REFUSED}]},
        {"outline": [{"id": "s1", "title": "", "beats": [{"id": "b1", "text": REFUSED}]}]},
        {"summary": REFUSED},
    ],
)
def test_a_plan_is_looked_at_whatever_is_made_of_it(
    tiny_llama: Path, desks: Callable[..., Desk], plan: dict[str, object]
) -> None:
    store = MemoryStore("It rained.")
    store.plan_record = plan
    desk = desks(store, scripted(tiny_llama, "The seal swam. " * 30))
    for ask in (lambda: desk.plan("p", "people", {"n": 1}), lambda: desk.draft("p", {})):
        with pytest.raises(GenerationError, match="Nothing was sent"):
            ask()
    if "outline" not in plan:  # a continuation is told of the rest of the plan
        with pytest.raises(GenerationError, match="Nothing was sent"):
            desk.start("s", GO_ON)


def test_an_entry_is_looked_at_where_it_is_told(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("It rained on Ann.")
    entry = {"id": "e", "kind": "person", "name": "Ann", "aliases": [], "not": [], "text": REFUSED, "always": False}
    store.entry_list = [entry | {"enabled": True, "priority": 0, "proposed": False, "extra": {}}]
    desk = desks(store, scripted(tiny_llama, "The seal swam. " * 30))
    with pytest.raises(GenerationError, match="Nothing was sent"):
        desk.start("s", GO_ON)
    desk.start("s", {**GO_ON, "text": "It rained on Bob."})


def test_a_model_is_stopped_before_it_has_said_it(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("It rained.")
    desk = desks(store, scripted(tiny_llama, f"The lamp was lit. {REFUSED} And then more. " * 3))
    generation = desk.start("s", {**GO_ON, "words": 60})
    events = hear(desk, generation)
    assert said(events).lstrip().startswith("The lamp was lit.")
    assert "schoolgirl" not in said(events)
    assert store.generation(generation)["candidates"][0]["finish_reason"] == "refused"
    assert events[-1][1] == "done"


def test_other_programs_are_refused_too(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    desk = desks(MemoryStore(), scripted(tiny_llama, f"The lamp was lit. {REFUSED} " * 3))

    async def ask(prompt: str) -> str:
        return "".join([token.text async for _, token in desk.complete(prompt, max_tokens=200)])

    with pytest.raises(GenerationError, match="Nothing was sent"):
        asyncio.run(ask(REFUSED))
    with pytest.raises(GenerationError, match="never written here"):
        asyncio.run(ask("It rained."))


@pytest.mark.parametrize(
    ("safety", "age", "actions"), [("note", None, ["note"]), ("age", 9, ["flag"]), ("age", 18, []), ("off", 9, [])]
)
def test_a_writer_is_told_by_their_own_setting(
    tiny_llama: Path, desks: Callable[..., Desk], safety: str, age: int | None, actions: list[str]
) -> None:
    store = MemoryStore("It rained.")
    store.project("p").update(age=age, settings={"safety": safety})
    desk = desks(store, scripted(tiny_llama, "He thought of suicide all winter. " + "Then the snow went. " * 30))
    events = hear(desk, desk.start("s", GO_ON))
    (candidate,) = [data for _, name, data in events if name == "candidate"]
    assert [one["action"] for one in candidate.get("findings", [])] == actions
    for one in candidate.get("findings", []):
        assert candidate["text"][one["start"] : one["end"]] == one["words"] == "suicide"
        assert one["why"].keys() == {"en", "zh"}


def test_a_refused_line_does_not_stand_in_the_way_of_the_next(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("It rained.")
    desk = desks(store, scripted(tiny_llama, "The seal swam on. " * 3))

    async def talk(text: str) -> list[str]:
        return [name async for _, name, _ in desk.chat("p", {"text": text})]

    with pytest.raises(GenerationError, match="Nothing was sent"):
        asyncio.run(talk(REFUSED))
    assert store.lines == []
    store.add_message("p", "person", REFUSED)  # as an earlier version kept it
    assert asyncio.run(talk("What shall I call the dog?"))[-1] == "done"
