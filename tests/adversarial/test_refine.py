"""The stage as a whole on a tiny model: every trainer, exact resume, alarms that take the run back, a gate that is honest."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.adversarial.conftest import SMALL, MakeRecipe, alarmed, lines, stand_in
from tests.tokens.stories import LAMP, SEAL, story, write_corpus

from storyteller.adversarial import refine
from storyteller.adversarial.final import Spot, matched_gain
from storyteller.adversarial.marks import sentence_marks
from storyteller.adversarial.refinement import Refinement
from storyteller.errors import DataError, ModelError, RecipeError, TrainingError
from storyteller.models import load_model, locate
from storyteller.recipe import Recipe, load_recipe
from storyteller.runs import Run


class StopError(Exception):
    pass


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.final / "adapter_model.safetensors")


def without_clock(run: Run) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if not key.startswith("seconds") and key != "memory_mb"}
        for line in run.metrics()
    ]


def pleased(human: Sequence[str], drawn: Sequence[str], works: Sequence[str], language: str) -> dict[str, float]:
    """A judge that likes every model better than the one before."""
    pleased.calls += 1  # type: ignore[attr-defined]
    return stand_in(human, drawn, works, language) | {"judge_auc": 0.9 - 0.001 * pleased.calls}  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _fresh_judge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    pleased.calls = 0  # type: ignore[attr-defined]
    if "leaves" not in request.node.name:  # a plot takes longer than the run that it shows
        monkeypatch.setattr("storyteller.adversarial.report.plot_refinement", lambda *_: None)


def test_people_seldom_break_the_rules_that_are_taken_from_them(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn stories count up to their last sentence end; lengths of people's that did not would condemn every story."""
    found: list[int] = []

    def watch(stage: Refinement) -> None:
        for prompt in stage.prompts.train:
            marks = sentence_marks(prompt.human, stage.template.tokenizer, prompt.language)
            found.append(stage.rules.broken(new(prompt.human), marks))
        raise StopError

    def new(ids: Sequence[int]) -> list[int]:
        return [100_000 + index for index in ids]  # nobody copies: these ids stand in no story

    monkeypatch.setattr(Refinement, "step", watch)
    with pytest.raises(StopError):
        refine(small("refine.trainer=gail", "refine.rollout.new_tokens=160"), tmp_path / "run", stand_in)
    assert sum(found) < 0.5 * len(found)


@pytest.mark.parametrize(
    "trainer",
    ["gail", "coop", pytest.param("pairs", marks=pytest.mark.slow), pytest.param("iq", marks=pytest.mark.slow)],
)
def test_every_trainer_runs_and_resumes_exactly(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: str
) -> None:
    """Killed in step 4 of 4, with a round that began in step 3: the same weights, critic, figures and report."""
    recipe = small(f"refine.trainer={trainer}", "train.save_every=1", "refine.rounds=2")
    whole = refine(recipe, tmp_path / "whole", pleased)
    step = Refinement.step

    def falls(stage: Refinement) -> None:
        if stage.at == 3:
            raise StopError
        step(stage)

    pleased.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(Refinement, "step", falls)
    with pytest.raises(StopError):
        refine(recipe, tmp_path / "parts", pleased)
    monkeypatch.setattr(Refinement, "step", step)
    parts = refine(Recipe(), tmp_path / "parts", pleased, resume=True)
    ours, theirs = (load_file(run.folder / "checkpoints/step-000004/adversary.safetensors") for run in (whole, parts))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(torch.equal(value, weights(parts)[name]) for name, value in weights(whole).items())
    assert without_clock(whole) == without_clock(parts)
    assert json.loads((whole.folder / "refinement.json").read_text()) == json.loads(
        (parts.folder / "refinement.json").read_text()
    )
    assert [line["step"] for line in lines(whole, "train")] == [1, 2, 3, 4]
    assert any(value.abs().max() > 0 for name, value in weights(whole).items() if "lora_B" in name)


def test_a_change_of_temperature_is_no_gain() -> None:
    """What only moves along the line that the unchanged model draws by its temperature has not come nearer to people."""
    line = [(0.7, 0.60, 0.90), (0.8, 0.67, 0.80), (1.0, 0.80, 0.60)]
    points: list[Spot] = [(t, {"distinct_2": variety, "judge_auc": area}, {}) for t, variety, area in line]
    assert matched_gain(points, {"distinct_2": 0.80, "judge_auc": 0.60}) == pytest.approx(0)
    assert matched_gain(points, {"distinct_2": 0.67, "judge_auc": 0.55}) == pytest.approx(0.05)
    assert matched_gain(points, {"distinct_2": 0.735, "judge_auc": 0.68}) == pytest.approx(-0.08)  # at 1.0 it is both
    assert matched_gain(points, {"distinct_2": 0.9, "judge_auc": 0.65}) == pytest.approx(-0.05)
    assert matched_gain(points[:1], {"distinct_2": 0.67, "judge_auc": 0.7}) is None


def sharper(human: Sequence[str], drawn: Sequence[str], works: Sequence[str], language: str) -> dict[str, float]:
    """A judge that likes the refined model a little better, and the unchanged one at 0.7, as varied, far better."""
    sharper.calls += 1  # type: ignore[attr-defined]
    calls: int = sharper.calls  # type: ignore[attr-defined]
    area = 0.9 - 0.001 * calls - (0.2 if calls == 6 else 0.0)
    return stand_in(human, drawn, works, language) | {"judge_auc": area, "distinct_2": 0.4 if calls == 8 else 0.5}


def test_the_gate_compares_at_equal_diversity(small: MakeRecipe, tmp_path: Path) -> None:
    """Three evaluations and two scales come before the gate: the sixth and eighth are the model unchanged, the sixth at 0.7."""
    sharper.calls = 0  # type: ignore[attr-defined]
    run = refine(small("refine.frontier=[0.7]"), tmp_path / "run", sharper)
    told = json.loads((run.folder / "refinement.json").read_text())
    assert told["gate_gain"] > 0
    assert told["matched_gain"] < 0
    assert not told["passed"]
    assert "at this distinct-2 or more" in told["why"]
    assert all(value.abs().max() == 0 for name, value in weights(run).items() if "lora_B" in name)


def test_the_gate_stays_shut_where_equal_diversity_could_not_be_judged(small: MakeRecipe, tmp_path: Path) -> None:
    calls = itertools.count(1)

    def unsure(human: Sequence[str], drawn: Sequence[str], works: Sequence[str], language: str) -> dict[str, float]:
        """Likes each next model better, and cannot tell anything at 0.7, which the gate asks for in the sixth call."""
        number = next(calls)
        if number == 6:
            raise DataError("too few of one length")
        return stand_in(human, drawn, works, language) | {"judge_auc": 0.9 - 0.001 * number}

    run = refine(small("refine.frontier=[0.7]"), tmp_path / "run", unsure)
    told = json.loads((run.folder / "refinement.json").read_text())
    assert told["gate_gain"] > 0
    assert told["matched_gain"] is None
    assert not told["passed"]
    assert "not compared at equal diversity" in (run.folder / "report.md").read_text("utf-8")


def test_what_a_refinement_leaves(small: MakeRecipe, tmp_path: Path, tiny_llama: Path) -> None:
    run = refine(small("name=sea", "refine.frontier=[0.7]"), tmp_path / "run", pleased)
    files = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    assert files >= {
        "recipe.yaml", "asked.yaml", "environment.json", "data.json", "metrics.jsonl", "events.log", "last.json",
        "best.json", "pool.safetensors", "report.md", "refinement.json", "refinement.svg", "samples/step-000000.md",
        "samples/step-000004.md", "final/README.md", "final/tokenizer.json", "final/storyteller_template.json",
    }  # fmt: skip
    assert {Path(name).suffix for name in files} <= {".yaml", ".json", ".jsonl", ".log", ".md", ".svg", ".safetensors"}
    (first, *_) = lines(run, "train")
    parts = [first[f"seconds_{part}"] for part in ("rollout", "reading", "update", "critic")]
    assert all(part > 0 for part in parts)
    assert sum(parts) <= first["seconds_step"]
    assert first["kl"] == pytest.approx(0, abs=1e-6)  # the first stories are the reference's own
    report = (run.folder / "report.md").read_text("utf-8")
    assert report.startswith("# sea: refined")
    assert "No monitor tripped." in report
    assert "| dev |" in report
    frontier = json.loads((run.folder / "refinement.json").read_text())["frontier"]
    assert [point["temperature"] for point in frontier] == [0.7, 1.0]
    assert all(point["after"]["judge_auc"] < point["before"]["judge_auc"] for point in frontier)
    assert "## Quality and diversity" in report
    ids = torch.arange(3, 40)[None]
    refined, base = (load_model(locate(folder), merge=True) for folder in (run.folder, tiny_llama))
    assert (refined(input_ids=ids).logits - base(input_ids=ids).logits).abs().max() > 1e-3


def test_a_mixed_corpus_says_which_language_was_judged(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The policy learns both; report and card must not speak for the one that no judge has seen."""
    texts = [f"On day {i} of that year the keeper woke and counted {i + 3} gulls. {SEAL}" for i in range(16)]
    stories = [story(text, f"s{i}", work=f"book {i}") for i, text in enumerate(texts)]
    chinese = [story(f"第{i}天，守塔人醒得很早。{LAMP}", f"z{i}", "zh", work=f"书 {i}") for i in range(4)]
    corpus = write_corpus(tmp_path / "c", [*stories[:8], *chinese[:2]], [*stories[8:], *chinese[2:]])
    recipe = load_recipe(
        None, [f"model.base={tiny_llama}", f"data.path={corpus}", *SMALL, "data.context=1024", "train.steps=1",
               "refine.rollout.prompt_tokens=512", "refine.rollout.dev_prompts=8"],
    )  # fmt: skip
    judged = set()

    def score(human: Sequence[str], drawn: Sequence[str], works: Sequence[str], language: str) -> dict[str, float]:
        judged.add((language, any("灯" in text for text in human)))
        return stand_in(human, drawn, works, language)

    run = refine(recipe, tmp_path / "run", score)
    assert judged == {("en", False)}
    said = "Judges and diversity see en only"
    assert said in capsys.readouterr().err
    assert said in (run.folder / "events.log").read_text("utf-8")
    assert said in (run.folder / "report.md").read_text("utf-8")
    card = (run.final / "README.md").read_text("utf-8")
    assert "language:\n- en\ntags" in card
    assert said in card


def test_a_gain_that_does_not_last_is_not_shipped(small: MakeRecipe, tmp_path: Path) -> None:
    """Better on the dev prompts, worse on those of the gate: the model stays as it is, and the report says so."""

    def fickle(human: Sequence[str], drawn: Sequence[str], works: Sequence[str], language: str) -> dict[str, float]:
        figures = pleased(human, drawn, works, language)
        # One run measures three times while it trains and twice at its end; then comes the gate: unchanged, refined.
        return figures | ({"judge_auc": 0.95} if pleased.calls == 7 else {})  # type: ignore[attr-defined]

    run = refine(small(), tmp_path / "run", fickle)
    told = json.loads((run.folder / "refinement.json").read_text())
    assert (told["passed"], told["scale"]) == (False, 0.0)
    assert "the gate failed" in told["why"]
    assert all(value.abs().max() == 0 for name, value in weights(run).items() if "lora_B" in name)
    assert "no gain, the model is unchanged" in (run.folder / "report.md").read_text("utf-8")
    assert "not shipped" in (run.final / "README.md").read_text("utf-8")


def test_a_refined_adapter_lies_over_the_one_it_came_from(
    small: MakeRecipe, tmp_path: Path, tiny_llama: Path, corpus: Path
) -> None:
    """The shipped adapter is fine-tuning's and refinement's side by side, over the base that both name."""
    from storyteller.train import finetune

    tuned = finetune(
        load_recipe(None, [f"model.base={tiny_llama}", f"data.path={corpus}", "data.context=128", "train.steps=2",
                           "train.rows=2", "train.lr=0.01", "model.lora.rank=3", "samples.prompts=[]",
                           "train.evaluate_rows=2", "model.lora.targets=[q_proj, down_proj]"]),
        tmp_path / "tuned",
    )  # fmt: skip
    config = tuned.final / "adapter_config.json"  # PEFT takes a regular expression, too, and adapters have them
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"target_modules": r".*\.(q_proj|down_proj)"}), encoding="utf-8"
    )
    ids = torch.arange(3, 40)[None]
    before = load_model(locate(tuned.folder), merge=True)(input_ids=ids).logits
    run = refine(small(f"model.base={tuned.folder}", "train.steps=2"), tmp_path / "run", pleased)
    with pytest.raises(ModelError, match="is an adapter itself"):  # it lies over the base with the other one in it
        locate(run.folder / "checkpoints" / "step-000002")
    run.final.rename(tmp_path / "final")
    with pytest.raises(ModelError, match="has not come to its end"):
        locate(run.folder)
    (tmp_path / "final").rename(run.final)
    joined = load_model(locate(run.folder))
    config = json.loads((run.final / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (3 + 16, 3 + 16)
    moved = (joined(input_ids=ids).logits - before).abs().max()
    assert moved > 1e-4
    # The same as the merged reference with the best checkpoint's adapter, scaled, on it.
    told = json.loads((run.folder / "refinement.json").read_text())
    best = run.pointed("best")
    assert best is not None
    from peft import PeftModel

    over = PeftModel.from_pretrained(load_model(locate(tuned.folder), merge=True), str(best[0]))
    if told["weights"] == "raw":
        assert torch.allclose(over(input_ids=ids).logits, joined(input_ids=ids).logits, atol=1e-4)
    unchanged = refine(
        small(f"model.base={tuned.folder}", "train.steps=1", "refine.scales=[0.5]"), tmp_path / "no", stand_in_worse
    )
    after = load_model(locate(unchanged.folder), merge=True)(input_ids=ids).logits
    assert torch.equal(after, before)


def stand_in_worse(human: Sequence[str], drawn: Sequence[str], works: Sequence[str], language: str) -> dict[str, float]:
    pleased.calls += 1  # type: ignore[attr-defined]
    return stand_in(human, drawn, works, language) | {"judge_auc": 0.5 + 0.01 * pleased.calls}  # type: ignore[attr-defined]


def test_it_rolls_back_so_many_times_and_then_ends(small: MakeRecipe, tmp_path: Path) -> None:
    recipe = small(
        "refine.monitors.accuracy_high=-1", "refine.monitors.patience_steps=1", "refine.monitors.rollbacks=2"
    )
    run = refine(recipe, tmp_path / "run", pleased)
    assert [line["rollback"] for line in lines(run, "alarm")] == [1, 2, 3]
    assert len(lines(run, "train")) == 3
    assert "rolled back 2 times, and once more would be needed" in (run.folder / "report.md").read_text("utf-8")


def test_length_leaking_data_are_refused(small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "storyteller.adversarial.refinement.sample",
        lambda policy, prompts, group, **_: [[[60, 49, 2] for _ in range(group)] for _ in prompts],
    )
    with pytest.raises(DataError, match="length alone tells"):
        refine(small("refine.critic.probe_limit=0.6", "refine.critic.pool=120"), tmp_path / "run", stand_in)


def test_stories_that_are_all_empty_are_told(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "storyteller.adversarial.refinement.sample",
        lambda policy, prompts, group, **_: [[[2] for _ in range(group)] for _ in prompts],
    )
    with pytest.raises(DataError, match="one class only"):
        refine(small(), tmp_path / "run", stand_in)


def test_stories_that_are_all_the_same_are_told(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "storyteller.adversarial.refinement.sample",
        lambda policy, prompts, group, **_: [[[60, 61, 49, 62, 49, 2] for _ in range(group)] for _ in prompts],
    )
    recipe = small("refine.monitors.dead_groups=0.6", "refine.monitors.patience_steps=2", "train.steps=2")
    (first, *_) = alarmed(refine(recipe, tmp_path / "run", stand_in), "reward")
    assert "100% of the groups without any" in first["reason"]


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("model.method=full", RecipeError, "trains an adapter"),
        ("model.lora.dropout=0.1", RecipeError, "dropout=0"),
        ("train.minutes=5", RecipeError, r"refine\.minutes"),
        ("data.path=nothing", DataError, "storyteller prepare"),
    ],
)
def test_mistakes_are_told_before_a_run_is_made(
    small: MakeRecipe, tmp_path: Path, override: str, error: type[Exception], message: str
) -> None:
    changes = [override] + (["train.steps=null"] if "minutes" in override else [])
    with pytest.raises(error, match=message):
        refine(small(*changes), tmp_path / "run", stand_in)
    assert not (tmp_path / "run").exists()


def test_another_tokenizer_is_refused(small: MakeRecipe, tmp_path: Path, tiny_llama: Path) -> None:
    import shutil

    from tests.tiny import tiny_tokenizer

    folder = tmp_path / "other"
    shutil.copytree(tiny_llama, folder)
    tiny_tokenizer(folder, vocabulary=380)
    with pytest.raises(TrainingError, match="not of one kind"):
        refine(small(f"model.base={folder}"), tmp_path / "run", stand_in)


def test_a_judge_with_too_few_texts_is_told(small: MakeRecipe, tmp_path: Path) -> None:
    def strict(*_: Any) -> dict[str, float]:
        raise DataError("4 texts a class are too few.")

    with pytest.raises(TrainingError, match=r"too few.*dev_prompts"):
        refine(small(), tmp_path / "run", strict)


@pytest.mark.parametrize(
    ("judged", "why"), [({1}, "no scale of the adapter"), ({1, 2, 3, 4, 5}, "the gate failed: on its prompts")]
)
def test_what_cannot_be_judged_later_ends_no_run(small: MakeRecipe, tmp_path: Path, judged: set[int], why: str) -> None:
    """After the first evaluation a refusal is no gain: the run ends, and the model stays as it was."""
    calls = 0

    def sometimes(human: Sequence[str], drawn: Sequence[str], works: Sequence[str], language: str) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls not in judged:
            raise DataError("4 texts a class are too few.")
        return stand_in(human, drawn, works, language) | {"judge_auc": 0.9 - 0.01 * calls}

    run = refine(small(), tmp_path / "run", sometimes)
    told = json.loads((run.folder / "refinement.json").read_text())
    assert told["scale"] == 0.0
    assert why in told["why"]
    assert "unchanged" in (run.folder / "report.md").read_text().lower()
    assert (run.final / "adapter_config.json").is_file()
