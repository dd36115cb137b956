"""The ladder: what is known to be better or worse must come out so, and only where it can be seen."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from tests.evaluate.passages import people, stories

from storyteller.corpus.language import words_of
from storyteller.errors import DataError
from storyteller.evaluate.collect import collect
from storyteller.evaluate.prompts import choose_prompts
from storyteller.evaluate.stories import faulty_texts
from storyteller.evaluate.suite import lay_out, measure_stories
from storyteller.evaluate.texts import Text
from storyteller.generate import SamplingSettings


def salad(texts: list[Text], material: list[Text], name: str, order: int) -> list[Text]:
    """A system that writes words of other passages in the order of a Markov chain: real words, no story."""
    chance = random.Random(1)
    words = [word for text in material for word in [*words_of(text.text), "."]]
    follow: dict[tuple[str, ...], list[str]] = {}
    for place in range(len(words) - order):
        follow.setdefault(tuple(words[place : place + order]), []).append(words[place + order])
    made = []
    for text in texts:
        said = list(chance.choice([key for key in follow if "." not in key]))
        while sum(word != "." for word in said) < len(words_of(text.text)):
            said.append(chance.choice(follow.get(tuple(said[-order:]), words)))
        made.append(replace(text, system=name, text=" ".join(said).replace(" .", ".") + ".", temperature=0.8, seed=1))
    return made


@pytest.fixture(scope="module")
def human() -> list[Text]:
    return people()[::2]


@pytest.fixture(scope="module")
def found(human):
    others = people()[1::2]
    floor = [text for fault in ("shuffle", "loop", "splice") for text in faulty_texts(human, fault)]
    return measure_stories(human + salad(human, others, "salad", 1), faults=floor)[0]


def value(found, metric, system):
    figure = found.figure(metric, system)
    assert figure.interval is not None, figure.why
    return figure.interval


@pytest.mark.slow
def test_a_salad_of_real_words_is_told_from_people(found):
    assert value(found, "auc_word", "salad @0.8").low > 0.5
    assert value(found, "auc_char", "salad @0.8").low > 0.5


@pytest.mark.slow
def test_shuffled_sentences_pass_the_judges_of_words(found):
    assert value(found, "auc_word", "human, shuffle").low < 0.5 < value(found, "auc_word", "human, shuffle").high + 0.1
    assert value(found, "auc_word", "human, shuffle").value < value(found, "auc_word", "salad @0.8").low


@pytest.mark.slow
def test_a_loop_is_seen_by_repetition(found):
    assert value(found, "rep_4", "human, loop").low > value(found, "rep_4", "human").high
    assert value(found, "loops", "human, loop").low > value(found, "loops", "human").high
    assert value(found, "rep_4", "human, shuffle").low <= value(found, "rep_4", "human").high
    claim = next(one for one in found.comparisons if (one.metric, one.a, one.b) == ("rep_4", "human", "salad @0.8"))
    assert claim.p <= claim.p_holm <= 1


@pytest.mark.slow
def test_shuffled_sentences_are_seen_by_the_scorer(found):
    human = value(found, "coherence", "human")
    assert value(found, "coherence", "human, shuffle").value < human.value
    looped = found.figure("coherence", "human, loop")
    assert looped.interval is None or looped.interval.high < human.low  # it may say that a loop is no prose at all
    assert value(found, "order", "human").low > 0.5


@pytest.mark.slow
def test_hotter_sampling_is_worse(tmp_path):
    asked = choose_prompts(stories(), 16, words=30)
    hot = SamplingSettings(min_p=0.0, dry_multiplier=0.0)
    texts = collect(["smollm2-135m-instruct"], asked, tmp_path, temperatures=(0.7, 1.6), settings=hot, max_tokens=48)
    parts = ("realism", "distances", "diversity", "degeneration", "people", "relevance", "reading")
    found = measure_stories(texts, background=stories(), leave_out=parts)[0]
    cool, hot = "smollm2-135m-instruct @0.7", "smollm2-135m-instruct @1.6"
    assert value(found, "independent_loss", hot).low > value(found, "independent_loss", "human").high
    assert value(found, "independent_loss", hot).low > value(found, "independent_loss", cool).high
    assert "out of the scorer's domain" in found.figure("coherence", hot).why


@pytest.mark.slow
def test_an_ending_of_another_story_is_less_about_the_prompt(found):
    assert value(found, "similarity", "human, splice").value < value(found, "similarity", "human").value


@pytest.mark.slow
def test_the_report_has_what_a_reader_needs(found):
    assert {system.kind for system in found.systems} == {"human", "model", "fault"}
    assert set(found.samples[0].answers) == {"human", "salad @0.8"}
    assert all(figure.why for figure in found.figures if figure.interval is None)
    assert {curve.system for curve in found.curves} == {system.label for system in found.systems}
    assert all(len(row) == len(found.systems) for heat in found.heat_maps for row in heat.values)
    # Draws are as many as ten comparisons of a pair in a group take.
    assert max(Counter(metric.group for metric in found.metrics).values()) <= 10


def test_chinese_stories_are_measured_by_themselves():
    written = people("zh", 60)
    found = measure_stories(written + [replace(text, system="same", temperature=1.0, seed=1) for text in written])
    assert [one.language for one in found] == ["zh"]
    assert value(found[0], "distinct_2", "human") == value(found[0], "distinct_2", "same @1")
    assert value(found[0], "characters_per_sentence", "human").value > 5


def test_a_system_with_more_seeds_is_as_diverse_as_with_one(human):
    written = people()[:120]
    as_model = [replace(text, system="same", temperature=0.8, seed=1) for text in written]
    moved = [replace(text, text=other.text, seed=2) for text, other in zip(as_model, as_model[40:], strict=False)]
    answered = [text for text in as_model if text.prompt_id in {other.prompt_id for other in moved}]
    people_there = [text for text in written if text.prompt_id in {other.prompt_id for other in moved}]
    parts = ("realism", "distances", "independent model", "degeneration", "coherence", "people", "relevance", "reading")
    found = measure_stories([*people_there, *answered, *moved], leave_out=parts)[0]
    for metric in ("distinct_1", "distinct_2", "ead", "bigram_entropy", "self_bleu"):
        assert value(found, metric, "same @0.8") == value(found, metric, "human")
    assert found.figure("self_bleu_within", "same @0.8").interval is not None


def test_few_texts_are_said_and_not_judged(human):
    some = human[:20]
    found = measure_stories(some + [replace(text, system="copy") for text in some])[0]
    assert "too few" in found.figure("auc_word", "copy").why
    assert found.figure("rep_2", "copy").interval is not None


def test_texts_without_a_temperature_are_compared_with_models_at_any(human):
    systems = (("theirs", None), ("cool", 0.8), ("hot", 1.2))
    texts = [replace(text, system=name, temperature=heat) for name, heat in systems for text in human[:12]]
    parts = (
        "realism",
        "distances",
        "independent model",
        "diversity",
        "coherence",
        "people",
        "relevance",
        "degeneration",
    )
    found = measure_stories(texts, leave_out=parts)[0]
    assert {(one.a, one.b) for one in found.comparisons} == {("theirs", "cool @0.8"), ("theirs", "hot @1.2")}


def other(texts: list[Text], **changes: object) -> list[Text]:
    return [replace(text, system="other", **changes) for text in texts]


def test_what_cannot_be_compared_is_refused(human):
    with pytest.raises(DataError, match="no prompt was answered by every system"):
        lay_out([*human[:5], *other(human[5:9])], "en")
    with pytest.raises(DataError, match="each prompt needs one text a seed"):
        lay_out([*human[:5], *other(human[:5]), *other(human[:1])], "en")
    with pytest.raises(DataError, match="fewer than 5 words"):
        lay_out([*human[:5], *other(human[:5], text="No.")], "en")
    chinese = "The tale: " + "从前有一座灯塔，灯塔旁边住着一只小海豹。" * 3
    with pytest.raises(DataError, match="not in 'en'"):
        lay_out([*human[:5], *other(human[:5], text=chinese.replace("。", "。 a "))], "en")
    with pytest.raises(DataError, match="no text in 'zh'"):
        lay_out(human, "zh")
    with pytest.raises(DataError, match="no texts"):
        measure_stories([])


def test_a_prompt_that_one_system_did_not_answer_is_left_out_and_said(human):
    bench = lay_out([*human[:10], *other(human[:8])], "en")
    assert [len(bench.texts(label)) for label in bench.labels] == [8, 8]
    assert "2 of 10 prompts were left out" in bench.notes[0]


@pytest.mark.parametrize(("language", "silence"), [("en", ""), ("en", "... !"), ("zh", "……")])
def test_a_prompt_that_one_system_answered_without_a_word_is_left_out_for_all_and_said(language, silence):
    written = people(language, 40)[:24]
    answers = [*other(written[:1], text=silence), *other(written[1:])]
    found = measure_stories([*written, *answers], leave_out=("coherence", "independent model"))[0]
    assert [system.texts for system in found.systems] == [23, 23]
    assert "1 of 24 prompts were left out: an answer has no word in it (other)." in found.notes


def test_parts_that_are_left_out_are_not_measured(human):
    everything = ("realism", "distances", "independent model", "diversity", "degeneration", "coherence", "people")
    (told,) = measure_stories(human, leave_out=(*everything, "relevance"))
    assert {metric.group for metric in told.metrics} == {"reading"}
    assert set(told.seconds) == {"reading", "comparisons"}
