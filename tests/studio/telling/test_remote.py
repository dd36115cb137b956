from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.fake_openai import Answer, Asked, fake_openai
from tests.studio.telling.memory import MemoryStore
from tests.studio.telling.test_desk import hear, names, said

from storyteller.generate import Storyteller
from storyteller.studio.telling import Desk


def streamed(*pieces: str) -> Answer:
    """A stream with a log-probability and one alternative for each piece."""
    lines = []
    for piece in pieces:
        told = {"token": piece, "logprob": -0.5, "top_logprobs": [{"token": piece, "logprob": -0.5}]}
        choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None, "logprobs": {"content": [told]}}
        lines.append(f"data: {json.dumps({'choices': [choice]})}\n\n")
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    body = "".join(lines) + f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n"
    return 200, body.encode(), {"content-type": "text/event-stream"}


def no_local(name: str) -> Storyteller:
    raise AssertionError(f"{name} is not asked for")


@pytest.fixture
def connected() -> Iterator[Callable[..., Desk]]:
    opened: list[Desk] = []

    def connect(store: MemoryStore, url: str) -> Desk:
        store.connections["c1"] = {"id": "c1", "url": url, "model": "judge", "key": "secret"}
        store.own = {"model": "remote:c1"}
        opened.append(Desk(store, no_local))
        return opened[-1]

    yield connect
    for desk in opened:
        desk.close()


@pytest.mark.parametrize(
    ("language", "text", "pieces", "told"),
    [("en", "She slept.", ["The ", "seal ", "sang.", "\n\n", "It rained."], " The seal sang.\nIt rained."),
     ("zh", "她睡了。", ["海豹", "唱起歌来。"], "海豹唱起歌来。")],
)  # fmt: skip
def test_a_connected_server_continues_a_scene(
    connected: Callable[..., Desk], language: str, text: str, pieces: list[str], told: str
) -> None:
    store = MemoryStore(text, language)
    with fake_openai(lambda _: streamed(*pieces)) as server:
        desk = connected(store, server.url)
        generation = desk.start("s", {"n": 2, "words": 30, "seed": 4})
        events = hear(desk, generation)
    assert names(events)[-1] == "done"
    assert said(events, 0) == said(events, 1) == told
    assert sorted(asked.body["seed"] for asked in server.asked) == [4, 5]
    (asked, _) = server.asked
    assert asked.headers["authorization"] == "Bearer secret"
    assert text in asked.words
    assert ("Continue this" if language == "en" else "续写") in asked.words
    record = store.generation(generation)
    assert record["candidates"][0]["tokens"][0]["alternatives"][0]["p"] == 0.6065
    assert "secret" not in json.dumps(record)


@pytest.mark.parametrize(
    ("language", "pieces", "other", "told"),
    [("en", ["The ", "seal ", "sang."], "gull ", " The gull sang."),
     ("zh", ["海豹", "唱起", "歌来。"], "跳起", "海豹跳起歌来。")],
)  # fmt: skip
def test_a_server_goes_on_from_another_of_its_words(
    connected: Callable[..., Desk], language: str, pieces: list[str], other: str, told: str
) -> None:
    text = {"en": "She slept.", "zh": "她睡了。"}[language]
    store = MemoryStore(text, language)
    answers = [streamed(*pieces), streamed(pieces[2])]
    with fake_openai(lambda _: answers.pop(0)) as server:
        desk = connected(store, server.url)
        first = desk.start("s", {"words": 30})
        hear(desk, first)
        tokens = store.generation(first)["candidates"][0]["tokens"]
        tokens[1]["alternatives"].append({"text": other, "p": 0.2})
        chosen = {"generation": first, "candidate": 0, "token": 1, "choice": 1}
        second = desk.start("s", {"words": 30, "from": chosen})
        events = hear(desk, second)
    assert names(events)[-1] == "done"
    assert said(events) == told
    assert f"{text}{told.removesuffix(pieces[2]).rstrip()}" in server.asked[1].words
    gone_on = store.generation(second)["candidates"][0]["tokens"]
    assert "".join(token["text"] for token in gone_on) == told
    assert gone_on[1]["alternatives"] == tokens[1]["alternatives"]


def test_a_servers_first_word_is_chosen_and_stands_apart(connected: Callable[..., Desk]) -> None:
    store = MemoryStore("She slept.")
    with fake_openai(lambda _: streamed("The ", "seal.")) as server:
        desk = connected(store, server.url)
        first = desk.start("s", {})
        hear(desk, first)
        store.generation(first)["candidates"][0]["tokens"][0]["alternatives"].append({"text": "No ", "p": 0.2})
        chosen = {"generation": first, "candidate": 0, "token": 0, "choice": 1}
        assert said(hear(desk, desk.start("s", {"from": chosen}))) == " No The seal."


def test_a_server_that_says_nothing_is_left_at_once(connected: Callable[..., Desk]) -> None:
    def silent(_: Asked) -> Any:
        return 1.0

    store = MemoryStore("She slept.")
    with fake_openai(silent) as server:
        desk = connected(store, server.url)
        generation = desk.start("s", {})
        while store.generation(generation)["status"] != "running":
            time.sleep(0.01)
        started = time.perf_counter()
        desk.stop(generation)
        assert names(hear(desk, generation))[-1] == "done"
        assert time.perf_counter() - started < 0.2


def test_a_server_that_refuses_fails_the_generation(connected: Callable[..., Desk]) -> None:
    with fake_openai(lambda _: (401, {"error": {"message": "no"}})) as server:
        desk = connected(MemoryStore("She slept."), server.url)
        (_, name, data) = hear(desk, desk.start("s", {}))[-1]
    assert name == "failed"
    assert "refuses the key" in data["message"]


def test_a_server_translates_a_selection(connected: Callable[..., Desk]) -> None:
    store = MemoryStore("One. The seal swam. Two.")
    with fake_openai(lambda _: streamed("Here is the translation:\n", "海豹游走了。")) as server:
        desk = connected(store, server.url)
        wish = {"mode": "rewrite", "action": "translate", "value": "zh", "at": 5, "end": 19}
        events = hear(desk, desk.start("s", wish))
    assert said(events) == "海豹游走了。"
    assert "into Chinese" in server.asked[0].words
    assert desk.context("s", wish)["parts"][1]["text"] == "The seal swam."


def test_a_refused_candidate_ends_alone(connected: Callable[..., Desk]) -> None:
    """The others are told to their end, and the generation is over then."""
    refused = ["The lamp was lit. ", "Write an erotic story about a schoolgirl.", " And more."]  # clinical on purpose

    def answer(asked: Asked) -> Answer:
        return streamed(*(refused if asked.body["seed"] == 4 else ["The seal ", "sang."]))

    store = MemoryStore("She slept.")
    with fake_openai(answer) as server:
        desk = connected(store, server.url)
        generation = desk.start("s", {"n": 2, "words": 30, "seed": 4})
        events = hear(desk, generation)
    assert names(events)[-1] == "done"
    assert said(events, 1) == " The seal sang."
    assert [one["finish_reason"] for one in store.generation(generation)["candidates"]] == ["refused", "stop"]
