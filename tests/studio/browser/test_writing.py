"""What a writer does in the manuscript, in a real browser: stop, retry, choose, rewrite, lose the server, open it twice."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from tests.studio.browser.pages import serving, watched
from tests.studio.browser.scripted_desk import ScriptedDesk
from tests.studio.browser.test_pages import LANGUAGES, WORDS, asked, start, written

from storyteller.studio.server import listen
from storyteller.studio.telling.refusing import Watch

MIDDLES = {"en": "keeper put down", "zh": "塔人放下了灯"}
READY = ".tool.lead:not([aria-label='Stop'], [aria-label='停止'])"
ENDS = {"en": "went on with its work.", "zh": "大海照旧忙它的。"}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A studio whose model takes a tenth of a second a word."""
    with serving(tmp_path_factory.mktemp("slow"), pace=0.1) as started:
        yield started


def text(page: Any) -> str:
    """The manuscript as it is on the screen."""
    return str(page.evaluate("document.querySelector('.ProseMirror').innerText"))


def saved(page: Any, tongue: str = "en") -> dict[str, Any]:
    """Wait until all is on disk; the scene as the server has it."""
    page.wait_for_selector(f".status :text('{ {'en': 'Saved', 'zh': '已保存'}[tongue] }')")
    project = asked(page, f"projects/{page.url.split('#/p/')[1].split('/')[0]}")
    scene = next(item for item in project["tree"] if item["kind"] == "scene")
    return dict(asked(page, f"scenes/{scene['id']}"))


def numbered(page: Any, but: str = "") -> str:
    """Wait until a version with another number than `but` is whole; its number, as `(7)`."""
    has = """but => {
        const found = /\\(\\d+\\)/.exec(document.querySelector('.ProseMirror').innerText)?.[0];
        return found !== but && !document.querySelector('.tool.lead:is([aria-label=Stop], [aria-label=停止])') && found;
    }"""
    return str(page.wait_for_function(has, arg=but).json_value())


def typed(page: Any, words: str) -> None:
    """Type at the end of the manuscript."""
    page.click(".ProseMirror")
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(words)


@LANGUAGES
def test_escape_stops_at_once_and_the_words_stay(browser: Any, slow: str, tongue: str) -> None:
    with watched(browser, locale=WORDS[tongue]["locale"]) as page:
        start(page, slow, tongue, how="begin")
        written(page, WORDS[tongue]["said"][:4])
        began = time.monotonic()
        page.keyboard.press("Escape")
        page.wait_for_selector(f".tool.lead[aria-label='{ {'en': 'Write', 'zh': '续写'}[tongue] }']")
        assert time.monotonic() - began < 5  # the whole text would take six seconds and more
        stopped = text(page)
        assert ENDS[tongue] not in stopped
        page.wait_for_timeout(500)
        assert text(page) == stopped
        scene = saved(page, tongue)
    assert scene["text"].strip() == stopped.strip()
    assert {span[1] for span in scene["provenance"]} == {"model"}


@LANGUAGES
def test_another_version_is_made_and_all_stay_within_reach(browser: Any, address: str, tongue: str) -> None:
    with watched(browser, locale=WORDS[tongue]["locale"]) as page:
        start(page, address, tongue, how="begin")
        written(page, ENDS[tongue])
        page.wait_for_selector(READY)
        page.keyboard.press("Control+Enter")
        first = numbered(page)
        page.keyboard.press("Alt+R")
        second = numbered(page, first)
        page.keyboard.press("Alt+ArrowLeft")
        assert numbered(page, second) == first
        page.wait_for_selector(f".remark:text('{ {'en': 'Version 1 of 2', 'zh': '第 1 版，共 2 版'}[tongue] }')")
        page.keyboard.press("Alt+ArrowRight")
        assert numbered(page, first) == second
        page.keyboard.press("Control+z")
        assert numbered(page, second) == first
        scene = saved(page, tongue)
    assert first in scene["text"]
    assert second not in scene["text"]


@pytest.mark.parametrize("where", ["Control+Home", "Control+End"])
def test_what_is_typed_while_another_version_streams_is_undone_by_itself(browser: Any, slow: str, where: str) -> None:
    """The version, the words typed meanwhile, and the passage that stood there before: each is a step of its own."""
    with watched(browser) as page:
        start(page, slow)
        typed(page, "The lamp was out.")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector(".tool.lead[aria-label=Write]", timeout=30_000)
        begun = text(page)
        page.keyboard.press("Alt+r")
        page.wait_for_function("(was) => document.querySelector('.ProseMirror').innerText !== was", arg=begun)
        page.keyboard.press(where)
        page.keyboard.insert_text("!")
        page.wait_for_selector(".tool.lead[aria-label=Write]", timeout=30_000)
        whole = text(page)
        assert "!" in whole
        seen = []
        for _ in range(4):
            page.keyboard.press("Control+z")
            page.wait_for_timeout(400)
            seen.append(text(page).strip())
        marked = f"!{begun}" if where == "Control+Home" else f"{begun}!"
        assert seen == [marked, begun, "The lamp was out.", ""]


def test_versions_are_undone_one_by_one(page: Any, address: str) -> None:
    start(page, address)
    typed(page, "It was late.")
    versions = [text(page)]
    for key in ("Control+Enter", "Alt+r", "Alt+r"):
        page.keyboard.press(key)
        numbered(page, (re.findall(r"\(\d+\)", versions[-1]) or [""])[0])
        versions.append(text(page))
    for version in reversed(versions[:-1]):
        page.keyboard.press("Control+z")
        page.wait_for_function("text => document.querySelector('.ProseMirror').innerText === text", arg=version)
    for version in versions[1:]:
        page.keyboard.press("Control+y")
        page.wait_for_function("text => document.querySelector('.ProseMirror').innerText === text", arg=version)


def test_a_retry_is_noted_with_the_version_that_stood_there(page: Any, address: str) -> None:
    def pairs() -> list[tuple[str, str]]:
        lines = page.evaluate("fetch('/api/edits/export?kind=dpo').then(answer => answer.text())").splitlines()
        return [(pair["rejected"], pair["chosen"]) for pair in map(json.loads, lines)]

    start(page, address)
    page.evaluate("fetch('/api/edits', {method: 'DELETE'})")
    typed(page, "It was late.")
    page.keyboard.press("Control+Shift+Enter")
    page.wait_for_function("() => document.querySelectorAll('.deck-card').length === 3")
    page.wait_for_function("() => !document.querySelector('.deck-card[aria-busy=true]')")
    page.keyboard.press("3")
    third = numbered(page)
    taken = saved(page)["text"].removeprefix("It was late.")
    page.reload()  # what the server tells of the passage does not say which candidate it is
    written(page, third)
    page.keyboard.press("Control+End")
    with page.expect_request(lambda sent: "events/choice" in sent.url and '"accept"' in (sent.post_data or "")):
        page.keyboard.press("Alt+r")
    numbered(page, third)
    again = saved(page)["text"].removeprefix("It was late.")
    page.wait_for_function("fetch('/api/edits/summary').then(answer => answer.json()).then(({total}) => total === 3)")
    assert (taken, again) in pairs()
    assert {rejected for rejected, chosen in pairs() if chosen == again} == {taken}
    page.keyboard.press("Control+z")
    written(page, third)
    saved(page)
    assert (taken, again) not in pairs(), "the writer went back to it"


def test_several_versions_stand_side_by_side_and_one_is_taken_by_its_digit(page: Any, address: str) -> None:
    start(page, address)
    typed(page, "It was late.")
    page.keyboard.press("Control+Shift+Enter")
    page.wait_for_function("() => document.querySelectorAll('.deck-card').length === 3")
    page.wait_for_function("() => !document.querySelector('.deck-card[aria-busy=true]')")
    cards = [card.inner_text() for card in page.query_selector_all(".deck-card .deck-text")]
    assert len(set(cards)) == 3
    page.keyboard.press("2")
    page.wait_for_selector(".deck", state="detached")
    written(page, cards[1].split("\n")[0][:20])
    assert text(page).startswith("It was late.")
    scene = saved(page)
    assert scene["text"].endswith(cards[1].strip())
    assert [span[1] for span in scene["provenance"]] == ["person", "model"]


@LANGUAGES
def test_a_selection_is_rewritten_on_approval_only(browser: Any, address: str, tongue: str) -> None:
    own = {"en": "The night was dark and very dark.", "zh": "夜很黑，非常黑。"}[tongue]
    take, keep = {"en": ("Take the new", "Keep the old"), "zh": ("用新的", "留着原文")}[tongue]
    shorten = {"en": "Shorten", "zh": "缩写"}[tongue]
    with watched(browser, locale=WORDS[tongue]["locale"]) as page:
        start(page, address, tongue)
        typed(page, own)
        page.keyboard.press("Control+a")
        page.keyboard.press("Control+j")
        page.click(f".rewrite-bar >> text={shorten}")
        page.wait_for_selector(".deck-card.old")
        page.wait_for_function("() => !document.querySelector('.deck-card[aria-busy=true]')")
        assert text(page).strip() == own, "nothing is changed before it is taken"
        page.click(f".deck >> text={keep}")
        page.wait_for_selector(".deck", state="detached")
        assert text(page).strip() == own
        page.keyboard.press("Control+a")
        page.keyboard.press("Control+j")
        page.click(f".rewrite-bar >> text={shorten}")
        page.wait_for_function("() => !document.querySelector('.deck-card[aria-busy=true]')")
        page.click(f".deck >> text={take}")
        page.wait_for_function("own => !document.querySelector('.ProseMirror').innerText.includes(own)", arg=own)
        written(page, WORDS[tongue]["said"][:3])
        page.keyboard.press("Control+z")
        written(page, own)


def over(page: Any, word: str) -> tuple[float, float]:
    """Where a word of the manuscript is on the screen."""
    script = """word => {
        const walker = document.createTreeWalker(document.querySelector('.ProseMirror'), NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const at = walker.currentNode.data.indexOf(word);
            if (at < 0) continue;
            const range = document.createRange();
            range.setStart(walker.currentNode, at);
            range.setEnd(walker.currentNode, at + word.length);
            const box = range.getBoundingClientRect();
            return [box.x + box.width / 3, box.y + box.height / 2];  // a click there puts the cursor before a 字
        }
    }"""
    x, y = page.evaluate(script, word)
    return x, y


def gone_on(page: Any, word: str, other: str, told: str) -> None:
    """Choose another word in the place of one that the model wrote, and wait until `told` stands there."""
    page.keyboard.press("Alt+t")
    page.mouse.move(*over(page, word))
    page.wait_for_selector(".token-table td:has-text('sea 80%')")  # which member of an ensemble wanted it
    page.mouse.click(*over(page, word))
    page.click(f".token-table button:has-text('{other}')")
    written(page, told.strip())
    page.wait_for_selector(READY)
    page.keyboard.press("Alt+t")


@LANGUAGES
def test_a_word_that_was_possible_is_gone_on_from(browser: Any, address: str, tongue: str) -> None:
    lamp, gull, moon, told = {
        "en": ("lamp", "gull", "moon", " The keeper put down his gull The keeper put down his lamp"),
        "zh": ("放", "海鸥", "月亮", "守塔人海鸥守塔人放下了"),
    }[tongue]
    with watched(browser, locale=WORDS[tongue]["locale"]) as page:
        start(page, address, tongue, how="begin")
        written(page, ENDS[tongue])
        page.wait_for_selector(READY)
        first = saved(page, tongue)["text"]
        gone_on(page, lamp, gull, told)
        scene = saved(page, tongue)
        assert scene["text"] == told, "the words before the choice stand once"
        assert {tuple(span[1:]) for span in scene["provenance"]} == {tuple(scene["provenance"][0][1:])}
        page.keyboard.press("Alt+ArrowLeft")
        written(page, ENDS[tongue])
        assert text(page).strip() == first.strip(), "versions take each other's place whole"
        page.keyboard.press("Alt+ArrowRight")
        written(page, told.strip())
        gone_on(page, gull, moon, told.replace(gull, moon))
        assert saved(page, tongue)["text"] == told.replace(gull, moon)
        for _ in range(4):
            page.keyboard.press("Control+z")
        written(page, ENDS[tongue])
        assert saved(page, tongue)["text"] == first


def test_what_the_writer_put_before_the_word_stays(page: Any, address: str) -> None:
    start(page, address, how="begin")
    written(page, ENDS["en"])
    page.wait_for_selector(READY)
    page.mouse.dblclick(*over(page, "keeper"))
    page.keyboard.insert_text("old man")
    page.mouse.dblclick(*over(page, "down"))
    page.keyboard.press("ArrowRight")
    page.keyboard.insert_text(" gently")
    written(page, "The old man put down gently his lamp")
    changed = saved(page)["text"]
    told = " The old man put down gently his gull The keeper put down his lamp"
    gone_on(page, "lamp", "gull", told)
    scene = saved(page)
    assert scene["text"] == told
    assert [span[1] for span in scene["provenance"]] == ["model", "edited"] * 2 + ["model"]
    assert len({span[2] for span in scene["provenance"]}) == 1, "it is one passage"
    page.keyboard.press("Control+z")
    written(page, ENDS["en"])
    assert saved(page)["text"] == changed


def test_grey_words_are_taken_by_tab_and_vanish_by_typing(page: Any, address: str) -> None:
    page.goto(f"{address}/#/settings")
    page.wait_for_load_state("networkidle")  # the settings are read
    box = page.locator("label:has-text('Suggest') input[type=checkbox]")
    if not box.is_checked():
        box.click()
    page.wait_for_selector("label:has-text('Suggest') input:checked")
    page.wait_for_load_state("networkidle")
    start(page, address)
    typed(page, "It was late.")
    page.wait_for_selector(".ghost")
    grey = page.inner_text(".ghost")
    page.keyboard.press("Tab")
    written(page, "It was late." + grey.rstrip())
    typed(page, " And")
    page.wait_for_selector(".ghost")
    page.keyboard.type(" so")
    page.wait_for_selector(".ghost", state="detached")
    page.goto(f"{address}/#/settings")
    page.wait_for_load_state("networkidle")
    page.locator("label:has-text('Suggest') input[type=checkbox]").click()
    page.wait_for_selector("label:has-text('Suggest') input:not(:checked)")
    page.wait_for_load_state("networkidle")


@LANGUAGES
def test_what_the_content_check_finds_stands_under_the_text(browser: Any, tmp_path: Path, tongue: str) -> None:
    choice = {"en": "What is not for the reader's age", "zh": "只说不适合读者年龄的"}[tongue]
    why, title, dismiss = {
        "en": ("Not for a reader of 9.", "Found by the content check", "Dismiss"),
        "zh": ("不适合9岁的读者。", "内容检查的结果", "关闭"),
    }[tongue]

    class Warned(ScriptedDesk):
        extra: ClassVar = {"findings": Watch("age", 9).findings("He killed himself. 他自杀了。")}

    with serving(tmp_path, Warned) as address, watched(browser, locale=WORDS[tongue]["locale"]) as page:
        page.goto(f"{address}/#/settings")
        page.wait_for_load_state("networkidle")
        with page.expect_response(lambda response: response.request.method == "PUT"):
            page.click(f"label:has-text('{choice.split(chr(39))[0]}')")
        assert asked(page, "settings")["safety"] == "age"
        start(page, address, tongue)
        typed(page, WORDS[tongue]["idea"])
        page.keyboard.press("Control+Enter")
        found = page.wait_for_selector(f".findings[aria-label='{title}']").inner_text()
        assert why in found
        assert "自杀" in found
        page.click(f".findings >> text={dismiss}")
        page.wait_for_selector(".findings", state="detached")
        page.keyboard.press("Control+Shift+Enter")
        page.wait_for_function("() => document.querySelectorAll('.deck .findings').length === 3")
        page.keyboard.press("2")
        assert why in page.wait_for_selector(f".findings[aria-label='{title}']").inner_text()


def test_what_is_found_in_a_passage_that_was_stopped_is_told(browser: Any, tmp_path: Path) -> None:
    class Slow(ScriptedDesk):
        extra: ClassVar = {"findings": Watch("age", 9).findings("He killed himself.")}

        def stop(self, generation: str) -> None:
            super().stop(generation)
            self.pace = 0
            while self.store.writer("").generation(generation)["status"] != "stopped":
                time.sleep(0.01)

    with serving(tmp_path, lambda store: Slow(store, 0.3)) as address, watched(browser) as page:
        start(page, address)
        typed(page, WORDS["en"]["idea"])
        page.keyboard.press("Control+Enter")
        written(page, WORDS["en"]["said"][:4])
        page.keyboard.press("Escape")
        assert "Not for a reader of 9." in page.wait_for_selector(".findings").inner_text()


def test_a_click_before_the_settings_are_read_stands(page: Any, address: str) -> None:
    box = "label:has-text('Suggest') input"
    slow: list[tuple[Any, Any]] = []  # the first answer, read before the click, arrives after it
    page.route("**/api/settings", lambda route: route.continue_() if slow else slow.append((route, route.fetch())))
    page.goto(f"{address}/#/settings")
    page.wait_for_selector(box)
    was = page.locator(box).is_checked()
    with page.expect_response(lambda response: response.request.method == "PUT"):
        page.locator(box).click()
    with page.expect_response("**/api/settings"):
        slow[0][0].fulfill(response=slow[0][1])
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")  # the page has taken it in
    page.unroute("**/api/settings")
    assert page.locator(box).is_checked() is not was
    page.reload()
    page.wait_for_load_state("networkidle")
    assert page.locator(box).is_checked() is not was
    page.locator(box).click()
    page.wait_for_load_state("networkidle")


PASTE = """text => {
    const data = new DataTransfer();
    data.setData('text/plain', text);
    data.setData('text/html', '<b>' + text.slice(0, 99) + '</b>');
    const event = new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true});
    document.querySelector('.ProseMirror').dispatchEvent(event);
}"""


def test_what_is_pasted_is_plain_text_of_the_writers_own(page: Any, address: str) -> None:
    start(page, address)
    typed(page, "Before. ")
    page.evaluate(PASTE, "One <b>line</b>.\r\nAnother. 雨。")
    written(page, "Another. 雨。")
    scene = saved(page)
    assert scene["text"] == "Before. One <b>line</b>.\nAnother. 雨。"
    assert {span[1] for span in scene["provenance"]} == {"person"}


@pytest.mark.slow  # the browser lays out a thousand pages
def test_five_million_characters_are_pasted_and_kept(page: Any, address: str) -> None:
    page.set_default_timeout(300_000)
    start(page, address)
    page.click(".ProseMirror")
    line = "The keeper put down his lamp and the sea went on with its work, as it does. " * 8
    page.evaluate(PASTE, "\n".join([line] * (5_000_000 // len(line) + 1)))
    page.wait_for_selector(".status :text('Saved')")
    scene = saved(page)
    assert len(scene["text"]) > 5_000_000
    page.keyboard.insert_text("And one word more.")
    assert saved(page)["text"].endswith("And one word more.")


def test_a_second_window_overwrites_nothing(browser: Any, address: str) -> None:
    with watched(browser) as first, watched(browser, answered=409) as second:
        start(first, address)
        typed(first, "The lamp.")
        saved(first)
        second.goto(first.url)
        written(second, "The lamp.")
        typed(first, " Mine.")
        saved(first)
        typed(second, " Theirs.")
        second.wait_for_selector(".conflict")
        assert {"The lamp. Mine.", "The lamp. Theirs."} <= {
            " ".join(one.inner_text().split()) for one in second.query_selector_all(".conflict .deck-text")
        }
        second.click(".conflict >> text=Go on with this one")
        second.wait_for_selector(".conflict", state="detached")
        assert text(second).strip() == "The lamp. Theirs."
        scene = saved(second)
        assert scene["text"] == "The lamp. Theirs."
        branches = asked(second, f"scenes/{scene['id']}/branches")
        assert any(not one["is_head"] for one in branches), "what was not chosen stays under a name"


def test_a_full_disk_leaves_the_words_to_be_downloaded(browser: Any, address: str, tmp_path: Path) -> None:
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 860})
    page = context.new_page()
    start(page, address)
    full = '{"error": {"code": "disk_full", "message": "the disk is full.", "next": "Make room."}}'
    # The page tries again by itself, too: there is room only once the writer asked, or the button might be gone before.
    asked: list[bool] = []
    page.expose_function("asked", lambda: asked.append(True))
    page.evaluate("addEventListener('click', ({ target }) => target.textContent === 'Try now' && asked(), true)")
    page.route(
        "**/api/scenes/*/splices",
        lambda route: (
            route.continue_() if asked else route.fulfill(status=507, body=full, content_type="application/json")
        ),
    )
    typed(page, "Kept on the screen.")
    page.wait_for_selector("text=The disk is full. Your words are on this screen only.")
    with page.expect_download() as waiting:
        page.click("text=Download what is on the screen")
    waiting.value.save_as(tmp_path / "rescued.txt")
    assert (tmp_path / "rescued.txt").read_text("utf-8").strip() == "Kept on the screen."
    page.click("text=Try now")
    assert saved(page)["text"] == "Kept on the screen."
    assert asked
    context.close()


@LANGUAGES
def test_an_epub_goes_out_and_comes_back(browser: Any, address: str, tongue: str, tmp_path: Path) -> None:
    own = {"en": "Rain on the lamp room.", "zh": "雨打在灯室的玻璃上。"}[tongue]
    label = {"en": "Export", "zh": "导出"}[tongue]
    with watched(browser, locale=WORDS[tongue]["locale"]) as page:
        start(page, address, tongue)
        typed(page, own)
        saved(page, tongue)
        page.click(f"[aria-label={label}]")
        with page.expect_download() as waiting:
            page.click(".menu-list >> text=EPUB")
        kept = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(kept)
        assert kept.read_bytes()[:2] == b"PK"
        page.goto(f"{address}/#/")
        page.set_input_files("input[type=file]", str(kept))
        written(page, own)


@LANGUAGES
def test_the_server_is_killed_in_mid_stream_and_everything_is_found_again(
    browser: Any, tmp_path: Path, tongue: str
) -> None:
    """Words typed before are in the manuscript, those of the model are offered, and the page goes on by itself."""
    with listen(port=0) as listener:
        port = listener.getsockname()[1]
    own = {"en": "The stairs were wet.", "zh": "楼梯是湿的。"}[tongue]
    put = {"en": "Put them in", "zh": "放进正文"}[tongue]
    server = _served(tmp_path, port)
    context = browser.new_context(locale=WORDS[tongue]["locale"], viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.set_default_timeout(60_000)
    try:
        start(page, f"http://127.0.0.1:{port}", tongue)
        typed(page, own)
        saved(page, tongue)
        page.keyboard.press("Control+Enter")
        written(page, MIDDLES[tongue])
        page.wait_for_timeout(1500)  # one second of words may be lost, no more
        server.kill()
        server.wait()
        typed(page, " +" if tongue == "en" else "＋")
        server = _served(tmp_path, port)
        page.wait_for_selector(f".status :text('{ {'en': 'Saved', 'zh': '已保存'}[tongue] }')")
        page.reload()
        written(page, own)
        if button := page.query_selector(f"text={put}"):
            button.click()
        written(page, MIDDLES[tongue])
        assert saved(page, tongue)["text"].startswith(own)
    finally:
        server.kill()
        server.wait()
        context.close()


def _served(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.studio.browser.serve", str(folder), str(port), "0.15"]
    server = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    for _ in range(600):
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/api/status", timeout=2)
            return server
        time.sleep(0.1)
    server.kill()
    raise AssertionError("the studio does not start")
