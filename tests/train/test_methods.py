"""Every method through the whole of fine-tuning: trained, stopped, gone on, written with; and packing stays right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.conftest import MakeRecipe
from tests.train.test_finetune import StopError, interrupt, same, weights

from storyteller.errors import ModelError, RecipeError, TrainingError
from storyteller.generate import Storyteller
from storyteller.models import adapt, load_model, locate
from storyteller.models.adapters.adalora import Allocation, ranks
from storyteller.recipe import ModelRecipe, Recipe, load_recipe
from storyteller.recipe.models import SamplesRecipe
from storyteller.recipe.rates import RATES
from storyteller.train import dry_run, finetune
from storyteller.train.objectives import CausalObjective, packed_attention_mask

__all__ = ["interrupt"]  # a fixture

METHODS: dict[str, tuple[str, ...]] = {
    "dora": ("model.dora.rank=4", "model.dora.dropout=0.2"),
    "adalora": ("model.adalora.rank=2", "model.adalora.first_rank=4", "model.adalora.dropout=0.2"),
    "bottleneck": ("model.bottleneck.width=8", "model.bottleneck.dropout=0.2"),
    "prompt": ("model.prompt.tokens=5", "model.prompt.text=Once upon a time"),
    "prefix": ("model.prefix.tokens=5",),
    "ia3": (),
}


def of(method: str) -> tuple[str, ...]:
    return (f"model.method={method}", *METHODS[method], "train.save_every=3", "train.evaluate_every=5", "train.steps=5")


@pytest.mark.parametrize("architecture", ["tiny_llama", "tiny_gpt2"])
@pytest.mark.parametrize("method", METHODS)
def test_trained_stopped_gone_on_and_written_with(
    small: MakeRecipe, tmp_path: Path, interrupt: Any, request: pytest.FixtureRequest, method: str, architecture: str
) -> None:
    base = request.getfixturevalue(architecture)
    recipe = small(*of(method), f"model.base={base}")
    whole = finetune(recipe, tmp_path / "whole")
    interrupt(3)
    with pytest.raises(StopError):
        finetune(recipe, tmp_path / "parts")
    interrupt(None)
    parts = finetune(recipe, tmp_path / "parts", resume=True)
    assert same(whole, parts)
    told = [[(line["step"], line["split"], line["loss"]) for line in run.metrics()] for run in (whole, parts)]
    assert told[0] == told[1]
    losses = [line["loss"] for line in whole.metrics() if line["split"] == "dev"]
    assert losses[-1] < losses[0]
    teller = Storyteller.load(str(whole.folder), engine="torch")
    story = teller.tell("一只海豹" if architecture == "tiny_llama" else "A seal", words=8, seed=1)
    teller.close()
    assert story.text
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        laid, merged, bare = (
            load_model(located, merge=merge)(input_ids=ids).logits
            for located, merge in ((locate(whole.folder), False), (locate(whole.folder), True), (locate(base), False))
        )
    assert (laid - merged).abs().max() < 1e-4
    assert (laid - bare).abs().max() > 1e-3


def test_the_allocator_goes_on_amid_its_work(small: MakeRecipe, tmp_path: Path, interrupt: Any) -> None:
    """Its scores are smoothed over many steps: without them the ranks would go elsewhere after a stop."""
    recipe = small(*of("adalora"), "train.steps=30", "train.save_every=8", "train.evaluate_every=30")
    whole = finetune(recipe, tmp_path / "whole")
    interrupt(8)
    with pytest.raises(StopError):
        finetune(recipe, tmp_path / "parts")
    interrupt(None)
    assert same(whole, finetune(recipe, tmp_path / "parts", resume=True))


def test_the_allocator_really_moves_ranks(small: MakeRecipe, tmp_path: Path) -> None:
    run = finetune(small(*of("adalora"), "train.steps=10", "train.evaluate_every=10"), tmp_path / "run")
    config = json.loads((run.final / "adapter_config.json").read_text())
    ranks = [sum(stays) for stays in config["rank_pattern"].values()]
    assert len(ranks) == 14
    assert len(set(ranks)) > 1
    assert sum(ranks) == 2 * 14  # the budget: the mean rank at the end
    shapes = {value.shape[0] for name, value in weights(run).items() if "lora_E" in name}
    assert shapes == set(ranks)


def test_a_step_that_overflowed_stops_no_rank_from_moving(tiny_llama: Path) -> None:
    """In float16 the first steps often do, and are left out."""
    recipe = ModelRecipe.model_validate({"method": "adalora", "adalora": {"rank": 2, "first_rank": 6}})
    model = adapt(load_model(locate(tiny_llama)), recipe, 1)
    allocation = Allocation(model, recipe.adalora, 20)
    generator = torch.Generator().manual_seed(1)
    for step in range(1, 21):
        for parameter in filter(lambda p: p.requires_grad, model.parameters()):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            if step == 1:
                parameter.grad.fill_(float("nan"))
            parameter.data += 0.01 * torch.randn(parameter.shape, generator=generator)
        allocation.allocate(step)
    kept = [sum(stays) for stays in ranks(model).values()]
    assert sum(kept) == 2 * len(kept)


def test_orthogonality_is_asked_for_once_a_step(small: MakeRecipe, tmp_path: Path) -> None:
    """However a step is split into passes, its gradient is the same, and the loss that is shown is the text's."""
    common = (*of("adalora"), "model.adalora.dropout=0", "train.steps=4", "train.clip=null")
    runs = [
        finetune(
            small(
                *common, f"model.adalora.orthogonality={weight}", f"train.rows={rows}", f"train.accumulate={4 // rows}"
            ),
            tmp_path / f"{weight}-{rows}",
        )
        for weight, rows in ((1, 1), (1, 4), (0, 4))
    ]
    norms = [[line["grad_norm"] for line in run.metrics() if line["split"] == "train"] for run in runs]
    losses = [[line["loss"] for line in run.metrics() if line["split"] == "train"] for run in runs]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    assert norms[1][0] > 1.01 * norms[2][0]
    assert losses[0][0] == pytest.approx(losses[2][0], rel=1e-5)


def test_too_few_steps_for_the_allocator(small: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot move ranks in 3 steps.*method=lora"):
        finetune(small("model.method=adalora", "train.steps=3"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("architecture", ["tiny_llama", "tiny_gpt2"])
@pytest.mark.parametrize("method", ["prompt", "prefix", "bottleneck"])
@pytest.mark.parametrize("masked", [False, True])
def test_packed_texts_are_as_good_as_texts_of_their_own(
    request: pytest.FixtureRequest, architecture: str, method: str, masked: bool
) -> None:
    """Three texts in a row, with padding after them: each sees the virtual tokens and itself, in loss and gradient."""
    model = adapt(load_model(locate(request.getfixturevalue(architecture))), ModelRecipe(method=method), 1)
    generator = torch.Generator().manual_seed(3)
    lengths, context = (6, 1, 9), 20
    texts = [torch.randint(3, 300, (length + 1,), generator=generator) for length in lengths]
    row = {name: torch.zeros(1, context, dtype=torch.long) for name in ("input_ids", "position_ids", "segment_ids")}
    row["labels"] = torch.full((1, context), -100)
    start = 0
    for number, text in enumerate(texts, 1):
        here = slice(start, start := start + len(text) - 1)
        row["input_ids"][0, here], row["labels"][0, here] = text[:-1], text[1:]
        row["position_ids"][0, here], row["segment_ids"][0, here] = torch.arange(len(text) - 1), number
    trained = [p for p in model.parameters() if p.requires_grad]
    alone = sum(
        torch.nn.functional.cross_entropy(model(input_ids=text[None, :-1]).logits[0], text[1:], reduction="sum")
        for text in texts
    )
    wanted = torch.autograd.grad(alone, trained)
    if masked:  # as on a GPU
        body = getattr(model, model.base_model_prefix)
        hidden = body(
            input_ids=row["input_ids"], position_ids=row["position_ids"],
            attention_mask=packed_attention_mask(row["segment_ids"]), use_cache=False,
        ).last_hidden_state  # fmt: skip
        chosen = row["labels"].ne(-100)
        packed = torch.nn.functional.cross_entropy(
            hidden[chosen] @ model.get_output_embeddings().weight.T, row["labels"][chosen], reduction="sum"
        )
    else:
        packed = CausalObjective(model)(**row)
    got = torch.autograd.grad(packed, trained)
    assert float(packed.detach()) == pytest.approx(float(alone), abs=1e-3)
    assert all(torch.allclose(a, b, atol=1e-3, rtol=1e-3) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_what_virtual_tokens_do_not_go_with(small: MakeRecipe, tmp_path: Path, method: str) -> None:
    with pytest.raises(TrainingError, match="gradient_checkpointing does not go with"):
        finetune(small(f"model.method={method}", "train.gradient_checkpointing=true"), tmp_path / "run")
    with pytest.raises(TrainingError, match="and 20 virtual tokens come before it"):
        finetune(small(f"model.method={method}", "data.context=1010"), tmp_path / "run")


@pytest.mark.parametrize("method", ["bottleneck", "prefix", "adalora"])
def test_going_on_from_an_adapter(small: MakeRecipe, tmp_path: Path, method: str) -> None:
    first = finetune(small(*of(method)), tmp_path / "first")
    base = first.folder
    if method == "adalora":
        with pytest.raises(TrainingError, match=r"ranks settled.*Name a checkpoint"):
            finetune(small(*of(method), f"model.base={base}"), tmp_path / "again")
        base = first.checkpoints / "step-000005"
    again = finetune(small(*of(method), f"model.base={base}"), tmp_path / "again")
    losses = [[line["loss"] for line in run.metrics() if line["split"] == "dev"] for run in (first, again)]
    assert losses[1][0] == pytest.approx(min(losses[0]), abs=1e-4)
    with pytest.raises(TrainingError, match=r"is of the kind \w+, which model.method=ia3 cannot go on from"):
        finetune(small("model.method=ia3", f"model.base={first.folder}"), tmp_path / "other")
    if method != "adalora":
        with pytest.raises(TrainingError, match="cannot be merged into its base"):
            finetune(small("model.method=full", f"model.base={first.folder}"), tmp_path / "full")


@pytest.mark.parametrize("form", ["activation=relu", "kind=houlsby", "width=4"])
def test_a_bottleneck_of_another_form_is_not_gone_on_from(small: MakeRecipe, tmp_path: Path, form: str) -> None:
    first = finetune(small(*of("bottleneck"), "train.steps=1"), tmp_path / "first")
    own = {"activation=relu": "activation=gelu", "kind=houlsby": "kind=pfeiffer", "width=4": "width=8"}[form]
    with pytest.raises(TrainingError, match=rf"has {own}; set model\.bottleneck to the same"):
        finetune(small(*of("bottleneck"), f"model.bottleneck.{form}", f"model.base={first.folder}"), tmp_path / "other")


@pytest.mark.parametrize("method", ["lora", "adalora", "ia3"])
def test_no_targets_at_all_are_refused(method: str) -> None:
    with pytest.raises(RecipeError, match=rf"model\.{method}\.targets.*at least 1"):
        load_recipe(None, [f"model.{method}.targets=[]"])


def test_refinement_refuses_at_once_what_it_could_not_join(small: MakeRecipe, tmp_path: Path) -> None:
    from storyteller.adversarial import refine

    run = finetune(small("model.method=prompt", "train.steps=1"), tmp_path / "run")
    # A refinement tells samples of its own, and refuses words about those of fine-tuning.
    recipe = small(f"model.base={run.folder}").model_copy(update={"samples": SamplesRecipe()})
    with pytest.raises(ModelError, match=r"not plain LoRA.*cannot be merged"):
        refine(recipe, tmp_path / "refined", lambda *_: {})


def test_qlora_without_a_gpu(small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="qlora needs a GPU"):
        finetune(small("model.method=qlora"), tmp_path / "run")


@pytest.mark.parametrize("method", RATES)
def test_each_method_has_a_rate_of_its_own(method: str) -> None:
    recipe = Recipe.model_validate({"model": {"method": method}, "train": {"steps": 3}})
    assert recipe.train.lr == RATES[method].usual < RATES[method].most  # type: ignore[index]
    assert Recipe.model_validate({"model": {"method": method}, "train": {"lr": 0.123}}).train.lr == 0.123


def test_a_rate_over_what_the_method_survives(small: MakeRecipe, capsys: pytest.CaptureFixture[str]) -> None:
    dry_run(small("model.method=full", "train.lr=0.01"))
    assert "over 0.0001, beyond which full fine-tuning seldom goes well (Devlin" in capsys.readouterr().err
    dry_run(small("model.method=prompt", "train.lr=1e-5"))
    assert "next to nothing" in capsys.readouterr().err
    dry_run(small("train.lr=2e-4"))
    told = capsys.readouterr().err
    assert "seldom" not in told
    assert "next to nothing" not in told


def test_layer_decay_slows_the_lower_layers_in_the_loop(small: MakeRecipe, tmp_path: Path, tiny_llama: Path) -> None:
    moved = {}
    start = load_model(locate(tiny_llama)).state_dict()
    for decay in (1.0, 0.1):
        recipe = small(
            "model.method=full", "train.steps=1", "train.warmup=0", f"train.layer_decay={decay}", "train.floor=1"
        )
        done = weights(finetune(recipe, tmp_path / str(decay)))
        moved[decay] = [
            float((done[name] - start[name]).abs().max())
            for name in (f"model.layers.{layer}.mlp.up_proj.weight" for layer in (0, 1))
        ]
    assert moved[1.0][0] == pytest.approx(moved[1.0][1], rel=0.1)
    assert moved[0.1][0] == pytest.approx(0.1 * moved[0.1][1], rel=0.1)


def test_adalora_of_another_scale_is_not_gone_on_from(small: MakeRecipe, tmp_path: Path) -> None:
    settings = of("adalora")
    first = finetune(small(*settings), tmp_path / "first")
    checkpoint = max((first.folder / "checkpoints").iterdir())
    with pytest.raises(TrainingError, match=r"alpha .*set model\.adalora to the same"):
        finetune(small(*settings, f"model.base={checkpoint}", "model.adalora.alpha=64"), tmp_path / "second")
