from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.stories import LAMP, SEAL, long_story, story

from storyteller.corpus.story import Language, Story
from storyteller.recipe import DataRecipe
from storyteller.tokens import StoryTokenizer, Template
from storyteller.tokens.conditions import Conditions
from storyteller.tokens.examples import Examples, StoryExample
from storyteller.tokens.units import join_text, split_units
from storyteller.tokens.vocabulary import Frequencies

_ALL = {"write": 0.25, "continue": 0.25, "infill": 0.25, "passage": 0.25}


def _make(template: Template, stories: list[Story], **data: object) -> tuple[list[StoryExample], Examples]:
    recipe = DataRecipe.model_validate({"context": 256, "keep_condition": 0.5, **data})
    examples = Examples(template, Conditions(Frequencies.of(stories), recipe.keep_condition), recipe)
    return list(examples.of(stories)), examples


@settings(max_examples=40, deadline=None)
@given(text=st.text(" ab.\n海豹。，\"'T", min_size=1, max_size=300), longest=st.integers(4, 40))
def test_units_join_to_the_story(tokenizer: StoryTokenizer, text: str, longest: int) -> None:
    one = story(text)
    units = split_units([one], tokenizer, longest)[0]
    assert join_text(units) == one.text.strip()
    assert all(len(unit.ids) <= 2 * longest for unit in units)


@settings(max_examples=25, deadline=None)
@given(
    language=st.sampled_from(["en", "zh"]),
    paragraphs=st.integers(1, 25),
    context=st.sampled_from([160, 256, 700]),
    seed=st.integers(0, 9),
)
def test_every_example_fits_has_targets_and_is_what_the_template_renders(
    template: Template, language: Language, paragraphs: int, context: int, seed: int
) -> None:
    one = long_story("a", paragraphs, language)
    made, _ = _make(template, [one], context=context, tasks=_ALL, seed=seed, views=2)
    assert made
    for example in made:
        assert len(example.ids) <= context
        assert 0 < example.targets < len(example.ids)
        prompt = template.prompt(example.request)
        assert example.ids[: -example.targets] == prompt
        labels = example.ids[len(prompt) :]
        assert (labels[-1] == template.stop_id) == example.ends
        assert template.tokenizer.decode(labels) == example.completion
        assert example.completion in one.text
        assert (example.request.opening or "") + example.completion in one.text


@settings(max_examples=25, deadline=None)
@given(language=st.sampled_from(["en", "zh"]), paragraphs=st.integers(1, 30), context=st.sampled_from([160, 256, 700]))
def test_writing_and_continuing_give_the_story_back(
    template: Template, language: Language, paragraphs: int, context: int
) -> None:
    one = long_story("a", paragraphs, language)
    # Whole stories are continued too, from somewhere: only those that are cut are told from the first word.
    made, examples = _make(template, [one], context=context, tasks={"write": 1.0, "continue": 1e-9})
    told = "".join((example.request.opening or "") + example.completion for example in made)
    assert told == one.text
    assert [example.ends for example in made] == [False] * (len(made) - 1) + [True]
    assert examples.counts["whole"] + examples.counts["cut"] == 1
    for before, after in itertools.pairwise(made):
        assert after.request.task == "continue"
        shown = after.request.before
        assert shown
        assert before.completion.endswith(shown) or shown.endswith(before.completion.strip())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_infill_stands_between_its_beginning_and_its_ending(template: Template, language: Language) -> None:
    one = long_story("a", 30, language)
    made, _ = _make(template, [one], context=300, tasks={"infill": 1.0})
    infills = [example for example in made if example.request.task == "infill"]
    assert infills
    for example in infills:
        assert example.ends  # it has arrived at the ending that was asked for
        squeezed = "".join(f"{example.request.before}{example.completion}{example.request.after}".split())
        assert squeezed in "".join(one.text.split())


def test_short_stories_are_told_by_every_task(template: Template) -> None:
    stories = [story(SEAL, f"en{i}") for i in range(60)] + [story(LAMP, f"zh{i}", "zh") for i in range(60)]
    made, examples = _make(template, stories, context=1024, tasks=_ALL)
    assert {example.request.task for example in made} == set(_ALL)
    assert examples.counts["whole"] == len(made) == 120
    passages = [example for example in made if example.request.task == "passage"]
    assert any(example.request.outline for example in passages)
    assert all(example.completion == example.completion.lstrip() for example in passages)
    assert all(example.ends == SEAL.endswith(example.completion) for example in passages if example.story[:2] == "en")


def test_the_same_story_and_seed_give_the_same_examples_in_any_company(template: Template) -> None:
    one, others = long_story("a", 12), [long_story("b", 7), long_story("c", 3, "zh")]
    frequencies = Frequencies()
    recipe = DataRecipe(context=256, views=2)

    def make(stories: list[Story]) -> list[StoryExample]:
        return list(Examples(template, Conditions(frequencies, 0.5), recipe).of(stories))

    assert make([one]) == [example for example in make([*others, one]) if example.story == "a"]
    views = make([one])
    assert len({example.request for example in views}) > len(views) // 2


def test_what_no_task_may_tell_is_counted(template: Template) -> None:
    made, examples = _make(template, [long_story("a", 30), story(SEAL[:150], "b")], tasks={"write": 1.0})
    assert len(made) == 2
    assert not made[0].ends
    assert examples.counts["truncated"] == 1


def test_a_blank_story_is_counted_and_a_long_word_is_split(template: Template) -> None:
    made, examples = _make(template, [story("  \n ", "a"), story("a" * 3000, "b"), story("海" * 900, "c", "zh")])
    assert examples.counts["without_target"] == 1
    assert "".join(example.completion for example in made if example.story == "b") == "a" * 3000


@settings(max_examples=40, deadline=None)
@given(
    task=st.sampled_from(sorted(_ALL)),
    language=st.sampled_from(["en", "zh"]),
    paragraphs=st.integers(1, 25),
    context=st.sampled_from([160, 256, 700]),
)
def test_a_task_of_weight_0_is_left_out(
    template: Template, task: str, language: Language, paragraphs: int, context: int
) -> None:
    one = long_story("a", paragraphs, language)
    made, _ = _make(template, [one], context=context, tasks={task: 1.0}, views=3)
    assert {example.request.task for example in made} <= {task}
    assert all(len(example.ids) <= context for example in made)
    assert made or task != "write"
    others = {name: 1.0 for name in _ALL if name != task}
    made, _ = _make(template, [one], context=context, tasks=others | {task: 0.0}, views=3)
    assert task not in {example.request.task for example in made}
