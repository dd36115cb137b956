from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from storyteller.errors import DataError
from storyteller.evaluate.harness import evaluate_tasks, render_tasks
from storyteller.evaluate.log_probabilities import LogProbabilities

needs_harness = pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm-eval is not installed")

QUESTIONS = [
    {"context": context, "endings": ["The keeper slept.", "A seal came up.", "故事完了。"], "label": index % 3}
    for index, context in enumerate(
        ("The lamp went out.", "Fog came.", "守塔人醒了。", "He waited.", "It rang.", "So?")
    )
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of two figures, with its data beside it."""
    place = tmp_path_factory.mktemp("tasks")
    (place / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    task = {
        "task": "tiny_endings", "dataset_path": "json", "output_type": "multiple_choice",
        "dataset_kwargs": {"data_files": {"test": str(place / "data.jsonl")}}, "test_split": "test",
        "doc_to_text": "{{context}}", "doc_to_target": "label", "doc_to_choice": "endings",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    (place / "tiny_endings.yaml").write_text(json.dumps(task))
    return place


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))


@needs_harness
def test_a_local_task_gives_the_accuracy_computed_directly(tiny_llama: Path, folder: Path) -> None:
    reader = LogProbabilities.load(str(tiny_llama), "float32")
    encode = reader.tokenizer.encode
    right = 0
    for row in QUESTIONS:
        endings = [
            encode(f"{row['context']} {ending}")[len(encode(str(row["context"]))) :] for ending in row["endings"]
        ]  # type: ignore[attr-defined]
        totals = [score.total for score in reader.score_ids([(encode(str(row["context"])), endings)])[0]]
        right += totals.index(max(totals)) == row["label"]
    report = evaluate_tasks([str(tiny_llama)], ["tiny_endings"], task_folder=folder, out=folder / "report")
    assert json.loads((folder / "report" / "tasks.json").read_text()) == report
    found = report["models"][str(tiny_llama)]["tiny_endings"]
    assert found["n"] == len(QUESTIONS)
    assert found["figures"]["acc"]["value"] == pytest.approx(right / len(QUESTIONS))
    assert found["figures"]["acc"]["stderr"] > 0
    assert "tiny_endings | acc" in render_tasks(report)


@needs_harness
def test_it_agrees_with_the_harness_own_model(tiny_llama: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from storyteller.evaluate.harness_model import HarnessModel

    ours = HarnessModel(LogProbabilities.load(str(tiny_llama), "float32"))
    theirs = HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=2)

    def ask(kind: str, *arguments: tuple[Any, ...]) -> list[list[Any]]:
        requests = [Instance(kind, {}, given, index) for index, given in enumerate(arguments)]  # type: ignore[arg-type]
        return [getattr(model, kind)(requests) for model in (ours, theirs)]

    mine, own = ask(
        "loglikelihood",
        ("The lamp went out.", " A seal came up."),
        ("", "The keeper slept."),
        ("守塔人 ", "醒了。"),
        ("The long way. " * 400, " It ended."),
    )
    for (total, greedy), (expected, also) in zip(mine, own, strict=True):
        assert total == pytest.approx(expected, abs=1e-4)
        assert greedy == also
    mine, own = ask("loglikelihood_rolling", ("The keeper slept. " * 3,), ("守塔人醒了。" * 120,))
    assert mine == pytest.approx(own, rel=1e-4)
    settings = {"until": ["\n\n", "e"], "max_gen_toks": 12, "do_sample": False}
    mine, own = ask("generate_until", ("The lamp", settings), ("Fog came. So", settings | {"until": []}))
    assert mine == own


@needs_harness
@pytest.mark.slow  # lm-eval reads all of its 15,000 task files to know that there is none of this name
def test_an_unknown_task_is_named(tiny_llama: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="tiny_endings"):
        evaluate_tasks([str(tiny_llama)], ["tiny_ending"], task_folder=folder)


@needs_harness
def test_mistakes_are_named(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name a task"):
        evaluate_tasks([str(tiny_llama)], [])
    with pytest.raises(DataError, match="no folder"):
        evaluate_tasks([str(tiny_llama)], ["x"], task_folder=tmp_path / "none")


def test_without_the_harness_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"storyteller\[lm-eval\]"):
        evaluate_tasks(["default"], ["hellaswag"])
