from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.stories import story, write_corpus

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.likelihood import Choice, OrderScores, choice_scores, next_sentence_choices, order_scores
from storyteller.evaluate.likelihood_report import (
    evaluate_likelihood,
    read_choices,
    render_likelihood,
    stories_of_one_language,
)
from storyteller.evaluate.log_probabilities import LogProbabilities, Score

STORIES = {
    "en": "The keeper woke early. He lit the lamp. A seal came up the stairs. It asked for tea. "
    "They drank it by the window. Then the fog lifted. The seal went home. He wrote it all down.",
    "zh": "守塔人醒得很早。他点亮了灯。一只海豹上了楼。它要一杯茶。他们在窗边喝茶。"
    "后来雾散了。海豹回家去了。他把这些都写了下来。",
}
OTHERS = {
    "en": "The bus was late. Mara ran. A dog barked at her. The rain fell on and on. Nobody came by. She lost a shoe.",
    "zh": "车来晚了。小梅跑着。狗对她叫。雨下个不停。没有人来。她丢了一只鞋。",
}


@pytest.fixture(scope="module")
def reader(tiny_llama: Path) -> LogProbabilities:
    return LogProbabilities.load(str(tiny_llama), "float32")


def directly(reader: LogProbabilities, context: Sequence[int], ids: Sequence[int]) -> tuple[float, bool]:
    with torch.inference_mode():
        logits = reader.model(torch.tensor([[*context, *ids]])).logits[0].float()
    steps = logits.log_softmax(1)[len(context) - 1 : -1]
    return float(sum(step[token] for step, token in zip(steps, ids, strict=True))), steps.argmax(1).tolist() == list(
        ids
    )


IDS = st.lists(st.integers(3, 300), min_size=1, max_size=9)


@settings(deadline=None, max_examples=15)
@given(items=st.lists(st.tuples(IDS, st.lists(IDS, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_scores_are_those_of_a_pass_each(
    reader: LogProbabilities, items: list[tuple[list[int], list[list[int]]]]
) -> None:
    for (context, continuations), scores in zip(items, reader.score_ids(items), strict=True):
        for ids, score in zip(continuations, scores, strict=True):
            total, greedy = directly(reader, context, ids)
            assert (score.total, score.tokens, score.greedy) == (pytest.approx(total, abs=1e-3), len(ids), greedy)


def test_a_sliding_window_is_kept_to(reader: LogProbabilities) -> None:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    model = Gemma3ForCausalLM(
        Gemma3TextConfig(
            vocab_size=320, hidden_size=32, intermediate_size=64, num_attention_heads=2, num_key_value_heads=1,
            head_dim=16, num_hidden_layers=2, sliding_window=8, layer_types=["sliding_attention", "full_attention"],
        )
    )  # fmt: skip
    sliding = LogProbabilities(model, reader.tokenizer)
    context, options = list(range(3, 40)), [list(range(50, 70)), [9, 8]]
    for ids, score in zip(options, sliding.score_ids([(context, options)])[0], strict=True):
        assert score.total == pytest.approx(directly(sliding, context, ids)[0], abs=1e-3)


def test_a_long_context_is_cut_from_its_beginning(reader: LogProbabilities) -> None:
    context = [3 + i % 300 for i in range(1500)]
    (score,), (cut,) = reader.score_ids([(context, [[5, 6]]), (context[-1023:], [[5, 6]])])
    assert score.total == pytest.approx(cut.total, abs=1e-4)


@pytest.mark.parametrize("item", [([], [[1]]), ([1], []), ([1], [[]]), ([1], [[1] * 1100])])
def test_what_cannot_be_scored_is_an_error(reader: LogProbabilities, item: tuple[list[int], list[list[int]]]) -> None:
    with pytest.raises(DataError):
        reader.score_ids([item])


class Knowing:
    """Finds texts likely that go on as `truth` does, and knows nothing else."""

    def __init__(self, reader: LogProbabilities, truth: str) -> None:
        self.tokenizer, self._truth = reader.tokenizer, truth

    def score(self, items: Sequence[tuple[str, Sequence[str]]]) -> list[list[Score]]:
        return [[self._score(context, option) for option in options] for context, options in items]

    def _score(self, context: str, option: str) -> Score:
        right = (context + option).strip() in self._truth
        return Score(-1.0 if right else -1.0 - len(option), max(1, len(option.split())), right)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_model_that_knows_the_order_tells_it_from_a_shuffled_one(
    reader: LogProbabilities, language: Language
) -> None:
    story = STORIES[language]
    scores = order_scores(Knowing(reader, story), [story, story], language)  # type: ignore[arg-type]
    assert scores.accuracy().value == 1
    assert scores.difference().value > 0


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_model_that_knows_the_story_chooses_its_next_sentence(
    reader: LogProbabilities, language: Language, elsewhere: bool
) -> None:
    texts = [STORIES[language], OTHERS[language], STORIES[language]]
    choices = next_sentence_choices(texts, language, elsewhere=elsewhere, works=["a", "b", "c"])
    assert choices
    assert choices == next_sentence_choices(texts, language, elsewhere=elsewhere, works=["a", "b", "c"])
    assert all(len(set(choice.options)) == 4 and choice.options[choice.answer] for choice in choices)
    if not elsewhere:
        texts = {"a": texts[0], "b": texts[1], "c": texts[2]}  # type: ignore[assignment]
        assert all(option in texts[choice.work] for choice in choices for option in choice.options)  # type: ignore[call-overload]
    known = Knowing(reader, STORIES[language] + " " + OTHERS[language])
    figures = choice_scores(known, choices).accuracy()  # type: ignore[arg-type]
    assert figures["total"].value == 1
    assert choice_scores(known, choices).chance == 0.25  # type: ignore[arg-type]


def test_the_three_ways_compare_what_they_say(reader: LogProbabilities) -> None:
    class Table:
        tokenizer = reader.tokenizer

        def score(self, items: Sequence[tuple[str, Sequence[str]]]) -> list[list[Score]]:
            given = {" short": Score(-4, 1, False), " long and fine": Score(-6, 3, False), " rare": Score(-8, 1, False)}
            alone = {
                " short": Score(-4, 1, False),
                " long and fine": Score(-6, 3, False),
                " rare": Score(-20, 1, False),
            }
            return [[(given if context else alone)[option] for option in options] for context, options in items]

    choices = [Choice("So", ("short", "long and fine", "rare"), answer, str(answer)) for answer in (0, 1, 2)]
    scores = choice_scores(Table(), choices)  # type: ignore[arg-type]
    assert (set(scores.total), set(scores.mean), set(scores.pmi)) == ({0}, {1}, {2})
    assert scores.right("pmi") == [0, 0, 1]


def test_too_little_is_refused(reader: LogProbabilities) -> None:
    with pytest.raises(DataError, match="four sentences"):
        order_scores(reader, ["One. Two.", STORIES["en"]])
    with pytest.raises(DataError, match="two stories"):
        choice_scores(reader, [])


CLOZE = {f"InputSentence{n}": f"Sentence {n}." for n in range(1, 5)} | {
    "RandomFifthSentenceQuiz1": "The end.", "RandomFifthSentenceQuiz2": "It began.", "AnswerRightEnding": "2",
}  # fmt: skip
PLAIN = {"context": "Er kam.", "endings": ["Er ging.", "Nein.", "Ja."], "answer": 1, "work": "w"}


@pytest.mark.parametrize("packed", [False, True])
def test_choices_are_read_in_both_forms(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("c.jsonl.xz" if packed else "c.jsonl")
    with lzma.open(path, "wt") if packed else path.open("w") as file:
        file.write(json.dumps(CLOZE) + "\n\n" + json.dumps(PLAIN) + "\n")
    cloze, plain = read_choices(path)
    assert cloze == Choice("Sentence 1. Sentence 2. Sentence 3. Sentence 4.", ("The end.", "It began."), 1, "1")
    assert plain == Choice("Er kam.", ("Er ging.", "Nein.", "Ja."), 1, "w")


def test_the_language_of_a_choice_is_seen_unless_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    chinese = {"context": "海豹游向灯塔。", "endings": ["它跑了。", "它睡了。"], "answer": 0}
    english = {"context": "The seal swam to the lighthouse.", "endings": ["It ran.", "It slept."], "answer": 0}
    lines = (chinese, english, english | {"language": "zh"}, chinese | {"language": None})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [choice.language for choice in read_choices(path)] == ["zh", "en", "zh", "zh"]


@pytest.mark.parametrize(
    "line", ["[]", "{}", "{", *(json.dumps(PLAIN | wrong) for wrong in (
        {"answer": 3}, {"endings": ["one"]}, {"context": " "}, {"language": "fr"}, {"answer": "x"}))]
)  # fmt: skip
def test_a_line_that_is_no_choice_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(PLAIN) + "\n" + line + "\n")
    with pytest.raises(DataError, match="line 2"):
        read_choices(path)


def test_a_test_that_only_the_baseline_fails_is_reported_without_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(reader: str, *_: object, **__: object) -> OrderScores:
        if reader == "base":
            raise DataError("too short")
        return OrderScores(("a", "b"), (1.0, 1.0), (2.0, 2.0))

    monkeypatch.setattr(LogProbabilities, "load", lambda name, precision: name)
    monkeypatch.setattr("storyteller.evaluate.likelihood_report.order_scores", order)
    monkeypatch.setattr("storyteller.evaluate.likelihood_report.choice_scores", order)
    report = evaluate_likelihood(["base", "other"], [STORIES["en"]])
    figures = report["tests"]["order"]
    assert list(figures["models"]) == ["other"]
    assert figures["differences"] == {}
    assert report["not_computed"]["order"] == "base: too short"
    assert "base: too short" in render_likelihood(report)


def test_the_stories_are_of_one_language_and_what_is_left_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chinese = [story(STORIES["zh"], f"z{n}", "zh") for n in range(3)]
    english = [story(STORIES["en"], f"e{n}") for n in range(2)]
    for name, told in (("zh", chinese), ("both", english + chinese)):
        lines = (json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in told)
        (write_corpus(tmp_path / name, told[:1]) / "test.jsonl").write_text("".join(lines), encoding="utf-8")
    assert {one.language for one in stories_of_one_language(tmp_path / "zh", "test", None, None)} == {"zh"}
    assert capsys.readouterr().err == ""
    assert {one.language for one in stories_of_one_language(tmp_path / "both", "test", None, None)} == {"en"}
    assert "only stories in en are read; the 3 in zh are read with --lang zh" in capsys.readouterr().err
    assert len(stories_of_one_language(tmp_path / "both", "test", 2, "zh")) == 2


def test_the_report_compares_models_on_the_same_items(tiny_llama: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("\n".join(json.dumps(PLAIN | {"work": str(n), "answer": n % 3}) for n in range(6)))
    names = [str(tiny_llama), str(tiny_gpt2)]
    report = evaluate_likelihood(names, [STORIES["en"], "One. Two."], choices=path, precision="float32")
    figures = report["tests"]["choices of c.jsonl"]
    assert (figures["n"], round(figures["chance"], 2)) == (6, 0.33)
    for way in ("total", "mean", "pmi"):
        first, second, difference = (
            figures[group][name][way]["value"]
            for group, name in (("models", names[0]), ("models", names[1]), ("differences", names[1]))
        )
        assert difference == pytest.approx(second - first)
    assert "four sentences" in report["not_computed"]["order"]
    assert "c.jsonl" in render_likelihood(report)
    json.dumps(report)
