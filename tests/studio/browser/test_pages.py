"""The studio's screens in a real browser, in both languages, by keyboard, on a phone, and as axe sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.studio.browser.pages import AXE, watched

WORDS = {
    "en": {
        "locale": "en-GB",
        "idea": "A keeper finds a seal.",
        "begin": "Begin",
        "blank": "Start with an empty page",
        "said": "The keeper put down his lamp",
        "name": "Mara",
        "sentence": "Then Mara came up the stairs.",
        "other": "Then Tamara went down.",
        "count": "words",
        "not": "Never fires on",
        "test": "Which entries fire?",
    },
    "zh": {
        "locale": "zh-CN",
        "idea": "守灯塔的老人遇见一只海豹。",
        "begin": "开始",
        "blank": "从一张白纸开始",
        "said": "守塔人放下了灯",
        "name": "云长",
        "sentence": "关云长温酒斩华雄。",
        "other": "他写下了白云长期的变化。",
        "count": "字",
        "not": "遇到这些词不触发",
        "test": "哪些条目会触发？",
    },
}
LANGUAGES = pytest.mark.parametrize("tongue", ["en", "zh"])


def written(page: Any, text: str) -> None:
    """Wait until the manuscript holds a text."""
    page.wait_for_function("text => document.querySelector('.ProseMirror')?.innerText.includes(text)", arg=text)


def asked(page: Any, path: str) -> Any:
    """What the API answers to the page."""
    return page.evaluate("path => fetch(path).then(answer => answer.json())", f"/api/{path}")


def start(page: Any, address: str, tongue: str = "en", how: str = "blank") -> str:
    """Open a new project; its id."""
    page.goto(address)
    if how == "begin":
        page.fill("#idea", WORDS[tongue]["idea"])
    page.click(f"text={WORDS[tongue][how]}")
    page.wait_for_selector(".ProseMirror")
    return str(page.url.split("#/p/")[1].split("/")[0])


@LANGUAGES
def test_the_first_story_streams_from_one_box(browser: Any, address: str, tongue: str) -> None:
    words = WORDS[tongue]
    with watched(browser, locale=words["locale"]) as page:
        page.goto(address)
        page.fill("#idea", words["idea"])
        page.keyboard.press("Enter")
        written(page, words["said"])
        page.wait_for_selector(f".status :text('{words['count']}')")
        project = asked(page, f"projects/{page.url.split('#/p/')[1].split('/')[0]}")
    assert (project["language"], project["idea"]) == (tongue, words["idea"])


def test_enter_while_an_input_method_composes_begins_nothing(page: Any, address: str) -> None:
    page.goto(address)
    page.fill("#idea", "守灯塔")
    event = "new KeyboardEvent('keydown', {key: 'Enter', keyCode: 229, isComposing: true, bubbles: true})"
    page.evaluate(f"document.querySelector('#idea').dispatchEvent({event})")
    page.wait_for_timeout(300)
    assert "#/p/" not in page.url


def test_theme_plot_and_characters_are_kept(page: Any, address: str) -> None:
    page.goto(address)
    page.fill("#idea", "A seal returns.")
    page.click("summary:has-text('Theme, plot, characters')")
    page.fill("[placeholder^='What it is about underneath']", "forgiveness")
    page.fill("[placeholder^='What happens']", "A key is given back.")
    page.fill("[aria-label='Name']", "Mara")
    page.fill("[aria-label='Who they are']", "keeps the light")
    page.select_option("[aria-label='Form']", "fable")
    page.select_option("[aria-label='Reader']", "9")
    page.click("text=Plan first")
    page.wait_for_selector("#tab-plan[aria-selected='true']")
    made = page.url.split("#/p/")[1].split("/")[0]
    project = asked(page, f"projects/{made}")
    assert (project["theme"], project["plot"], project["form"], project["age"]) == (
        "forgiveness",
        "A key is given back.",
        "fable",
        9,
    )
    assert [entry["name"] for entry in asked(page, f"projects/{made}/entries")] == ["Mara"]


def test_a_plan_is_suggested_taken_changed_drafted_and_gone_back_to(page: Any, address: str) -> None:
    made = start(page, address)
    page.click("#tab-plan")
    page.click("text=Suggest premises")
    page.click(".candidate:has-text('A seal asks for a door.') >> text=Use this")
    page.wait_for_function("() => document.querySelector('[aria-label=Premise]')?.value.startsWith('A seal asks')")
    page.fill("[aria-label=Premise]", "A seal asks for two doors.")
    page.click("text=Suggest outlines")
    page.click(".candidate >> text=Use this")
    page.fill("[aria-label=Beat] >> nth=0", "The seal says nothing.")
    page.click("text=Draft the story, beat by beat")
    written(page, "Rain ran down the glass")
    page.wait_for_selector("text=The draft is done.")
    plan = asked(page, f"projects/{made}/plan")
    assert plan["premise"] == "A seal asks for two doors."
    assert [beat["text"] for part in plan["outline"] for beat in part["beats"]] == [
        "The seal says nothing.",
        "The key fits.",
    ]
    scene = next(item for item in asked(page, f"projects/{made}")["tree"] if item["kind"] == "scene")
    page.wait_for_selector(".status :text('Saved')")
    assert {span[1] for span in asked(page, f"scenes/{scene['id']}")["provenance"]} == {"model"}
    page.click("summary:has-text('Earlier plans')")
    page.click("text=Go back to this plan >> nth=-1")
    page.wait_for_function(
        "() => document.querySelector('[aria-label=Premise]')?.value !== 'A seal asks for two doors.'"
    )


@LANGUAGES
def test_entries_fire_by_name_and_the_test_box_says_why(browser: Any, address: str, tongue: str) -> None:
    words = WORDS[tongue]
    with watched(browser, locale=words["locale"]) as page:
        made = start(page, address, tongue)
        page.click("#tab-people")
        page.fill(".add input", words["name"])
        page.keyboard.press("Enter")
        page.click(".entry-head")
        page.fill(".entry-form textarea", "keeps the light")
        page.get_by_label(words["not"]).fill("云长期")
        page.get_by_label(words["test"]).fill(words["sentence"])
        page.wait_for_selector(f"mark:text-is('{words['name']}')")
        page.get_by_label(words["test"]).fill(words["other"])
        page.wait_for_selector("mark", state="detached")
        entry = asked(page, f"projects/{made}/entries")[0]
    assert (entry["text"], entry["not"]) == ("keeps the light", ["云长期"])


def test_what_was_found_in_the_text_is_kept_or_dismissed_by_the_writer(page: Any, address: str) -> None:
    made = start(page, address)
    page.click(".ProseMirror")
    page.keyboard.insert_text(
        "Mara Quill met Odo Brand. Odo Brand laughed, and Mara Quill did not. Odo Brand went home."
    )
    page.click("#tab-people")
    page.click("text=Find them in the text")
    page.click("[aria-label^='Keep '] >> nth=0")
    page.wait_for_selector(".entry-head")
    page.click("[aria-label^='Dismiss '] >> nth=0")
    page.wait_for_function("() => document.querySelectorAll('.entries > li').length === 1")
    assert [entry["proposed"] for entry in asked(page, f"projects/{made}/entries")].count(False) == 1


def test_a_model_a_temper_and_samplers_are_chosen_and_what_it_sees_is_shown(page: Any, address: str) -> None:
    made = start(page, address)
    page.click("#tab-model")
    page.wait_for_selector("text=135 million parameters")
    page.wait_for_selector("text=A small model")
    page.focus("[aria-label=Temper]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".temper-names .on:text-is('Lively')")
    page.click("summary:has-text('All samplers')")
    page.focus(".slider:has-text('Min-p') input")
    page.keyboard.press("ArrowRight")
    page.click("text=Look now")
    page.click(".parts summary:has-text('Entry')")
    page.wait_for_selector("text=Mara keeps the light.")
    page.wait_for_timeout(700)
    settings = asked(page, f"projects/{made}")["settings"]
    assert (settings["preset"], settings["sampling"]) == ("lively", {"min_p": 0.07})


def test_the_tree_is_worked_by_keyboard(page: Any, address: str) -> None:
    made = start(page, address)

    def titles() -> list[str]:
        return [item["title"] for item in asked(page, f"projects/{made}")["tree"]]

    page.focus("[role=treeitem][data-kind=scene]")
    page.keyboard.press("F2")
    page.keyboard.type("The rocks")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tree-title:text-is('The rocks')")
    page.click("[aria-label='Add a chapter, scene or note']")
    page.click(".menu-list >> text=New scene")
    page.wait_for_selector(".tree-name")
    page.keyboard.type("The stairs")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tree-title:text-is('The stairs')")
    page.focus("[role=treeitem]:has-text('The stairs')")
    page.keyboard.press("Alt+ArrowUp")
    page.wait_for_selector("[role=treeitem]:has-text('The stairs') + [role=treeitem]:has-text('The rocks')")
    assert titles() == ["Chapter 1", "The stairs", "The rocks"]
    page.focus("[role=treeitem]:has-text('The stairs')")
    page.keyboard.press("Delete")
    page.wait_for_selector(".tree-title:text-is('The stairs')", state="detached")
    page.click("summary:has-text('Trash')")
    page.click(".bin button")
    page.wait_for_selector(".tree-title:text-is('The stairs')")
    assert sorted(titles()) == ["Chapter 1", "The rocks", "The stairs"]


def test_any_moment_is_named_compared_and_restored(page: Any, address: str) -> None:
    start(page, address)
    page.click(".ProseMirror")
    page.keyboard.insert_text("The first lamp.")
    page.wait_for_selector(".status :text('Saved')")
    page.click("#tab-history")
    page.click(".moment-head >> nth=0")
    page.fill("[aria-label='Name of the branch']", "one lamp")
    page.click(".look >> text=Save")
    page.wait_for_selector(".branches :text('one lamp')")
    page.click(".ProseMirror")
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(" The second lamp.")
    page.wait_for_function("() => document.querySelectorAll('.moment').length > 2")
    page.wait_for_selector(".compare del:has-text('second')")
    page.click(".look >> text=Restore")
    page.wait_for_function("() => !document.querySelector('.ProseMirror').innerText.includes('second')")


def test_the_share_of_each_hand_is_shown_with_a_line_to_disclose_it(page: Any, address: str) -> None:
    start(page, address, how="begin")
    written(page, "went on with its work.")
    page.wait_for_selector(".status :text('Saved')")
    page.click("#tab-quality")
    page.wait_for_selector(".shares-names li.by-model")
    assert page.inner_text(".disclosure").strip()
    page.wait_for_selector("text=Your choices")


def test_talk_stays_beside_the_manuscript_until_it_is_put_there(page: Any, address: str) -> None:
    start(page, address)
    page.click("[aria-label=Talk]")
    page.fill(".say textarea", "Why did you come?")
    page.keyboard.press("Enter")
    page.click("text=Put into the manuscript")
    written(page, "I came for the key.")


def test_a_book_goes_out_and_comes_back(page: Any, address: str, tmp_path: Path) -> None:
    start(page, address)
    page.click(".ProseMirror")
    page.keyboard.insert_text("Rain on the lamp room. 雨。")
    for kind, words in (("Markdown", b"Rain on the lamp room."), ("Word document", b"PK"), ("Screenplay (Final", b"<")):
        page.click("[aria-label=Export]")
        with page.expect_download() as waiting:
            page.click(f".menu-list >> text={kind}")
        kept = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(kept)
        assert words in kept.read_bytes()
    page.goto(f"{address}/#/")
    page.set_input_files("input[type=file]", str(next(tmp_path.glob("*.md"))))
    written(page, "Rain on the lamp room. 雨。")


def test_language_theme_and_keys_are_set_and_kept(page: Any, address: str, tmp_path: Path) -> None:
    page.goto(f"{address}/#/settings")
    page.click("label:has-text('Dark')")
    page.wait_for_selector("html[data-theme=dark]")
    page.click("[aria-label^='Change the key for Another version']")
    page.keyboard.press("Control+j")
    page.wait_for_selector("text=Also used for: Rewrite the selection")
    page.click("text=All keys as they came")
    page.wait_for_selector("text=Also used for", state="detached")
    with page.expect_download() as waiting:
        page.click("text=Download a backup")
    waiting.value.save_as(tmp_path / "all.storyteller")
    page.set_input_files("input[type=file]", str(tmp_path / "all.storyteller"))
    page.click("dialog >> text=Restore from a backup")
    page.wait_for_selector("text=The backup is restored.")
    page.click("label:has-text('中文')")
    page.wait_for_selector("h1:text-is('设置')")
    page.reload()
    page.wait_for_selector("h1:text-is('设置')")
    page.click("label:has-text('English')")
    page.click("label:has-text('As the computer')")
    page.wait_for_selector("html:not([data-theme])")


def test_the_palette_runs_what_is_typed(page: Any, address: str) -> None:
    start(page, address)
    page.keyboard.press("Control+k")
    page.keyboard.type("history")
    page.keyboard.press("Enter")
    page.wait_for_selector("#tab-history[aria-selected=true]")
    assert page.query_selector(".palette") is None


SCREENS = ("start", "plan", "people", "model", "quality", "history", "chat", "tree", "train", "settings")


def show(page: Any, address: str, screen: str, project: str) -> None:
    """Go to a screen as a writer does."""
    if screen in ("start", "train", "settings"):
        page.goto(f"{address}/#/{'' if screen == 'start' else screen}")
        page.wait_for_selector("#main h1")
    else:
        page.goto(f"{address}/#/p/{project}")
        page.wait_for_selector(".ProseMirror")
        if screen == "tree":
            if not page.query_selector(".tree"):
                page.click(".bar button >> nth=0")
            page.wait_for_selector(".tree")
        elif screen == "chat":
            page.click(".bar-end button >> nth=-2")
            page.wait_for_selector(".chat")
        else:
            if not page.query_selector(".tabs"):
                page.click(".bar-end button >> nth=-1")
            page.click(f"#tab-{screen}")
    page.wait_for_timeout(250)


@pytest.fixture(scope="module")
def furnished(browser: Any, address: str) -> str:
    """A project with something on every panel."""
    with watched(browser) as page:
        made = start(page, address, how="begin")
        written(page, "went on with its work.")
        post = "([path, body, method]) => fetch(path, {method, headers: {'content-type': 'application/json'}, body})"
        for path, body, method in (
            (f"projects/{made}/entries", {"kind": "person", "name": "Mara", "text": "keeps the light"}, "POST"),
            (f"projects/{made}/entries", {"kind": "place", "name": "Tower", "proposed": True}, "POST"),
            (
                f"projects/{made}/plan",
                {
                    "premise": "A key comes home.",
                    "people": [{"name": "Mara", "who": "keeper"}],
                    "outline": [
                        {"id": "a", "title": "Dusk", "beats": [{"id": "b", "text": "It speaks.", "words": 80}]}
                    ],
                },
                "PUT",
            ),
        ):
            page.evaluate(post, [f"/api/{path}", json.dumps(body), method])
        page.wait_for_selector(".status :text('Saved')")
    return made


@pytest.mark.parametrize("tongue", ["en", "zh"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_screen(browser: Any, address: str, furnished: str, tongue: str, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with watched(browser, locale=WORDS[tongue]["locale"], color_scheme=theme, reduced_motion="reduce") as page:
        found = []
        for screen in SCREENS:
            show(page, address, screen, furnished)
            result = axe.run(page, options=AXE)
            found += [
                (screen, fault["id"], [node["html"][:160] for node in fault["nodes"]])
                for fault in result.response["violations"]
            ]
    assert found == []


@LANGUAGES
def test_a_phone_reaches_everything_and_scrolls_only_down(
    browser: Any, address: str, furnished: str, tongue: str
) -> None:
    phone = {"viewport": {"width": 380, "height": 720}, "has_touch": True, "is_mobile": True}
    with watched(browser, locale=WORDS[tongue]["locale"], **phone) as page:
        for screen in SCREENS:
            show(page, address, screen, furnished)
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, screen
            outside = page.evaluate(
                """() => [...document.querySelectorAll('button, a, input, select, textarea')].filter(one => {
                    const box = one.getBoundingClientRect();
                    return box.width > 0 && (box.left < -1 || box.right > innerWidth + 1)
                        && !one.closest('.scrolls, [role=toolbar], [role=tablist]');
                }).map(one => one.outerHTML.slice(0, 120))"""
            )
            assert outside == [], screen
