"""The page in a real browser: a rater with a keyboard, a phone, a screen in the dark, and 中文."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.blind.pages import serving, session_over

from storyteller.evaluate.blind.judgements import read_judgements, standing

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install -e .[dev])")

#: The page holds this attribute while an answer is under way.
READY = "body:not([aria-busy])"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if found is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("no chromium: install Debian's chromium, or run `playwright install chromium`")
        opened = started.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1200, "height": 800}, locale="en-GB")
    opened = context.new_page()
    opened.set_default_timeout(60_000)  # a busy machine is no fault of the page
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("console", lambda line: opened.faults.append(line.text) if line.type == "error" else None)
    yield opened
    context.close()
    assert opened.faults == []


def press(page: Any, key: str, count: str | None = None) -> None:
    """Press a key and wait until the page is ready again, and until it counts what it should."""
    page.keyboard.press(key)
    if count:
        page.wait_for_selector(f"#count:text-is('{count}')")
    page.wait_for_selector(READY)


def begin(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(READY)
    page.click("#begin")
    page.wait_for_selector("#judging:not([hidden])")


def test_a_rater_judges_reloads_undoes_finishes_and_sees_the_result(page: Any, tmp_path: Path) -> None:
    out = tmp_path / "blind.jsonl"
    with serving(session_over(out, prompts=5, repeat=0.2)) as address:
        begin(page, address)
        assert page.inner_text("#count") == "0 of 6"
        first = page.inner_text("#text-a")
        for done, key in enumerate(("1", "ArrowRight", "0"), 1):
            press(page, key, f"{done} of 6")
        assert page.inner_text("#status") == "Pair 4 of 6."
        assert [j.choice for j in read_judgements(out)] == ["left", "right", "tie"]

        page.reload()
        page.wait_for_selector(READY)
        assert page.inner_text("#count") == "3 of 6"
        for done in (2, 1, 0):
            press(page, "u", f"{done} of 6")
        assert page.inner_text("#text-a") == first
        assert "taken back" in page.inner_text("#status")
        assert standing(read_judgements(out)) == []

        press(page, "s", "1 of 6")
        press(page, "r")
        page.keyboard.type("1 2 0 s u: no key counts here")
        press(page, "Escape")
        press(page, "2", "2 of 6")
        for done in range(3, 7):
            assert "secret" not in page.content()
            press(page, "ArrowLeft", f"{done} of 6")
        page.wait_for_selector("#end:not([hidden])")
        assert "secret" not in page.content()
        page.click("#reveal")
        page.wait_for_selector("#result:not([hidden])")
        assert "secret-one" in page.inner_text("#result")
        assert "not measured" in page.inner_text("#result")
    kept = standing(read_judgements(out))
    assert [j.choice for j in kept] == ["skip", "right", "left", "left", "left", "left"]
    assert kept[1].reason == "1 2 0 s u: no key counts here"
    assert 0 < kept[1].seconds < 60
    assert (tmp_path / "blind.md").exists()


def test_keys_that_are_not_answers(page: Any, tmp_path: Path) -> None:
    """Keys of an input method, shortcuts, held keys and keys on the start page judge nothing."""
    out = tmp_path / "blind.jsonl"
    with serving(session_over(out)) as address:
        page.goto(address)
        page.wait_for_selector(READY)
        press(page, "1")
        page.click("#begin")
        for event in (
            "{key: '1', isComposing: true}",
            "{key: '1', keyCode: 229}",
            "{key: '1', repeat: true}",
            "{key: '1', ctrlKey: true}",
        ):
            page.evaluate(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{bubbles: true, ...{event}}}))")
        press(page, "x")
        assert page.inner_text("#count") == "0 of 4"
        assert read_judgements(out) == []
        press(page, "1", "1 of 4")
        assert len(read_judgements(out)) == 1


def test_the_page_speaks_the_language_of_the_texts_and_the_other_on_request(page: Any, tmp_path: Path) -> None:
    out = tmp_path / "blind.jsonl"
    with serving(session_over(out, language="zh")) as address:
        begin(page, address)
        assert page.get_attribute("html", "lang") == "zh-Hans"
        assert page.inner_text("#ask") == "哪一篇更好？"
        assert page.inner_text("[data-choice=left] span") == "甲更好"
        assert "一只<b>海豹</b>" in page.inner_text("#prompt")  # as text, not as markup
        assert page.get_attribute("#text-a", "lang") == "zh-Hans"
        page.click("#language")
        assert page.inner_text("#ask") == "Which text is better?"
        assert page.get_attribute("#text-a", "lang") == "zh-Hans"
        page.reload()
        page.wait_for_selector(READY)
        assert page.inner_text("#begin") == "Begin"


def test_every_word_is_in_both_languages(page: Any, tmp_path: Path) -> None:
    with serving(session_over(tmp_path / "b.jsonl")) as address:
        page.goto(address)
        page.wait_for_selector(READY)
        english, chinese = page.evaluate("[Object.keys(WORDS.en), Object.keys(WORDS.zh)]")
        assert english == chinese
        used = page.evaluate("[...document.querySelectorAll('[data-t]')].map(node => node.dataset.t)")
        assert set(used) <= set(english)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_lights(browser: Any, tmp_path: Path, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    with serving(session_over(tmp_path / "b.jsonl")) as address:
        begin(page, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        buttons = page.locator("#judging button:visible").all()
        assert len(buttons) == 5
        for button in buttons:
            box = button.bounding_box()
            assert box["height"] >= 44
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
        left, right = (page.locator(name).bounding_box() for name in ("#text-a", "#text-b"))
        assert right["y"] > left["y"]
        assert page.evaluate(CONTRAST) >= 4.5
    context.close()


def test_a_lost_server_is_said(page: Any, tmp_path: Path) -> None:
    with serving(session_over(tmp_path / "b.jsonl")) as address:
        begin(page, address)
    press(page, "1")
    assert "Your answers so far are saved" in page.inner_text("[role=alert]")
    page.faults.clear()  # the browser's own line about the refused connection


#: The lowest contrast of a text with what is painted behind it (WCAG 2.2, 1.4.3).
CONTRAST = """(() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = css => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = css;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const behind = node => {
    const painted = colour(getComputedStyle(node).backgroundColor);
    return painted[3] === 255 ? painted : behind(node.parentElement);
  };
  const texts = "#judging p, #judging h2, #judging button:enabled span, #judging label, #count";
  const ratios = [...document.querySelectorAll(texts)].map(node => {
    const [a, b] = [light(colour(getComputedStyle(node).color)), light(behind(node))];
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  });
  return ratios.length > 10 ? Math.min(...ratios) : 0;
})()"""
