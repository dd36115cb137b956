"""The two numbers on demand: loaded once, read one after another, given up when nobody waits, and the model let go."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.studio.web import open_page

from storyteller.errors import GenerationError, ModelError
from storyteller.evaluate.passage import Number, Passage
from storyteller.studio.errors import StudioError
from storyteller.studio.numbers import Numbers

TEXT = "The keeper went down to the sea in the morning and the seal was there with her lamp. " * 4


class Reader:
    """Reads as slowly as it is told to; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.given_up = 0
        self.go = threading.Event()
        self.go.set()

    def tell(self, text: str, language: str, going_on: Callable[[], bool]) -> Passage:
        self.asked.append(text)
        self.go.wait(10)
        if not going_on():
            self.given_up += 1
            raise GenerationError("nobody waits for these numbers any more.")
        half = len(text) // 2
        return Passage(Number(63.5), Number(None, "kind"), 68, ((text[:half], -4.2), (text[half:], 7.0)))


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def numbers(reader: Reader) -> Iterator[Numbers]:
    made = Numbers(lambda: reader)  # type: ignore[arg-type,return-value]
    yield made
    reader.go.set()
    made.close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[TestClient]:
    with open_page(tmp_path) as client:
        yield client


async def stays() -> bool:
    return False


def ask(page: TestClient, text: str = TEXT, language: str = "en") -> Any:
    return page.post("/api/numbers", json={"text": text, "language": language})


def test_a_passage_is_answered_with_its_sentences(page: TestClient, numbers: Numbers, reader: Reader) -> None:
    page.app.state.studio.numbers = numbers  # type: ignore[attr-defined]
    told = ask(page).json()
    assert told["likeness"] == {"value": 63.5, "reason": ""}
    assert told["coherence"] == {"value": None, "reason": "kind"}
    assert told["words"] == 68
    assert "".join(one["text"] for one in told["sentences"]) == TEXT
    assert [one["likeness"] for one in told["sentences"]] == [-4.2, 7.0]
    assert ask(page, TEXT + "More.").status_code == 200
    assert reader.asked == [TEXT, TEXT + "More."]


@pytest.mark.parametrize(("text", "language", "reason"), [("Too short.", "en", "short"), (TEXT, "zh", "language")])
def test_where_nothing_can_be_said_no_model_is_loaded(
    page: TestClient, numbers: Numbers, text: str, language: str, reason: str
) -> None:
    page.app.state.studio.numbers = numbers  # type: ignore[attr-defined]
    told = ask(page, text, language).json()
    assert told["likeness"] == told["coherence"] == {"value": None, "reason": reason}
    assert told["sentences"] == []
    assert not numbers.loaded


def test_without_its_model_it_says_what_to_do(page: TestClient) -> None:
    def missing() -> Any:
        raise ModelError("the numbers are read with a model that is not here. Fetch it.")

    page.app.state.studio.numbers = Numbers(missing)  # type: ignore[attr-defined]
    for _ in range(2):  # and it is looked for again
        answer = ask(page)
        assert answer.status_code == 400
        assert answer.json()["error"]["next"] == "Fetch it."
    assert ask(page, "x" * 20_001).status_code == 422
    assert page.post("/api/numbers", json={"text": TEXT, "language": "fr"}).status_code == 422


def test_what_nobody_waits_for_is_given_up(numbers: Numbers, reader: Reader) -> None:
    async def left() -> bool:
        return True

    async def two() -> None:
        reader.go.clear()
        first = asyncio.create_task(numbers.of(TEXT, "en", left))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(numbers.of(TEXT + "Second.", "en", left))
        for task in (first, second):
            with pytest.raises(StudioError, match="nobody waits"):
                await task
        reader.go.set()
        assert (await numbers.of(TEXT + "Third.", "en", stays)).words == 68

    asyncio.run(two())
    assert reader.given_up == 1
    assert reader.asked == [TEXT, TEXT + "Third."], "what had not begun is never read"


def test_a_model_that_nobody_asks_is_let_go(reader: Reader) -> None:
    loads = []

    def load() -> Any:
        loads.append(1)
        return reader

    numbers = Numbers(load, idle=0.1)
    assert asyncio.run(numbers.of(TEXT, "en", stays)).likeness.value == 63.5
    assert numbers.loaded
    deadline = time.monotonic() + 5
    while numbers.loaded and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not numbers.loaded
    asyncio.run(numbers.of(TEXT, "en", stays))
    assert len(loads) == 2
    numbers.close()
    assert not numbers.loaded
