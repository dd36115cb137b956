"""Prompts: the same ones for the same stories, spread over works, with what a person wrote in that place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluate.passages import stories

from storyteller.corpus.language import count_words, ends_sentence
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
