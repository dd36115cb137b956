"""Planning at the desk: what a kept plan may look like, and what a writer is told of proposals and drafts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.studio.telling.memory import MemoryStore
from tests.studio.telling.test_desk import desks, scripted, tiny

from storyteller.studio.telling import Desk
from storyteller.studio.telling.asking import read_ask

__all__ = ["desks"]

BEATS = [{"id": "s1", "title": "One", "beats": [{"id": "b1", "text": "The seal swims.", "words": 20}]}]


def ask(desk: Desk, part: str, **wish: Any) -> list[dict[str, Any]]:
    async def all_of_it() -> list[dict[str, Any]]:
        events = desk.draft("p", wish) if part == "draft" else desk.plan("p", part, {"n": 2, **wish})
        return [data for _, name, data in [event async for event in events] if name in ("plan", "candidate")]

    return asyncio.run(asyncio.wait_for(all_of_it(), 60))


def test_who_asks_again_is_proposed_something_else(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    desk = desks(MemoryStore(), tiny(tiny_llama))
    asked = [[one["value"] for one in ask(desk, "people", **wish)] for wish in ({}, {}, {"seed": 4}, {"seed": 4})]
    assert asked[0] != asked[1]
    assert asked[2] == asked[3]


def test_a_person_without_a_name_is_nobody_yet(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore()
    store.plan_record = {
        "premise": "A seal talks.",
        "people": [{"who": "a keeper"}, {"name": " ", "who": ""}, {"name": "Mara", "who": "a keeper"}],
        "chosen": 2,
    }
    assert [person.name for person in read_ask(store, "s", {}).view.people] == ["Mara"]
    desk = desks(store, scripted(tiny_llama, " went to the sea. " * 40))
    (outline, *_) = ask(desk, "outline", seed=1)
    said = " ".join(beat["text"] for section in outline["value"] for beat in section["beats"])
    assert "Mara" in said
    assert " ," not in said


@pytest.mark.parametrize(("language", "doubt"), [("en", "it goes round in a loop"), ("zh", "原地打转")])
def test_a_doubt_is_said_in_words(tiny_llama: Path, desks: Callable[..., Desk], language: str, doubt: str) -> None:
    store = MemoryStore("", language)
    store.plan_record = {"premise": "A seal.", "outline": BEATS}
    sentence = "The seal swam on. " if language == "en" else "海豹游着。"
    desk = desks(store, scripted(tiny_llama, sentence * 60))
    told = ask(desk, "draft", seed=1, sampling={"temperature": 0})
    assert told[0]["doubt"].startswith(doubt)


@pytest.mark.parametrize(("language", "word"), [("en", "dismembered"), ("zh", "肢解")])
def test_a_draft_is_looked_at_by_the_writers_setting(
    tiny_llama: Path, desks: Callable[..., Desk], language: str, word: str
) -> None:
    store = MemoryStore("", language)
    store.plan_record = {"premise": "A seal.", "outline": BEATS}
    store.own, store.project("p")["age"] = {"safety": "age"}, 9
    sentence = f"The seal was {word}. " if language == "en" else f"海豹被{word}了。"
    desk = desks(store, scripted(tiny_llama, sentence * 60))
    (told, *_) = ask(desk, "draft", seed=1, sampling={"temperature": 0})
    assert (told["findings"][0]["words"], told["findings"][0]["action"]) == (word, "flag")
    assert "9" in told["findings"][0]["why"][language]


def test_settings_that_were_kept_wrong_end_no_generation() -> None:
    store = MemoryStore("One.")
    store.own = {"preset": "gone", "sampling": {"temperature": "hot", "top_k": None, "min_p": 0.1}}
    settings = read_ask(store, "s", {}).settings
    assert (settings.temperature, settings.min_p) == (1.0, 0.1)
    store.own = {"sampling": 3}
    assert read_ask(store, "s", {}).settings.temperature == 1.0
