"""`storyteller refine`: the bundled recipe in miniature on our own stories, and mistakes that are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.adversarial.conftest import SMALL, STORIES, stand_in
from typer.testing import CliRunner, Result

from storyteller.cli import app
from storyteller.corpus import prepare


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stories") / "prepared"
    prepare([STORIES], folder)
    return folder


def test_the_recipe_in_miniature(
    tiny_llama: Path, stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command to an honest end; the real judges need fifty texts, so a stand-in judges here."""
    monkeypatch.setattr("storyteller.evaluate.refining.score_refinement", stand_in)
    small = [f"model.base={tiny_llama}", f"data.path={stories}", *SMALL, "train.steps=2"]
    done = run("refine", "refine", *small, "--out", str(tmp_path / "run"), "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert Path(told["final"], "adapter_model.safetensors").is_file()
    assert told["passed"] in (True, False)
    monkeypatch.chdir(tmp_path)  # where no recipe's default corpus is
    planned = run("refine", "--resume", str(tmp_path / "run"), "--dry-run", "--json")
    assert planned.exit_code == 0, planned.output
    plan = json.loads(planned.stdout)
    assert (plan["steps"], plan["recipe"]["data"]["path"]) == (2, str(stories))
    again = run("refine", "--resume", str(tmp_path / "run"))
    assert again.exit_code == 0, again.output
    assert "resumed at step 2 of 2" in again.stderr


def test_dry_run(tiny_llama: Path, stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storyteller.evaluate.refining.score_refinement", stand_in)
    monkeypatch.chdir(tmp_path)
    small = [f"model.base={tiny_llama}", f"data.path={stories}", *SMALL]
    shown = run("refine", "refine", *small, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "gail: 4 steps of 6 stories" in shown.stdout
    members = run("refine", "refine", *small, "--members", "2", "--dry-run", "--json")
    assert [plan["recipe"]["train"]["seed"] for plan in json.loads(members.stdout)] == [1, 2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--members", "2", "--dry-run")])
def test_a_corpus_with_too_few_works_for_the_judge_is_refused_before_anything_is_drawn(
    tiny_llama: Path, stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """Our own stories are such a corpus."""
    monkeypatch.setattr("storyteller.adversarial.refinement.sample", None)
    monkeypatch.chdir(tmp_path)
    small = [f"model.base={tiny_llama}", f"data.path={stories}", *SMALL, "refine.rollout.dev_prompts=96"]
    refused = run("refine", "refine", *small, *more)
    assert refused.exit_code != 0
    assert "stories to the prompts of dev (1, from works: 1) could not be judged" in refused.stderr
    assert "prepare a corpus with more works" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "storyteller recipes"),
        (["refine", "refine.trainr=coop"], "did you mean refine.trainer?"),
        (["refine", "refine.critic.leaning_rate=1"], "unknown key refine.critic.leaning_rate"),
        (["refine", "refine.trainer=wgan"], "refine.trainer"),
        (["--resume", "nowhere"], "holds no run"),
        (["--members", "3", "--resume", "three"], "name the recipe again"),  # else member 3 has all defaults
        (["train.steps=9", "--slice", "fable", "--slice", "play", "--resume", "two"], "name the recipe again"),
    ],
)
def test_mistakes(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("refine", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
