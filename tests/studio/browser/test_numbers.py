"""The two numbers in the Quality panel: shown when asked for, by sentence, and given up when the text changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.studio.browser.pages import AXE, serving, watched
from tests.studio.browser.test_pages import LANGUAGES, WORDS, start, written

from storyteller.errors import GenerationError
from storyteller.evaluate.passage import Number, Passage
from storyteller.studio.numbers import Numbers

FIRST = "The keeper went down to the sea in the morning and the seal was there with her lamp. "
SECOND = (
    "He asked her name twice, and the third time she told him that it was not hers to give away to any man on land."
)
SHOWN = {
    "en": {"ask": "Read the passage before the cursor", "value": "64 of 100", "none": "unlike all that", "parts": "Sentence by",
           "changed": "has changed since", "short": "Too short"},
    "zh": {"ask": "读光标前的一段", "value": "64（满 100）", "none": "都不相像", "parts": "逐句看",
           "changed": "此后文字又改过", "short": "太短"},
}  # fmt: skip


class Reader:
    """Reads when it may."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.begun, self.given_up = threading.Event(), threading.Event()

    def tell(self, text: str, language: str, going_on: Callable[[], bool]) -> Passage:
        self.begun.set()
        assert self.go.wait(20)
        if not going_on():
            self.given_up.set()
            raise GenerationError("nobody waits for these numbers any more.")
        first, second = text[: len(FIRST)], text[len(FIRST) :]
        return Passage(Number(63.7), Number(None, "kind"), 40, ((first, -4.2), (second, 7.0)))


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, reader: Reader) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("numbers"), numbers=Numbers(lambda: reader)) as started:  # type: ignore[arg-type,return-value]
        yield started


@LANGUAGES
def test_the_numbers_come_when_asked_for_and_go_with_the_text(
    browser: Any, address: str, reader: Reader, tongue: str, tmp_path: Path
) -> None:
    said = SHOWN[tongue]
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with watched(browser, locale=WORDS[tongue]["locale"]) as page:
        start(page, address, tongue)
        page.evaluate(
            """async () => {
                const id = location.hash.split('/')[2];
                await fetch(`/api/projects/${id}`, {method: 'PATCH', headers: {'content-type': 'application/json'},
                    body: JSON.stringify({language: 'en'})});
            }"""
        )
        page.reload()
        page.click(".ProseMirror")
        page.click("#tab-quality")
        page.click(f"text={said['ask']}")
        page.wait_for_selector(f".numbers :text('{said['short']}')")
        page.click(".ProseMirror")
        page.keyboard.insert_text(FIRST + SECOND)
        written(page, "on land.")
        page.click(f"text={said['ask']}")
        page.wait_for_selector(f".numbers :text('{said['value']}')")
        page.wait_for_selector(f".numbers :text('{said['none']}')")
        page.click(f".numbers summary:has-text('{said['parts']}')")
        assert page.locator(".sentences .figure").all_inner_texts() == ["-4", "+7"]
        page.click(".sentences button >> nth=1")
        assert page.evaluate("getSelection().toString()") == SECOND
        assert axe.run(page, options=AXE).response["violations"] == []
        # What is read of a text that changes is given up, and what was read before it is marked.
        reader.go.clear()
        reader.begun.clear()
        reader.given_up.clear()
        page.click(".ProseMirror")
        page.keyboard.press("Control+End")
        page.click(".numbers .button")
        assert reader.begun.wait(10)
        page.click(".ProseMirror")
        page.keyboard.insert_text(" And then.")
        page.wait_for_selector(f".numbers :text('{said['changed']}')")
        page.wait_for_selector(".numbers .button")
        page.wait_for_timeout(600)  # the server looks whether the page still waits
        reader.go.set()
        assert reader.given_up.wait(10)
