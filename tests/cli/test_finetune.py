"""`storyteller finetune` and `storyteller evaluate`: every bundled recipe runs in miniature, on our own stories."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.tokens.stories import LAMP, SEAL, long_story, story, write_corpus
from typer.testing import CliRunner, Result

from storyteller.cli import app
from storyteller.corpus import prepare
from storyteller.recipe.load import bundled_recipes, load_recipe

_STORIES = Path(__file__).parents[2] / "examples" / "stories"


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stories") / "prepared"
    prepare([_STORIES], folder)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = [long_story("a", 6), long_story("b", 5, "zh"), story(SEAL, "c")]
    return write_corpus(tmp_path_factory.mktemp("corpus"), train, [story(LAMP, "d", "zh")])


def miniature(base: Path, data: Path, steps: int = 2) -> list[str]:
    return [
        f"model.base={base}", f"data.path={data}", f"train.steps={steps}", "train.epochs=null", "train.minutes=null",
        "train.rows=1", "train.accumulate=1", "train.evaluate_rows=2", "train.precision=float32", "data.context=128",
        "samples.words=8",
    ]  # fmt: skip


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("name", bundled_recipes())
def test_every_recipe_runs_in_miniature(tiny_llama: Path, stories: Path, tmp_path: Path, name: str) -> None:
    new = load_recipe(name).pretrain is not None
    shrunk = ["model.shape={layers: 1, width: 32, heads: 2}", "pretrain.tokenizer.vocabulary=400"] if new else []
    command = "pretrain" if new else "finetune"
    options = [*miniature(tiny_llama, stories), *shrunk]
    result = run(command, name, *options, "--out", str(tmp_path / "run"), "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert Path(told["final"]).joinpath("README.md").is_file()
    assert ("storyteller fill" if name == "masked" else "storyteller write") in result.stderr
    assert "CC0-1.0" in Path(told["final"]).joinpath("README.md").read_text("utf-8")


def test_train_evaluate_write(tiny_llama: Path, stories: Path, tmp_path: Path) -> None:
    """The newcomer's way, in miniature: our own stories into an adapter, measured, and a story told with it."""
    folder = str(tmp_path / "run")
    assert run("finetune", "own-stories", *miniature(tiny_llama, stories), "--out", folder).exit_code == 0
    measured = run(
        "evaluate", str(tiny_llama), folder, "--data", str(stories), "--split", "dev", "--limit", "2",
        "--max-tokens", "60", "--out", str(tmp_path / "evaluation"), "--json",
    )  # fmt: skip
    assert measured.exit_code == 0, measured.output
    report = json.loads(measured.stdout)
    assert folder in report["differences"]
    assert json.loads((tmp_path / "evaluation" / "report.json").read_text("utf-8")) == report
    shown = run("evaluate", folder, "--data", str(stories), "--limit", "1", "--max-tokens", "60", "--lang", "zh")
    assert shown.stdout.startswith("# Held-out stories\n")
    written = run("write", "A seal", "--model", folder, "--engine", "torch", "--words", "5", "--seed", "1", "--json")
    assert json.loads(written.stdout)["words"] > 0


def test_the_default_folder_is_named_after_the_recipe(
    tiny_llama: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("finetune", "full", *miniature(tiny_llama, corpus, 1), "name=海豹", "samples.prompts=[]").exit_code == 0
    assert (tmp_path / "runs" / "海豹" / "final" / "model.safetensors").is_file()
    again = run("finetune", "full", *miniature(tiny_llama, corpus, 1), "name=海豹", "samples.prompts=[]")
    assert (again.exit_code, "--resume" in again.stderr) == (2, True)
    assert run("finetune", "--resume", "runs/海豹").exit_code == 0
    # Changes are laid over what the run was asked: the same is no change, another is refused with the difference.
    assert run("finetune", "--resume", "runs/海豹", "train.steps=1", "train.rows=1").exit_code == 0
    for options in ([], ["--dry-run"]):
        changed = run("finetune", "--resume", "runs/海豹", "train.steps=1", "train.lr=0.03", *options)
        assert changed.exit_code == 2
        assert "was started with another recipe" in changed.stderr
        assert [line.split() for line in changed.stderr.splitlines() if "->" in line] == [
            ["train.lr:", "2e-05", "->", "0.03"]
        ]


def test_dry_run(tiny_llama: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run("finetune", "tales", *miniature(tiny_llama, corpus), "--dry-run")
    assert shown.exit_code == 0
    assert "lr: 0.0003" in shown.stdout
    assert "length_quantiles" in shown.stdout
    assert "2 steps in about" in shown.stdout
    as_json = json.loads(run("finetune", "tales", *miniature(tiny_llama, corpus), "--dry-run", "--json").stdout)
    assert as_json["steps"] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "storyteller recipes"),
        (["tales", "train.stepz=3"], "did you mean train.steps?"),
        (["full", "train.steps=3", "train.epochs=1"], "give one of steps, epochs and minutes"),
        (["nosuch.yaml"], "no recipe file"),
        (["tales", "data.path=nothing", "model.base=nothing"], "nothing"),
        (["--resume", "nowhere"], "holds no run"),
        (["train.lr=1e-5", "--resume", "nowhere"], "holds no run"),
        (["tales", "--resume"], "--resume"),
    ],
)
def test_mistakes(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("finetune", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_typo_is_told_before_torch_is_imported() -> None:
    script = (
        "import sys; sys.argv[1:] = ['finetune', 'tales', 'train.stepz=1']\n"
        "from storyteller.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    sys.exit(3 if 'torch' in sys.modules else end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(tiny_llama: Path, corpus: Path, tmp_path: Path, sent: int) -> None:
    folder = tmp_path / "run"
    settings = [*miniature(tiny_llama, corpus, 200), "samples.prompts=[]", "train.log_every=1"]
    start = [sys.executable, "-c", "from storyteller.cli import main; main()", "finetune"]
    with subprocess.Popen(
        [*start, "full", *settings, "--out", str(folder)], stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if line.startswith("step 3/"):
                break
        os.kill(child.pid, sent)
        rest = child.stderr.read()
        assert child.wait(60) == 130
    assert f"storyteller finetune --resume {folder}" in rest.splitlines()[-1]
    assert "Traceback" not in rest
    step = json.loads((folder / "last.json").read_text())["step"]
    assert 3 <= step < 200
    assert (folder / "checkpoints" / f"step-{step:06d}" / "state.json").is_file()
    resumed = run("finetune", "--resume", str(folder))
    assert f"resumed at step {step} of 200" in resumed.stderr
    assert resumed.exit_code == 0
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, 201))
    assert load_file(folder / "final" / "model.safetensors")
