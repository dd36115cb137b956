"""Related passages from further back: only where the writer wants them, and only what a window does not reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storyteller.craft.context import build_context
from storyteller.studio.store import Store, Writer
from storyteller.studio.telling.asking import EARLIER, read_ask
from storyteller.tokens.wording import request_text

CASES = {
    "en": (
        "The cobbler hid the silver key under the third stair.",
        "Nothing much happened on that day, and the rain went on. ",
        "He went down to look for the silver key.",
    ),
    "zh": ("鞋匠把银钥匙藏在第三级台阶下面。", "那一天什么也没有发生，雨还在下。", "他下楼去找那把银钥匙。"),
}


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    store = Store(f"sqlite:///{tmp_path / 'studio.db'}")
    yield store.writer("")
    store.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_passage_from_far_back_is_seen(writer: Writer, language: str) -> None:
    far, filler, now = CASES[language]
    project = writer.create_project({"title": "Keys", "language": language, "form": "story"})
    first = next(item for item in project["tree"] if item["kind"] == "scene")
    chapter = first["parent"]
    long = filler * (EARLIER // len(filler) + 1)
    for title, text in (("The Stair", far), ("Rain", long), ("Rain again", long)):
        writer.create_item(project["id"], "scene", title, parent=chapter, text=text)
    last = writer.create_item(project["id"], "scene", "Now", parent=chapter, text=now)["id"]
    assert read_ask(writer, last, {"mode": "continue"}).view.related == ()
    writer.update_project(project["id"], {"settings": {"related": True}})
    ask = read_ask(writer, last, {"mode": "continue"})
    assert [(one.source, one.text) for one in ask.view.related] == [("The Stair", far)]
    context = build_context(ask.view, ask.wish, lambda text: len(text) // 3 + 1, 900)
    (part,) = [part for part in context.parts if part.name == "related"]
    assert not part.dropped
    assert part.why.startswith("The Stair: ")
    assert far in request_text(context.request)
    assert context.tokens <= context.limit
    tight = build_context(ask.view, ask.wish, lambda text: len(text) // 3 + 1, 30)
    assert [part.dropped for part in tight.parts if part.name == "related"] == [True]
