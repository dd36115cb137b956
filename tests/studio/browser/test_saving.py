"""What is on the screen is what is on disk: steps while the model writes, changes out of order, texts that come late."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.studio.browser.pages import serving, watched
from tests.studio.browser.test_pages import start, written
from tests.studio.browser.test_writing import ENDS, MIDDLES, PASTE, saved, text, typed

from storyteller.studio.store import Store


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A studio whose model takes a tenth of a second a word."""
    with serving(tmp_path_factory.mktemp("slow"), pace=0.1) as started:
        yield started


def sent(page: Any, method: str, path: str, body: Any) -> None:
    """Send something to the API from the page."""
    send = """([method, path, body]) => fetch(path, {
        method, body: JSON.stringify(body), headers: {'content-type': 'application/json'}
    }).then(answer => answer.ok || Promise.reject(answer.status))"""
    page.evaluate(send, [method, f"/api/{path}", body])


def held(page: Any, pattern: str) -> Callable[[], None]:
    """Hold the answer to the next request of a pattern back, until what is returned is called."""
    waiting: list[Any] = []

    def hold(route: Any) -> None:
        waiting.append((route, route.fetch()))

    def release() -> None:
        while not waiting:
            page.wait_for_timeout(10)
        route, answer = waiting.pop()
        route.fulfill(response=answer)

    page.route(pattern, hold, times=1)
    return release


def answered(page: Any, path: str, event: str, data: Any) -> None:
    """Answer requests to the API with a stream of one event."""
    body = f"id: 1\nevent: {event}\ndata: {json.dumps(data)}\n\n"
    page.route(f"**/api/{path}", lambda route: route.fulfill(body=body, headers={"content-type": "text/event-stream"}))


def two_lamps(page: Any, address: str) -> None:
    """A scene with a moment that has a name, and the history beside it."""
    start(page, address)
    typed(page, "The first lamp.")
    sent(page, "PUT", f"nodes/{saved(page)['head']}/label", {"label": "one lamp"})
    typed(page, " The second lamp.")
    saved(page)
    page.click("#tab-history")
    page.wait_for_selector(".branches li:has-text('one lamp')")


STEPS = pytest.mark.parametrize(
    ("path", "clicks"),
    [
        ("restore", [".moment:has(.chip) .moment-head", ".look >> text=Restore"]),
        ("head", [".branches li:has-text('one lamp') >> text=Go there"]),
    ],
)


@STEPS
def test_a_step_to_another_text_stops_the_model_first(page: Any, slow: str, path: str, clicks: list[str]) -> None:
    two_lamps(page, slow)
    page.click(".ProseMirror")
    page.keyboard.press("Control+End")
    page.keyboard.press("Control+Enter")
    written(page, MIDDLES["en"])
    release = held(page, f"**/api/scenes/*/{path}")
    for click in clicks:
        page.click(click)
    page.wait_for_timeout(500)  # the model would write five words
    release()
    page.wait_for_function("() => document.querySelector('.ProseMirror').innerText.trim() === 'The first lamp.'")
    page.wait_for_timeout(1500)  # what was queued would be sent by now
    assert saved(page)["text"] == text(page).strip() == "The first lamp."
    page.keyboard.press("Tab")
    typed(page, " And on.")
    assert saved(page)["text"] == "The first lamp. And on."


def test_nothing_is_pasted_into_a_text_that_is_about_to_go(page: Any, address: str) -> None:
    two_lamps(page, address)
    release = held(page, "**/api/scenes/*/head")
    page.click(".branches li:has-text('one lamp') >> text=Go there")
    page.wait_for_selector(".ProseMirror[contenteditable=false]")
    page.evaluate(PASTE, "Pasted.")
    release()
    page.wait_for_selector(".ProseMirror[contenteditable=true]")
    assert saved(page)["text"] == text(page).strip() == "The first lamp."


def test_words_put_in_during_a_step_are_the_writers_to_decide_on(browser: Any, address: str) -> None:
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 860})
    page = context.new_page()
    two_lamps(page, address)
    page.reload()
    written(page, "The second lamp.")
    page.click("[aria-label=Talk]")
    page.fill(".say textarea", "Why did you come?")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Put into the manuscript")
    page.click(".ProseMirror")
    page.keyboard.press("Control+End")
    release = held(page, "**/api/scenes/*/undo")
    page.keyboard.press("Control+z")
    page.click("text=Put into the manuscript")
    release()
    page.click(".conflict >> text=Go on with this one")
    page.wait_for_selector(".conflict", state="detached")
    assert saved(page)["text"] == text(page).strip() == "The first lamp. The second lamp.I came for the key."
    context.close()


def test_undo_goes_on_beyond_a_visit_that_began_while_the_words_were_fresh(page: Any, address: str) -> None:
    start(page, address)
    typed(page, "Once upon")
    saved(page)
    page.reload()
    written(page, "Once upon")
    typed(page, " a time")
    saved(page)
    page.keyboard.press("Control+z")
    page.wait_for_function("() => document.querySelector('.ProseMirror').innerText.trim() === 'Once upon'")
    page.keyboard.press("Control+z")
    page.wait_for_function("() => document.querySelector('.ProseMirror').innerText.trim() === ''")
    assert page.evaluate("document.activeElement === document.querySelector('.ProseMirror')")
    page.keyboard.type("Anew.")
    assert saved(page)["text"] == "Anew."


def test_a_late_answer_does_not_open_its_project_again(page: Any, address: str) -> None:
    other = start(page, address)
    typed(page, "The other one.")
    saved(page)
    start(page, address)
    page.click("#tab-people")
    release = held(page, "**/api/projects/*")
    page.get_by_label("Memory").fill("A memory.")
    page.wait_for_timeout(1000)
    page.evaluate("other => { location.hash = `#/p/${other}` }", other)
    written(page, "The other one.")
    release()
    page.evaluate("() => new Promise((done) => setTimeout(done, 200))")  # the page has taken it in
    assert text(page).strip() == "The other one."


def test_ten_thousand_changes_and_one_are_saved(page: Any, address: str) -> None:
    start(page, address)
    typed(page, "A lamp x")
    saved(page)
    page.evaluate(
        """() => {
            const { view } = document.querySelector('.ProseMirror').editor;
            for (let time = 0; time <= 10000; time++) {
                const end = view.state.doc.content.size - 1;
                view.dispatch(view.state.tr.insertText(String(time % 10), end - 1, end));
            }
        }"""
    )
    written(page, "A lamp 0")
    page.wait_for_timeout(1000)
    assert saved(page)["text"] == "A lamp 0"


def test_half_a_character_holds_nothing_up(page: Any, address: str) -> None:
    start(page, address)
    page.click(".ProseMirror")
    page.evaluate(f"({PASTE})('灯' + String.fromCharCode(0xd83d) + '。')")
    assert saved(page)["text"] == "灯\ufffd。"
    typed(page, " 好。")
    assert saved(page)["text"] == "灯\ufffd。 好。"


def test_two_quick_changes_of_the_settings_are_both_kept(page: Any, address: str) -> None:
    boxes = [page.locator(f"label:has-text('{words}') input") for words in ("Suggest", "Colour")]
    page.goto(f"{address}/#/settings")
    page.wait_for_load_state("networkidle")
    was = [box.is_checked() for box in boxes]
    first: list[Any] = []
    second: list[str] = []

    def order(route: Any) -> None:
        if route.request.method != "PUT":
            route.continue_()
        elif not first:
            first.append(route)
        else:
            second.append(route.request.post_data)
            route.continue_()

    page.route("**/api/settings", order)
    for box in boxes:
        box.click()
    page.wait_for_timeout(500)
    assert not second, "the second waits until the first is written"
    first[0].continue_()
    page.wait_for_load_state("networkidle")
    while not second:
        page.wait_for_timeout(10)
    page.wait_for_load_state("networkidle")
    page.unroute("**/api/settings")
    assert [box.is_checked() for box in boxes] == [not one for one in was]
    page.reload()
    page.wait_for_load_state("networkidle")
    assert [box.is_checked() for box in boxes] == [not one for one in was]
    for box in boxes:
        box.click()
    page.wait_for_load_state("networkidle")


def test_what_was_finished_while_the_page_was_away_is_there(page: Any, slow: str) -> None:
    start(page, slow)
    typed(page, "It was late.")
    saved(page)
    page.keyboard.press("Control+Enter")
    written(page, MIDDLES["en"])
    address = page.url
    _, generation = json.loads(page.evaluate("sessionStorage.getItem('storyteller.running')"))
    page.goto("about:blank")
    while httpx.get(f"{slow}/api/generations/{generation}").json()["status"] != "done":
        page.wait_for_timeout(100)
    page.goto(address)
    written(page, ENDS["en"])
    assert text(page).count(MIDDLES["en"]) == 1
    assert saved(page)["text"].startswith("It was late.")
    assert saved(page)["text"].endswith(ENDS["en"])


def test_what_a_server_that_is_back_has_kept_is_offered_at_once(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path) as address, watched(browser) as page:
        start(page, address)
        typed(page, "It was late.")
        scene = saved(page)
        writer = Store(f"sqlite:///{tmp_path / 'studio.db'}").writer("")
        kept = writer.create_generation(scene["id"], "continue", 12, scene["head"], model="default")["id"]
        writer.append(kept, [(0, " The seal swam away.", [])])
        writer.update_generation(kept, {"status": "interrupted"})
        failure = {"message": "the server was stopped while this was written", "kept": True}
        answered(page, "scenes/*/generate", "started", {"generation": kept, "model": "default"})
        answered(page, "generations/*/events*", "failed", failure)
        page.keyboard.press("Control+Enter")
        page.click("text=Put them in", timeout=10_000)
        written(page, "It was late. The seal swam away.")
        assert saved(page)["text"] == "It was late. The seal swam away."
