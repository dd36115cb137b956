"""The report: the same stories for every model, differences in pairs, and files that can be read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tiny import tiny_model
from tests.tokens.stories import LAMP, SCENE, SEAL, story, write_corpus

from storyteller.corpus.story import Story
from storyteller.errors import DataError, ModelError
from storyteller.evaluate import StoryLoss, compare, evaluate_models, render_report
from storyteller.evaluate.loss_report import choose_stories


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stories: list[Story] = [
        *(story(SEAL + f"\n\nIt was year {i}.", f"en{i}", work=f"w{i}") for i in range(4)),
        *(story(LAMP + f"\n\n那是第{i}年。", f"zh{i}", "zh", work=f"z{i}") for i in range(3)),
        story(SCENE, "scene", form="screenplay"),
    ]
    folder = write_corpus(tmp_path_factory.mktemp("data"), stories[:1])
    lines = (json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in stories)
    (folder / "test.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def test_two_models_on_the_same_stories(data: Path, tiny_llama: Path, tmp_path: Path) -> None:
    other = str(tiny_model(tmp_path / "other", seed=5))
    report = evaluate_models([str(tiny_llama), other], data, out=tmp_path / "out", prompted=True)
    assert report["data"] == {"split": "test", "stories": 8, "works": 8}
    first, second = ({row["group"]: row for row in report["models"][name]} for name in (str(tiny_llama), other))
    assert list(first) == list(second) == ["all", "en", "en screenplay", "en story", "zh", "zh story"]
    difference = report["differences"][other]
    expected = second["all"]["bits_per_byte"]["value"] - first["all"]["bits_per_byte"]["value"]
    assert difference["value"] == pytest.approx(expected)
    assert difference["low"] <= difference["value"] <= difference["high"]
    widths = first["all"]["bits_per_byte"]["high"] - first["all"]["bits_per_byte"]["low"]
    assert widths > 0
    written = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert written["settings"]["prompted"]
    assert written["models"][other][0]["tokens"] == second["all"]["tokens"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "losses.jsonl").read_text("utf-8").splitlines()]
    assert [line["model"] for line in lines] == [str(tiny_llama)] * 8 + [other] * 8
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert text == render_report(report)
    assert "| zh story | 3 |" in text
    assert f"{other} against {tiny_llama}:" in text


def test_models_of_other_tokens_read_the_same_beginnings(data: Path, tiny_llama: Path, tmp_path: Path) -> None:
    other = str(tiny_model(tmp_path / "other", seed=5, vocabulary=270))
    report = evaluate_models([str(tiny_llama), other], data, max_tokens=21, out=tmp_path / "out")
    assert report["differences"][other]["value"] != 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "losses.jsonl").read_text("utf-8").splitlines()]
    first, second = lines[:8], lines[8:]
    assert [line["bytes"] for line in first] == [line["bytes"] for line in second]
    assert all(0 < line["bytes"] < 100 for line in lines)
    assert sum(line["tokens"] for line in first) < sum(line["tokens"] for line in second)
    again = evaluate_models([str(tiny_llama), str(tiny_llama)], data, max_tokens=21)
    assert again["models"][str(tiny_llama)][0]["tokens"] == 8 * 21


def test_reports_are_json_for_everyone(data: Path, tiny_llama: Path, tmp_path: Path) -> None:
    """A group of one work has no interval, and JSON has no NaN."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    report = evaluate_models([str(tiny_llama)], data, limit=1, out=tmp_path / "out")
    json.loads((tmp_path / "out" / "report.json").read_text("utf-8"), parse_constant=refuse)
    json.loads(json.dumps(report), parse_constant=refuse)
    assert "[no interval]" in render_report(report)


def test_the_same_stories_every_time_and_more_of_them_with_a_higher_limit(data: Path) -> None:
    three, five = ([one.id for one in choose_stories(data, "test", n, None)] for n in (3, 5))
    assert five[:3] == three
    assert len(choose_stories(data, "test", None, None)) == 8
    assert {one.language for one in choose_stories(data, "test", None, "zh")} == {"zh"}


def test_mistakes(data: Path, tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'validation'; it is train, dev or test"):
        choose_stories(data, "validation", None, None)
    with pytest.raises(DataError, match=r"no story in its dev split"):
        choose_stories(data, "dev", None, None)
    with pytest.raises(DataError, match=r"no fr story"):
        choose_stories(data, "test", None, "fr")
    with pytest.raises(DataError, match="storyteller prepare"):
        evaluate_models([str(tiny_llama)], tmp_path)
    with pytest.raises(ModelError):
        evaluate_models(["nosuchmodel"], data)


def test_only_the_same_texts_are_compared() -> None:
    one = [StoryLoss("a", "w", "story", "en", 10.0, 5, 20), StoryLoss("b", "v", "story", "en", 20.0, 5, 20)]
    other = [StoryLoss("a", "w", "story", "en", 8.0, 9, 20), StoryLoss("b", "v", "story", "en", 18.0, 9, 20)]
    assert compare(one, one).value == 0
    assert compare(one, other).value == pytest.approx(-4 / 0.6931472 / 40)
    assert compare(one, other).high < 0
    with pytest.raises(DataError, match="different texts"):
        compare(one, [StoryLoss("a", "w", "story", "en", 8.0, 9, 21), other[1]])
