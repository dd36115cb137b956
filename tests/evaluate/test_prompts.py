"""Prompts: the same ones for the same stories, spread over works, with what a person wrote in that place."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluate.passages import stories

from storyteller.corpus.language import count_words, ends_sentence
from storyteller.corpus.story import Story
from storyteller.errors import DataError
from storyteller.evaluate.prompts import choose_prompts, cut_at_sentence


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_continuation_shows_a_passage_and_keeps_what_comes_after_it(language):
    chosen = choose_prompts(stories(language), 10, words=60)
    texts = {story.id: story.text for story in stories(language)}
    assert len({prompt.id for prompt in chosen}) == 10
    for prompt in chosen:
        text = texts[prompt.id.split("/")[0]]
        before = prompt.request.before
        assert prompt.request.task == "continue"
        assert prompt.request.language == language
        place = text.index(before)
        # The person's text stands right behind what the prompt shows.
        assert text[place + len(before) :].lstrip().startswith(prompt.reference[:20])
        assert count_words(prompt.reference, language) <= 60 or len(prompt.reference.split(".")) <= 2
        assert before in prompt.asked


def test_prompts_are_spread_over_works_before_a_work_has_two():
    chosen = choose_prompts(stories(), 20, words=40)
    assert len({prompt.work for prompt in chosen}) == 20
    more = choose_prompts(stories(), 60, words=40)
    assert more[:20] == chosen
    assert len({prompt.work for prompt in more}) < 60 == len(more)


def _chapters(title: str, count: int, sentences: int) -> list[Story]:
    text = "The keeper walked slowly to the old sea wall today. " * sentences
    return [Story(f"{title}-{n}", text, "en", "chapter", 10 * sentences, title=title, work=title) for n in range(count)]


def test_a_work_of_many_chapters_gives_no_more_prompts_than_another():
    told = _chapters("Long Novel", 95, 60) + [story for n in range(10) for story in _chapters(f"Tale {n}", 1, 60)]
    chosen = choose_prompts(told, 22, words=100)
    assert sorted(Counter(prompt.work for prompt in chosen).values()) == [2] * 11
    # The second passage of the novel is of another chapter.
    assert len({prompt.id.split("/")[0] for prompt in chosen if prompt.work == "Long Novel"}) == 2


def test_stories_without_a_passage_do_not_keep_others_from_giving_more():
    told = [story for n in range(100) for story in _chapters(f"Short {n}", 1, 3)] + _chapters("Long", 2, 400)
    assert len(choose_prompts(told, 20, words=100)) == 20
    assert len(choose_prompts(told, 1000, words=100)) == 2 * (4000 // 180)


def test_the_order_of_the_stories_does_not_matter():
    assert choose_prompts(stories()[::-1], 15, words=40) == choose_prompts(stories(), 15, words=40)


def test_write_asks_with_a_title_and_a_premise_out_of_the_reference():
    chosen = choose_prompts(stories(), 10, words=80, task="write")
    assert all(prompt.request.task == "write" and prompt.request.before is None for prompt in chosen)
    premises = [prompt for prompt in chosen if prompt.request.about]
    assert len(premises) > 3
    assert all(prompt.request.about[:10] in " ".join(prompt.reference.split()) for prompt in premises)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [(5, {"words": 100_000}, "shorter texts"), (0, {}, "1 or more"), (5, {"task": "sing"}, "no task 'sing'")],
)
def test_what_cannot_be_asked_is_refused(count, options, message):
    with pytest.raises(DataError, match=message):
        choose_prompts(stories(), count, **options)


@given(
    st.lists(st.sampled_from(["The seal swam. ", "Who is there? ", "海豹游走了。", "一二三"]), min_size=1),
    st.integers(1, 30),
)
def test_a_cut_is_a_beginning_within_the_words_asked_for(parts, words):
    text = "".join(parts)
    cut = cut_at_sentence(text, words, "zh")
    assert text.startswith(cut)
    first = cut_at_sentence(text, 1, "zh")
    assert cut == first or count_words(cut, "zh") <= words
    assert cut == first or ends_sentence(cut)
