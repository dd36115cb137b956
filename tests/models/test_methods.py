"""Every method on both kinds of model: saved, loaded, merged where it can be, and read by PEFT where PEFT knows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from storyteller.errors import ModelError
from storyteller.generate.torch_batch import TorchBatch
from storyteller.generate.torch_engine import TorchEngine
from storyteller.models import adapt, load_model, load_weights, locate, save_model
from storyteller.models.adapters.adalora import ranks
from storyteller.models.adapters.targets import sublayer_outputs
from storyteller.recipe import ModelRecipe

IDS = torch.tensor([[1, 67, 223, 306, 90, 12, 2]])
SECTIONS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4},
    "dora": {"rank": 4},
    "adalora": {"rank": 2, "first_rank": 4},
    "bottleneck": {"kind": "houlsby", "width": 8},
    "prompt": {"tokens": 5},
    "prefix": {"tokens": 5},
    "ia3": {},
}
MERGED = ("lora", "dora", "adalora", "ia3")
VIRTUAL = ("prompt", "prefix")


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def recipe(method: str, **section: Any) -> ModelRecipe:
    return ModelRecipe.model_validate({"method": method, method: SECTIONS[method] | section})


def fresh(folder: Path, method: str, ids: tuple[int, ...] = (), **section: Any) -> Any:
    return adapt(load_model(locate(folder)), recipe(method, **section), 1, ids).eval()


def trained(folder: Path, method: str, **section: Any) -> Any:
    """A model whose adapter does something, as if it were trained."""
    model = fresh(folder, method, **section)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=ids).logits


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


@pytest.mark.parametrize("method", SECTIONS)
def test_reloaded_and_merged_are_what_was_trained(folder: Path, tmp_path: Path, method: str) -> None:
    model = trained(folder, method)
    expected = logits(model)
    assert apart(expected, logits(load_model(locate(folder)))) > 1e-2
    saved = save_model(model, tmp_path / "adapter", tokenizer_from=folder)
    assert saved is not None
    assert saved < 1e-4
    located = locate(tmp_path / "adapter")
    assert apart(logits(load_model(located)), expected) < 1e-4
    whole = load_model(located, merge=True)
    assert apart(logits(whole), expected) < 1e-4
    if method in MERGED:
        save_model(whole, tmp_path / "merged", tokenizer_from=folder)
        assert apart(logits(load_model(locate(tmp_path / "merged"))), expected) < 1e-4
    again = fresh(folder, method)
    save_model(model, tmp_path / "checkpoint", tokenizer_from=folder, check=False)
    load_weights(again, tmp_path / "checkpoint")
    assert torch.equal(logits(again), expected)


@pytest.mark.parametrize("method", SECTIONS)
def test_few_weights_are_trained_and_the_base_is_not(folder: Path, method: str) -> None:
    base = {name: value.clone() for name, value in load_model(locate(folder)).state_dict().items()}
    model = fresh(folder, method)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 0 < count < sum(value.numel() for value in base.values()) / 3
    loss = model(input_ids=IDS, labels=IDS).loss
    loss.backward()
    with_gradient = [name for name, p in model.named_parameters() if p.grad is not None]
    assert with_gradient
    assert all(p.requires_grad for name, p in model.named_parameters() if name in with_gradient)


@pytest.mark.parametrize(("method", "most"), [("dora", 1e-5), ("adalora", 1e-5), ("ia3", 1e-5), ("bottleneck", 0.05)])
def test_a_fresh_adapter_changes_nothing_or_next_to_nothing(folder: Path, method: str, most: float) -> None:
    assert apart(logits(fresh(folder, method)), logits(load_model(locate(folder)))) < most


@pytest.mark.parametrize("kind", ["houlsby", "pfeiffer"])
def test_where_bottlenecks_lie(folder: Path, kind: str) -> None:
    places = fresh(folder, "bottleneck", kind=kind).own_adapter.places
    ends = {".".join(place.split(".")[-2:]) for place in places}
    attention, forward = {"self_attn.o_proj", "attn.c_proj"}, {"mlp.down_proj", "mlp.c_proj"}
    assert len(places) == (4 if kind == "houlsby" else 2)
    assert ends & forward
    assert bool(ends & attention) == (kind == "houlsby")


def test_a_bottleneck_folder_looks_like_peft_s(tiny_llama: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    save_model(trained(tiny_llama, "bottleneck"), tmp_path, tokenizer_from=tiny_llama)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["peft_type"], config["base_model_name_or_path"]) == ("BOTTLENECK", str(tiny_llama))
    names = load_file(tmp_path / "adapter_model.safetensors")
    assert "base_model.model.model.layers.0.mlp.down_proj.bottleneck_down.weight" in names
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"width": 9}))
    with pytest.raises(ModelError, match="cannot be laid over"):
        load_model(locate(tmp_path))


@pytest.mark.parametrize("method", VIRTUAL)
def test_peft_makes_the_same_of_virtual_tokens(folder: Path, tmp_path: Path, method: str) -> None:
    from peft import PeftModel

    model = trained(folder, method)
    save_model(model, tmp_path, tokenizer_from=folder)
    theirs = PeftModel.from_pretrained(load_model(locate(folder)), str(tmp_path)).eval()
    assert apart(logits(theirs)[:, -IDS.shape[1] :], logits(model)) < 1e-4  # before a prompt PEFT gives its logits, too


@pytest.mark.parametrize("method", VIRTUAL)
def test_virtual_tokens_begin_as_the_text(folder: Path, method: str) -> None:
    """Five tokens of a text before a text: the model must read what it would have read of both."""
    ids = (5, 80, 6, 90, 7)
    model = fresh(folder, method, ids)
    both = torch.cat([torch.tensor([ids]), IDS], dim=1)
    assert apart(logits(model), logits(load_model(locate(folder)), both)[:, len(ids) :]) < 1e-4


@pytest.mark.parametrize("method", VIRTUAL)
def test_drawn_from_the_vocabulary(tiny_llama: Path, method: str) -> None:
    one, same, other = (
        adapt(load_model(locate(tiny_llama)), recipe(method), seed).own_adapter.weight for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("method", VIRTUAL)
def test_any_cache_and_any_batch_read_the_same(folder: Path, method: str) -> None:
    """One pass, one token at a time, after an edit, in rows of a batch, and padded on the left: the same logits."""
    model = trained(folder, method)
    sequence = IDS[0].tolist()
    expected = logits(model)[0].numpy()
    engine = TorchEngine(model)
    assert engine.context == 1024 - 5
    for length in range(1, len(sequence) + 1):
        assert np.abs(engine.feed(sequence[:length]) - expected[length - 1]).max() < 1e-4
    engine.feed([*sequence[:3], 9, 9, 9, 9])
    assert np.abs(engine.feed(sequence) - expected[-1]).max() < 1e-4
    batch = TorchBatch(model, 3, 32)
    rows = batch.feed_many({0: sequence[:4], 2: sequence})
    assert np.abs(rows[0] - expected[3]).max() < 1e-4
    assert np.abs(rows[1] - expected[-1]).max() < 1e-4
    again = batch.feed_many({0: sequence[:5], 1: sequence[:2], 2: [*sequence[:2], 8]})
    assert np.abs(again[0] - expected[4]).max() < 1e-4
    assert np.abs(again[1] - expected[1]).max() < 1e-4
    padded = torch.tensor([[0, 0, *sequence]])
    seen = torch.tensor([[0, 0, *(1 for _ in sequence)]])
    places = torch.tensor([[0, 0, *range(len(sequence))]])
    with torch.inference_mode():
        told = model(input_ids=padded, attention_mask=seen, position_ids=places).logits[0, 2:]
    assert np.abs(told.numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("method", VIRTUAL)
def test_changed_weights_are_noticed(tiny_llama: Path, method: str) -> None:
    model = trained(tiny_llama, method)
    before = logits(model)
    model.own_adapter.weight.data += 0.5
    assert apart(logits(model), before) > 1e-3


def test_unused_directions_are_not_handed_on(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = trained(folder, "adalora")
    first = next(p for name, p in model.named_parameters() if "lora_E" in name)
    with torch.no_grad():
        first[1:] = 0
    expected = logits(model)
    save_model(model, tmp_path / "whole", tokenizer_from=folder, check=False)
    save_model(model, tmp_path / "pruned", tokenizer_from=folder)
    assert sorted({sum(stays) for stays in ranks(model).values()}) == [1, 4]
    shapes = {
        name: [v.shape[0] for k, v in load_file(tmp_path / name / "adapter_model.safetensors").items() if "lora_E" in k]
        for name in ("whole", "pruned")
    }
    assert sorted(set(shapes["whole"])) == [4]
    assert sorted(set(shapes["pruned"])) == [1, 4]
    for name in shapes:
        assert apart(logits(load_model(locate(tmp_path / name), merge=True)), expected) < 1e-4


@pytest.mark.parametrize("method", ["lora", "dora", "adalora", "ia3"])
def test_a_typo_among_the_targets(tiny_llama: Path, method: str) -> None:
    with pytest.raises(
        ModelError, match=rf"model.{method}.targets: 'v_prj' is no linear.*down_proj.*nearest is 'v_proj'"
    ):
        fresh(tiny_llama, method, targets=["v_prj"])


def test_a_model_that_cannot_take_a_method(tiny_llama: Path) -> None:
    model = load_model(locate(tiny_llama))
    model.model.layers[0].mlp = torch.nn.Identity()
    with pytest.raises(ModelError, match=r"cannot take this method.*o_proj.*model\.method=lora"):
        adapt(model, recipe("bottleneck"))
    model.model.layers[1].self_attn.layer_idx = 7
    with pytest.raises(ModelError, match=r"cannot take virtual tokens.*model\.method=lora"):
        adapt(model, recipe("prefix"))
    with pytest.raises(ModelError, match="leave no room"):
        adapt(load_model(locate(tiny_llama)), recipe("prompt", tokens=1024))


@pytest.mark.parametrize("method", SECTIONS)
def test_no_method_on_an_adapted_model(tiny_llama: Path, method: str) -> None:
    for first in ("lora", "prompt", "bottleneck"):
        with pytest.raises(ModelError, match="adapter already"):
            adapt(fresh(tiny_llama, first), recipe(method))


def test_sublayers_of_both_models(tiny_llama: Path, tiny_gpt2: Path) -> None:
    assert sublayer_outputs(load_model(locate(tiny_llama)))[1] == (
        "model.layers.1.self_attn.o_proj",
        "model.layers.1.mlp.down_proj",
    )
    assert sublayer_outputs(load_model(locate(tiny_gpt2)))[0] == (
        "transformer.h.0.attn.c_proj",
        "transformer.h.0.mlp.c_proj",
    )


def test_qlora_says_what_is_missing(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from storyteller.models.adapters.qlora import four_bits

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"qlora needs a GPU.*model\.method=lora"):
        four_bits(ModelRecipe().qlora)


@pytest.mark.parametrize("method", ["bottleneck", "prompt", "prefix"])
def test_the_fast_engine_leaves_it_to_the_reference(tiny_llama: Path, tmp_path: Path, method: str) -> None:
    from storyteller.generate import open_engine

    save_model(trained(tiny_llama, method), tmp_path, tokenizer_from=tiny_llama)
    with pytest.raises(ModelError, match="--engine torch"):
        open_engine(locate(tmp_path), "llama")
    engine = open_engine(locate(tmp_path))
    assert engine.name == "torch"
    engine.close()
