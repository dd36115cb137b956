from __future__ import annotations

import re
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.corpus.story import Form, Language
from storyteller.craft.book import Entry
from storyteller.craft.context import Context, Part, SceneView, Wish, build_context, to_manuscript, to_template
from storyteller.tokens import Character, request_text

SENTENCES: dict[Language, str] = {
    "en": "The keeper climbed the stairs of the tower with a lamp. ",
    "zh": "守塔人提着灯，慢慢走上了塔里的楼梯。",
}
TEXTS = st.text(alphabet="ab é.。,\n雨灯 Mara", max_size=2500)


def count(text: str) -> int:
    return len(re.findall(r"[一-鿿]|\w+|[^\w\s]|\n+", text))


def story(sentences: int, language: Language = "en", paragraph: int = 5) -> str:
    told = [f"{number}. {SENTENCES[language]}" for number in range(sentences)]
    return "\n".join("".join(told[start : start + paragraph]).strip() for start in range(0, sentences, paragraph))


def named(context: Context, name: str) -> list[Part]:
    return [part for part in context.parts if part.name == name]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_everything_that_is_there_is_seen(language: Language) -> None:
    entries = [
        Entry(kind="place", name="Marl", text="a harbour town of salt and slate"),
        Entry(name="Ida", text="unseen"),
    ]
    view = SceneView(
        language=language,
        text="They came to Marl.\nThe keeper slept.\nIt rained.\nNobody spoke.\nA bell rang.",
        title="The Lamp",
        idea="A keeper finds a seal.",
        theme="trust, salt",
        memory="It is winter.",
        note="Short sentences.",
        earlier="Long ago there was a tower.",
        people=(Character("Mara", "a keeper"),),
        entries=entries,
    )
    context = build_context(view, Wish(instruction="The seal speaks."), count, 1000)
    text = request_text(context.request)
    for seen in ("The Lamp", "Mara", "A keeper finds a seal.", "It is winter.", "trust", "Short sentences.", "salt and slate",
                 "The seal speaks.", "Long ago there was a tower.\n\nThey came to Marl."):  # fmt: skip
        assert seen in text
    assert "unseen" not in text
    assert not [part for part in context.parts if part.dropped]
    assert named(context, "lore: Marl")[0].why == "name: Marl"
    # What changes seldom stands first, lore and note in the last paragraphs.
    assert (
        text.index("It is winter.")
        < text.index("Long ago")
        < text.index("Short sentences.")
        < text.index("A bell rang.")
    )


def test_a_new_story_gets_the_lines_that_the_model_knows() -> None:
    entries = [
        Entry(kind="person", name="Mara", text="a lighthouse keeper."),
        Entry(kind="place", name="Marl", text="A harbour town", always=True),
    ]
    view = SceneView(idea="Mara finds a talking seal", entries=entries, note="Keep it light.")
    request = build_context(view, Wish("begin", words=200), count, 500).request
    assert (request.task, request.words, request.before) == ("write", 200, None)
    assert request.characters == (Character("Mara", "a lighthouse keeper"),)
    assert request.about == "Mara finds a talking seal. Marl: A harbour town. Keep it light."


def test_an_infill_has_a_beginning_and_an_ending() -> None:
    text = "She left.\n\nShe came back.\nAll was well."
    request = build_context(SceneView(text=text), Wish("infill", at=9, end=11), count, 500).request
    assert (request.task, request.before, request.after) == ("infill", "She left.", "She came back.\n\nAll was well.")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_oldest_text_is_cut_and_said_to_be(language: Language) -> None:
    text = story(200, language)
    context = build_context(SceneView(language=language, text=text), Wish(), count, 400)
    kept, cut = named(context, "text")
    assert cut.dropped
    assert "further back" in cut.why
    assert cut.text + kept.text == to_template(text, "story")
    assert 400 >= context.tokens > 200


@pytest.mark.parametrize("form", ["story", "screenplay"])
def test_the_prefix_stays_while_the_writer_types(form: Form) -> None:
    entries = [
        Entry(kind="place", name="Marl", text="a harbour town"),
        Entry(name="the bell", text="cracked in the war"),
    ]
    text = story(400)
    reread, breaks, last = 0, 0, ""
    for size in range(len(text) // 2, len(text), 40):
        typed = text[:size] + ("\nThe bell of Marl." if size > 3 * len(text) // 4 else "")
        view = SceneView(form=form, text=typed, memory="Winter.", note="Short.", entries=entries)
        now = request_text(build_context(view, Wish(), count, 600).request)
        if last:
            kept = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(last, now, strict=False)))
            breaks += len(last) - kept > 1600  # five paragraphs of 300 characters, and the line of lore
            reread += len(now) - kept
        last = now
    # The window holds some 2,000 characters, and half of it is typed before it moves: a dozen times in 11,000 characters.
    assert breaks <= 16
    assert reread < 0.5 * len(range(len(text) // 2, len(text), 40)) * len(last)


def test_a_cut_does_not_move_when_lore_fires_or_a_note_changes() -> None:
    entries = [Entry(name="Marl", text="a harbour town. " * 8)]
    text = story(300)
    cuts = {
        named(build_context(SceneView(text=text + more, note=note, entries=entries), Wish(), count, 600), "text")[
            0
        ].text[:40]
        for more in ("", " Marl.")
        for note in ("Short.", "Short, and sad, and slow.")
    }
    assert len(cuts) == 1


def test_what_does_not_fit_is_named() -> None:
    view = SceneView(
        text=story(50),
        memory="It is winter in the town of Marl. " * 40,
        note="Long. " * 100,
        summary="They met. " * 10,
        entries=[Entry(name="keeper", text="an old man who remembers. " * 30)],
    )
    context = build_context(view, Wish(), count, 300)
    assert context.tokens <= 300
    assert {"memory", "note", "lore: keeper", "text"} <= {part.name for part in context.parts if part.dropped}
    assert all(part.why for part in context.parts if part.dropped)


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, TEXTS, TEXTS, st.integers(100, 700), st.sampled_from(["continue", "infill", "begin", "ghost"]))
def test_the_limit_is_kept_and_nothing_gets_lost(
    text: str, memory: str, note: str, lore: str, limit: int, mode: str
) -> None:
    entries = [Entry(name="Mara", text=lore), Entry(name="雨", text=lore, always=True)]
    view = SceneView(text=text, memory=memory, note=note, entries=entries, earlier=memory, plot=note)
    context = build_context(view, Wish(mode, at=len(text) // 2), count, limit)  # type: ignore[arg-type]
    assert context.tokens <= limit
    assert count(request_text(context.request)) <= limit
    whole = request_text(context.request)
    for part in context.parts:
        if not part.dropped and part.name in ("memory", "plot", "after"):
            assert part.text.strip() in whole
    told = [part.text for part in context.parts if part.name == "text"]
    if context.request.task in ("continue", "infill"):
        before = "\n".join(filter(None, [view.earlier.rstrip(), text[: len(text) // 2]]))
        assert sum(map(len, told)) == len(to_template(before, "story"))


@given(st.text(alphabet="ab \n。", max_size=60))
def test_paragraphs_of_prose_go_to_the_template_and_back(text: str) -> None:
    once = to_manuscript(to_template(text, "story"), "story")
    assert once == to_manuscript(text, "story")
    assert "\n\n" not in once
    assert to_template(text, "screenplay") == to_manuscript(text, "play") == text
