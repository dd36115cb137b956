"""The stage as a whole: what comes out of it, and that stopping and going on is the same as never having stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tokens.stories import SEAL, story, write_corpus
from tests.train.conftest import MakeRecipe

from storyteller.errors import CheckpointError, DataError, ModelError, TrainingError
from storyteller.models import load_model, locate
from storyteller.recipe import Recipe
from storyteller.runs import Run
from storyteller.train import Interrupted, dry_run, finetune
from storyteller.train.checkpoint import newest_whole
from storyteller.train.stage import _same_rows

DROPOUT = "model.lora.dropout=0.2"


def weights(run: Run) -> dict[str, torch.Tensor]:
    (path,) = run.final.glob("*model.safetensors")
    return load_file(path)


def same(one: Run, other: Run) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class StopError(Exception):
    pass


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make training fall over in the step after so many steps, as hard as an exception can."""
    import storyteller.train.loop as loop

    step = loop._train_step

    def after(steps: int | None) -> None:
        def falls(*arguments: Any) -> Any:
            if arguments[2].step == steps:
                raise StopError
            return step(*arguments)

        monkeypatch.setattr(loop, "_train_step", falls)

    return after


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("stops", [(3,), (2, 5)])
def test_resuming_is_exact(
    small: MakeRecipe, tmp_path: Path, interrupt: Any, method: str, stops: tuple[int, ...]
) -> None:
    recipe = small(f"model.method={method}", DROPOUT, "train.save_every=1", "train.keep=1")
    whole = finetune(recipe, tmp_path / "whole")
    for number, stop in enumerate(stops):
        interrupt(stop)
        with pytest.raises(StopError):
            finetune(recipe, tmp_path / "parts", resume=number > 0)
    interrupt(None)
    parts = finetune(recipe, tmp_path / "parts", resume=True)
    assert same(whole, parts)
    told = [[(line["step"], line["split"], line["loss"]) for line in run.metrics()] for run in (whole, parts)]
    assert told[0] == told[1]
    assert [step for step, split, _ in told[0] if split == "train"] == [1, 2, 3, 4, 5, 6]


def test_dropout_is_really_on(small: MakeRecipe, tmp_path: Path) -> None:
    assert not same(finetune(small(DROPOUT), tmp_path / "a"), finetune(small(), tmp_path / "b"))


def test_steps_lost_since_the_last_checkpoint_are_done_again(small: MakeRecipe, tmp_path: Path, interrupt: Any) -> None:
    recipe = small("train.save_every=4", "train.evaluate_every=4")
    whole = finetune(recipe, tmp_path / "whole")
    interrupt(3)
    with pytest.raises(StopError):
        finetune(recipe, tmp_path / "parts")
    interrupt(None)
    parts = finetune(Recipe(), tmp_path / "parts", resume=True)
    assert same(whole, parts)
    assert [(line["step"], line["split"]) for line in parts.metrics()] == [
        (line["step"], line["split"]) for line in whole.metrics()
    ]


def test_a_damaged_checkpoint_is_passed_over(
    small: MakeRecipe, tmp_path: Path, interrupt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = small("train.save_every=1", "train.keep=3")
    whole = finetune(recipe, tmp_path / "whole")
    interrupt(5)
    with pytest.raises(StopError):
        finetune(recipe, tmp_path / "parts")
    interrupt(None)
    file = tmp_path / "parts" / "checkpoints" / "step-000005" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    assert same(whole, finetune(recipe, tmp_path / "parts", resume=True))
    told = capsys.readouterr().err
    assert "step-000005 is damaged and is passed over" in told
    assert "resumed at step 4 of 6" in told


def test_a_damaged_checkpoint_does_not_push_out_what_is_saved_after_it(
    small: MakeRecipe, tmp_path: Path, interrupt: Any
) -> None:
    """Of a later step than the run goes on from, it would be the newest, and each new checkpoint one too many."""
    recipe = small("train.save_every=1", "train.keep=1", "train.evaluate_every=99")
    for stop in (5, 3):
        interrupt(stop)
        with pytest.raises(StopError):
            finetune(recipe, tmp_path / "run", resume=stop == 3)
        if stop == 5:
            file = tmp_path / "run" / "checkpoints" / "step-000005" / "adapter_model.safetensors"
            file.write_bytes(file.read_bytes()[:-9])
    folder, damaged = newest_whole(Run.open(tmp_path / "run"))
    assert folder is not None
    assert (folder.name, damaged) == ("step-000003", [])
    assert (tmp_path / "run" / "checkpoints" / "damaged-step-000005").is_dir()


def test_a_run_does_not_go_on_over_another_base(
    small: MakeRecipe, tmp_path: Path, tiny_llama: Path, interrupt: Any
) -> None:
    """A run as a base is its best checkpoint until it has ended, and another model then."""
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    interrupt(2)
    with pytest.raises(StopError):
        finetune(small(f"model.base={base}", "train.save_every=1"), tmp_path / "run")
    interrupt(None)
    weights_of = base / "model.safetensors"
    kept = weights_of.read_bytes()
    save_file({name: value + 0.01 for name, value in load_file(weights_of).items()}, weights_of, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"the weights of .*base have changed"):
        finetune(Recipe(), tmp_path / "run", resume=True)
    weights_of.write_bytes(kept)
    finetune(Recipe(), tmp_path / "run", resume=True)


def test_a_kill_between_checkpoint_and_pointer_loses_no_best(small: MakeRecipe, tmp_path: Path, interrupt: Any) -> None:
    recipe = small("train.lr=0.001", "train.steps=4")
    whole = finetune(recipe, tmp_path / "whole")
    interrupt(2)
    with pytest.raises(StopError):
        finetune(recipe, tmp_path / "parts")
    interrupt(None)
    (tmp_path / "parts" / "best.json").unlink()
    parts = finetune(recipe, tmp_path / "parts", resume=True)
    assert (parts.folder / "best.json").read_text() == (whole.folder / "best.json").read_text()


def test_a_finished_run_may_be_resumed(small: MakeRecipe, tmp_path: Path) -> None:
    run = finetune(small("train.lr=0.9", "train.warmup=0"), tmp_path / "run")
    before = weights(run)
    finetune(Recipe(), run.folder, resume=True)
    assert all(torch.equal(before[name], value) for name, value in weights(run).items())


def test_a_changed_recipe_is_refused_with_the_difference(small: MakeRecipe, tmp_path: Path) -> None:
    finetune(small("train.steps=1"), tmp_path / "run")
    with pytest.raises(CheckpointError, match="another recipe") as told:
        finetune(small("train.steps=1", "train.lr=0.02", "data.tasks={write: 1}"), tmp_path / "run", resume=True)
    message = str(told.value)
    assert "train.lr: 0.01  ->  0.02" in message
    assert "data.tasks.infill: 0.1  ->  None" in message
    assert "train.rows" not in message
    assert "--out" in message


def test_a_step_keeps_its_rows_when_fewer_processes_go_on(
    small: MakeRecipe, tmp_path: Path, interrupt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What one process did of a run is written as if two had: one alone then ends where an undisturbed run ends."""
    recipe = small("train.accumulate=4", "train.save_every=1")
    whole = finetune(recipe, tmp_path / "whole")
    interrupt(3)
    with pytest.raises(StopError):
        finetune(recipe, tmp_path / "parts")
    interrupt(None)
    for name, old, new in (
        ("recipe.yaml", "accumulate: 4", "accumulate: 2"),
        ("environment.json", '"processes": 1', '"processes": 2'),
    ):
        path = tmp_path / "parts" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    assert same(whole, finetune(Recipe(), tmp_path / "parts", resume=True))
    assert "train.accumulate is 4 now" in capsys.readouterr().err


def test_processes_that_cannot_share_a_step_are_refused(small: MakeRecipe, tmp_path: Path) -> None:
    run = finetune(small("train.steps=1", "train.accumulate=3"), tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"takes 6 rows .* 2 processes of 2 rows .* with 1, 3 of them"):
        _same_rows(run, run.recipe(), cast(Any, SimpleNamespace(num_processes=2, is_main_process=True)))


def test_a_run_is_not_started_over(small: MakeRecipe, tmp_path: Path) -> None:
    finetune(small("train.steps=1"), tmp_path / "run")
    with pytest.raises(CheckpointError, match="--resume"):
        finetune(small("train.steps=1"), tmp_path / "run")
    with pytest.raises(CheckpointError, match="holds no run"):
        finetune(Recipe(), tmp_path / "nothing", resume=True)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_a_run_leaves(small: MakeRecipe, tmp_path: Path, tiny_llama: Path, method: str) -> None:
    recipe = small(f"model.method={method}", "samples.prompts=[A seal, 一只海豹]", "samples.words=8", "name=海豹")
    run = finetune(recipe, tmp_path / "run")
    files = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    assert files >= {
        "recipe.yaml",
        "asked.yaml",
        "estimate.json",
        "environment.json",
        "data.json",
        "metrics.jsonl",
        "events.log",
        "last.json",
        "samples/step-000000.md",
        "samples/step-000006.md",
        "loss.svg",
        "final/README.md",
        "final/tokenizer.json",
        "final/storyteller_template.json",
    }
    assert {Path(name).suffix for name in files} <= {".yaml", ".json", ".jsonl", ".log", ".md", ".svg", ".safetensors"}
    assert run.recipe().train.steps == 6
    assert "## 一只海豹" in (run.folder / "samples/step-000006.md").read_text("utf-8")
    report = json.loads((run.folder / "data.json").read_text("utf-8"))["splits"]["train"]
    assert {"length_quantiles", "share_truncated", "share_without_target"} <= report.keys()
    card = (run.final / "README.md").read_text("utf-8")
    assert "dev bits per byte, best" in card
    loaded = load_model(locate(run.folder), merge=True)
    base = load_model(locate(tiny_llama))
    ids = torch.arange(3, 40)[None]
    assert (loaded(input_ids=ids).logits - base(input_ids=ids).logits).abs().max() > 1e-3
    if method == "full":
        from transformers import AutoModelForCausalLM

        plain = AutoModelForCausalLM.from_pretrained(run.final)
        assert torch.allclose(plain(input_ids=ids).logits, loaded(input_ids=ids).logits, atol=1e-5)
        assert "storyteller_packed" not in (run.final / "config.json").read_text()


def test_final_is_the_best_and_not_the_last(small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([5.0, 3.0, 4.0, 4.5])
    monkeypatch.setattr("storyteller.train.loop.mean_loss", lambda *_: (next(told), 1.0))
    run = finetune(small(), tmp_path / "run")
    best = run.pointed("best")
    assert best is not None
    assert best[1] == {"checkpoint": "step-000002", "step": 2, "loss": 3.0}
    assert all(torch.equal(load_file(best[0] / "adapter_model.safetensors")[k], v) for k, v in weights(run).items())


def test_no_improvement_is_said_aloud(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("storyteller.train.loop.mean_loss", lambda *_: (3.0, 1.0))
    run = finetune(small("train.steps=2"), tmp_path / "run")
    assert "did not improve on the base" in capsys.readouterr().err
    assert "**It did not improve" in (run.final / "README.md").read_text("utf-8")


def test_full_training_goes_on_from_an_adapter(small: MakeRecipe, tmp_path: Path) -> None:
    first = finetune(small("train.steps=2", "train.evaluate_every=1"), tmp_path / "first")
    second = finetune(small(f"model.base={first.folder}", "model.method=full", "train.steps=1"), tmp_path / "second")
    assert locate(second.folder).adapter is None
    assert (second.final / "model.safetensors").is_file()


def test_an_adapter_goes_on_from_that_of_its_base(small: MakeRecipe, tmp_path: Path, tiny_llama: Path) -> None:
    first = finetune(small("train.steps=4", "train.evaluate_every=2"), tmp_path / "first")
    second = finetune(small(f"model.base={first.folder}", "train.steps=2"), tmp_path / "second")
    assert locate(second.folder).folder == tiny_llama
    dev = [[line["loss"] for line in run.metrics() if line["split"] == "dev"] for run in (first, second)]
    assert min(dev[0]) == pytest.approx(dev[1][0], abs=1e-4)
    assert json.loads((second.folder / "estimate.json").read_text())["steps"] == 2
    with pytest.raises(TrainingError, match=r"rank 16, alpha 16 .*set model\.lora"):
        finetune(small(f"model.base={first.folder}", "model.lora.rank=4"), tmp_path / "third")
    config = first.final / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"alpha_pattern": {"q_proj": 64}}))
    with pytest.raises(TrainingError, match="scales of their own"):
        finetune(small(f"model.base={first.folder}"), tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_gpt2_too(small: MakeRecipe, tmp_path: Path, tiny_gpt2: Path) -> None:
    run = finetune(small(f"model.base={tiny_gpt2}", "train.steps=2"), tmp_path / "run")
    assert locate(run.folder).adapter == run.final


def test_gradient_checkpointing_trains_the_same(small: MakeRecipe, tmp_path: Path) -> None:
    plain = finetune(small("train.steps=2"), tmp_path / "plain")
    assert same(plain, finetune(small("train.steps=2", "train.gradient_checkpointing=true"), tmp_path / "saving"))


def test_two_precisions_in_one_process(small: MakeRecipe, tmp_path: Path) -> None:
    finetune(small("train.steps=1"), tmp_path / "a")
    run = finetune(small("train.steps=1", "train.precision=bfloat16"), tmp_path / "b")
    assert run.recipe().train.precision == "bfloat16"
    assert {tensor.dtype for tensor in weights(run).values()} == {torch.float32}


@pytest.mark.parametrize(
    ("lengths", "steps"),
    [(["train.steps=7"], 7), (["train.epochs=2"], None), (["train.minutes=0.001"], None), ([], None)],
)
def test_the_length_of_a_run(small: MakeRecipe, tmp_path: Path, lengths: list[str], steps: int | None) -> None:
    plan = dry_run(small("train.steps=null", *lengths))
    resolved = plan["recipe"]["train"]
    assert (resolved["steps"], resolved["epochs"], resolved["minutes"]) == (plan["steps"], None, None)
    if steps is not None:
        assert plan["steps"] == steps
    elif "train.minutes=0.001" in lengths:
        assert plan["seconds"] <= 1
    else:
        one = dry_run(small("train.epochs=1", "train.steps=null"))["steps"]
        assert plan["steps"] == pytest.approx(one * (2 if lengths else 1), abs=1)


def test_a_dry_run_writes_no_run(small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = dry_run(small())
    assert list(tmp_path.iterdir()) == []
    assert plan["trained"] < plan["parameters"]
    assert plan["memory_bytes"] > 1e6
    assert plan["data"]["splits"]["train"]["examples"] > 0
    assert "6 steps in about" in plan["summary"]
    json.dumps(plan)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("model.lora.targets=[q_porj]", ModelError, "nearest is 'q_proj'"),
        ("model.base=nosuchmodel", ModelError, "nosuchmodel"),
        ("data.path=nothing", DataError, "storyteller prepare"),
        ("data.context=2048", TrainingError, r"data\.context is 2048, but .* reads 1024"),
        ("train.precision=float16", TrainingError, "float16 needs a GPU"),
        ("train.sinks=[wandb]", TrainingError, "wandb"),
        ("data.max_share_form={opera: 0.1}", DataError, "no form opera"),
    ],
)
def test_mistakes_are_told_before_a_run_is_made(
    small: MakeRecipe,
    tmp_path: Path,
    override: str,
    error: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(error, match=message):
        finetune(small(override), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_empty_corpus_is_an_error(small: MakeRecipe, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [])
    with pytest.raises(DataError, match="no example"):
        finetune(small(f"data.path={corpus}"), tmp_path / "run")


def test_few_stories_are_trained_on_and_told(
    small: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path / "corpus", [story(SEAL, "s")])
    finetune(small(f"data.path={corpus}", "train.steps=1", "data.tasks={write: 1}"), tmp_path / "run")
    assert (
        "one step reads 4 rows, and all training stories together fill 1, so that it shows each of them 4.0 times"
        in capsys.readouterr().err
    )
    finetune(small("train.steps=1"), tmp_path / "more")
    assert "one step reads" not in capsys.readouterr().err


def test_without_dev_there_is_no_patience(small: MakeRecipe, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [story(SEAL, f"s{i}") for i in range(4)])
    with pytest.raises(TrainingError, match="needs a dev split"):
        finetune(small(f"data.path={corpus}", "train.patience=2"), tmp_path / "run")
    run = finetune(small(f"data.path={corpus}", "train.steps=2"), tmp_path / "run")
    assert "target tokens" in (run.final / "README.md").read_text("utf-8")


def test_ctrl_c_says_how_to_go_on(
    small: MakeRecipe, tmp_path: Path, interrupt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    import storyteller.train.loop as loop

    step = loop._train_step

    def with_signal(*arguments: Any) -> Any:
        if arguments[2].step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    whole = finetune(small(), tmp_path / "whole")
    monkeypatch.setattr(loop, "_train_step", with_signal)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"stopped at step 3 of 6; everything is saved.*finetune --resume \S+parts"):
        finetune(small(), tmp_path / "parts")
    assert signal.getsignal(signal.SIGINT) is before
    interrupt(None)
    assert same(whole, finetune(small(), tmp_path / "parts", resume=True))


def test_a_run_does_not_go_on_with_another_corpus(
    small: MakeRecipe, tmp_path: Path, corpus: Path, interrupt: Any
) -> None:
    own = tmp_path / "corpus"
    shutil.copytree(corpus, own, ignore=shutil.ignore_patterns("shards"))
    recipe = small(f"data.path={own}", "train.steps=4")
    interrupt(2)
    with pytest.raises(StopError):
        finetune(recipe, tmp_path / "run")
    interrupt(None)
    lines = (own / "train.jsonl").read_text("utf-8").splitlines(keepends=True)
    (own / "train.jsonl").write_text("".join(lines[1:]), "utf-8")
    with pytest.raises(CheckpointError, match="has changed since the run began"):
        finetune(recipe, tmp_path / "run", resume=True)
    (own / "train.jsonl").write_text("".join(lines), "utf-8")
    assert finetune(recipe, tmp_path / "run", resume=True).final.is_dir()
