"""Talking: a chat fits the model's window, whatever was said in it, and other programs are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.studio.telling.memory import MemoryStore
from tests.studio.telling.test_desk import desks, scripted

from storyteller.studio.telling import Desk
from storyteller.studio.telling.talking import ANSWER, Turns, chat_turns, reads
from storyteller.tokens import StoryTokenizer

__all__ = ["desks"]

WINDOW = 1024
EN = "The keeper walked down to the harbour and looked at the grey water. "
ZH = "守塔的老人每天黄昏都要沿着石阶走上塔顶，把灯点亮。"


def line(text: str, role: str = "person") -> dict[str, Any]:
    return {"role": role, "text": text, "character": None}


@pytest.fixture
def fitted(tiny_llama: Path) -> Callable[..., Turns]:
    count, room = reads(StoryTokenizer.load(tiny_llama), WINDOW)

    def turns(project: dict[str, Any], scene: str, messages: list[dict[str, Any]]) -> Turns:
        made = chat_turns({"idea": "", "memory": ""} | project, scene, messages, None, count, room)
        assert count(made) <= room == WINDOW - ANSWER
        return made

    return turns


@pytest.mark.parametrize(("language", "sentence"), [("en", EN), ("zh", ZH)])
def test_the_oldest_lines_give_way_first_and_then_the_scene(
    fitted: Callable[..., Turns], language: str, sentence: str
) -> None:
    project = {"language": language, "idea": sentence, "memory": sentence}
    scene = f"{sentence}1 {sentence}2"
    messages = [line(f"{number} {sentence}", ("person", "storyteller")[number % 2]) for number in range(7)]
    whole = fitted(project, scene, messages[-1:])
    assert scene in whole[0][1]
    turns = fitted(project, scene, [*messages[:-1], line(f"6 {2 * sentence}")])
    assert 1 < len(turns) < 8
    assert turns[0] == whole[0]
    assert turns[-1] == ("user", f"6 {2 * sentence}")
    (system, *_) = fitted(project, sentence * 99 + "The end.", messages[-1:])
    assert system[1].endswith("The end.")
    assert sentence.strip() in system[1]  # the memory stands


@pytest.mark.parametrize("sentence", [EN, ZH])
def test_a_long_line_is_cut_in_its_middle(fitted: Callable[..., Turns], sentence: str) -> None:
    turns = fitted(
        {"language": "en"}, "", [line(f"Look: {sentence * 300} What now?"), line("Hm.", "storyteller"), line("So?")]
    )
    assert turns[-2:] == [("assistant", "Hm."), ("user", "So?")]
    (_, last) = fitted({"language": "en"}, sentence * 30, [line(f"Look: {sentence * 300} What now?")])
    assert last[1].startswith("Look: ")
    assert last[1].endswith(" What now?")
    fitted({"language": "en", "memory": "x" * 90_000, "idea": "y" * 90_000}, sentence * 30, [line("z" * 90_000)])


def test_one_long_line_ends_no_chat(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    store = MemoryStore("She slept.")
    desk = desks(store, scripted(tiny_llama, "The seal swam on. " * 3))
    with desk.turn("default"):
        pass

    async def talk(text: str) -> list[str]:
        return [name async for _, name, _ in desk.chat("p", {"text": text})]

    for text in ("word " * 2500, "Hi.", "Hi again."):
        assert asyncio.run(talk(text))[-1] == "done"
    assert [one["role"] for one in store.lines] == ["person", "storyteller"] * 3


def test_other_programs_are_answered_up_to_their_stop(tiny_llama: Path, desks: Callable[..., Desk]) -> None:
    desk = desks(MemoryStore("One."), scripted(tiny_llama, "The seal swam on. " * 3))

    async def answer(**options: Any) -> list[tuple[int, str]]:
        asked = [{"role": "user", "content": "She slept."}]
        return [
            (number, token.text)
            async for number, token in desk.complete(asked, **options)
            if not isinstance(token, str)
        ]

    text = "".join(piece for _, piece in asyncio.run(answer(stop=["swam"], sampling={"temperature": 0.0})))
    assert text == "The seal "
    both = asyncio.run(answer(max_tokens=4, n=2, seed=1))
    assert {number for number, _ in both} == {0, 1}
    assert asyncio.run(desk.count("She slept.")) >= 3
