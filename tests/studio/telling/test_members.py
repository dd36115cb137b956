"""The members of an ensemble at the desk: who wanted a token, and whose weights hold while what is written."""

from __future__ import annotations

import asyncio
import math
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.adapters import tiny_ensemble
from tests.studio.telling.memory import MemoryStore
from tests.studio.telling.test_desk import Events, desks, hear

from storyteller.generate import Storyteller
from storyteller.generate.mixture import Mixer
from storyteller.studio.telling import Desk

__all__ = ["desks"]

FILE = (0.5, 0.3, 0.2)


@pytest.fixture(scope="module")
def ensemble(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ensemble(tiny_llama, tmp_path_factory.mktemp("ensemble"), FILE)


def opened(ensemble: Path) -> Callable[[str], Storyteller]:
    return lambda name: Storyteller.load(str(ensemble), "torch")


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """A mixture that stops after some tokens: it says so by the first event and waits for the second."""
    reached, go, saying, said = threading.Event(), threading.Event(), Mixer.saying, list[None]()

    def paused(mixer: Mixer) -> list[float]:
        said.append(None)
        if len(said) == 6:
            reached.set()
            go.wait(30)
        return saying(mixer)

    monkeypatch.setattr(Mixer, "saying", paused)
    yield reached, go
    go.set()


def wanted(events: Events) -> list[dict[str, float]]:
    """Who wanted each token."""
    return [data["token"]["members"] for _, name, data in events if name == "text" and data.get("token")]


def weights(desk: Desk, model: str = "default") -> tuple[float, ...]:
    loaded = desk.tellers.peek(model)
    assert loaded is not None
    return loaded.teller.engine.weights  # type: ignore[attr-defined, no-any-return]


def test_each_token_says_who_wanted_it(ensemble: Path, desks: Callable[..., Desk]) -> None:
    desk = desks(MemoryStore("She slept."), opened(ensemble))
    wish = {"mode": "continue", "words": 4, "n": 2, "members": {"member-0": 1, "member-2": 3}}
    found = wanted(hear(desk, desk.start("s", wish)))
    assert found
    for members in found:
        assert members["member-1"] == 0
        assert sum(members.values()) == pytest.approx(1, abs=0.01)
    (_, _, failed) = hear(desk, desk.start("s", wish | {"members": {"nobody": 1}}))[-1]
    assert "no member 'nobody'" in failed["message"]


def test_every_turn_begins_with_the_weights_of_the_file_or_of_its_project(
    ensemble: Path, desks: Callable[..., Desk]
) -> None:
    store = MemoryStore("She slept.")
    store.plan_record = {"outline": [{"id": "o", "title": "", "beats": [{"id": "b", "text": "It swims.", "words": 5}]}]}
    project, desk = store.project("p"), desks(store, opened(ensemble))

    def write(**wish: Any) -> tuple[float, ...]:
        hear(desk, desk.start("s", {"words": 2, **wish}))
        return weights(desk, str(ensemble) if "model" in project.get("settings", {}) else "default")

    async def complete() -> None:
        async for _ in desk.complete("She slept.", max_tokens=2):
            pass

    async def draft() -> None:
        async for _ in desk.draft("p", {}):
            pass

    assert write(members={"member-2": 1}) == (0, 0, 1)
    assert write() == FILE
    project["settings"] = {"members": {"member-1": 2}}
    assert write() == FILE  # left behind when the writer chose another model, which has no such member
    project["settings"]["model"] = model = str(ensemble)
    assert write() == (0, 1, 0)
    asyncio.run(complete())
    assert weights(desk) == FILE  # what other programs ask through /v1 is no project's
    asyncio.run(draft())
    assert weights(desk, model) == (0, 1, 0)
    project["settings"]["model"] = "another"
    assert write(model=model) == FILE


def test_weights_move_while_a_project_writes_and_no_other_project_moves_them(
    ensemble: Path,
    desks: Callable[..., Desk],
    pause: tuple[threading.Event, threading.Event],
) -> None:
    desk = desks(MemoryStore("She slept."), opened(ensemble))
    desk.set_weights("p", "default", {"member-1": 1})  # nothing is loaded yet
    generation = desk.start("s", {"words": 8, "members": {"member-0": 1}})
    reached, go = pause
    assert reached.wait(30)
    desk.set_weights("another", "default", {"member-2": 1})
    assert weights(desk) == (1, 0, 0)
    desk.set_weights("p", "default", {"member-1": 1})
    go.set()
    found = wanted(hear(desk, generation))
    assert (found[0]["member-0"], found[-1]["member-1"]) == (1, 1)
    assert all(members["member-2"] == 0 for members in found)


def test_who_wanted_the_words_that_are_kept_is_known_after_another_one_is_chosen(
    ensemble: Path, desks: Callable[..., Desk]
) -> None:
    store = MemoryStore("The keeper and the seal.")
    desk = desks(store, opened(ensemble))
    first = desk.start("s", {"words": 10, "seed": 3})
    before = wanted(hear(desk, first))
    origin = {"generation": first, "candidate": 0, "token": 4, "choice": 2}
    again = desk.start("s", {"words": 10, "from": origin})
    found = wanted(hear(desk, again))
    tokens, written = (store.generation(id)["candidates"][0]["tokens"] for id in (first, again))
    assert found[:4] == before[:4]
    assert found[4] == tokens[4]["alternatives"][2]["members"]
    assert written[:4] == tokens[:4]
    assert written[4]["alternatives"] == tokens[4]["alternatives"]


def test_a_member_that_is_left_out_is_named(ensemble: Path, tmp_path: Path, desks: Callable[..., Desk]) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(ensemble, tmp_path / "damaged")
    file = tmp_path / "damaged" / "member-1" / "adapter_model.safetensors"
    save_file({name: tensor * math.nan for name, tensor in load_file(file).items()}, file)
    store = MemoryStore("She slept.")
    desk = desks(store, opened(tmp_path / "damaged"))
    generation = desk.start("s", {"words": 4})
    (ended,) = [data for _, name, data in hear(desk, generation) if name == "candidate"]
    assert ended["left_out"] == store.generation(generation)["candidates"][0]["extra"]["left_out"] == ["member-1"]

    async def beats() -> list[list[str]]:
        return [data["left_out"] async for _, name, data in desk.draft("p", {"seed": 1}) if name == "candidate"]

    store.plan_record = {"outline": [{"id": "o", "title": "", "beats": [{"id": "b", "text": "It swims.", "words": 5}]}]}
    assert asyncio.run(beats()) == [["member-1"]]
