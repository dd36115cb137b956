"""LoRA: starts as the model that it adapts, comes back from disk as it was, and merges to the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from storyteller.errors import ModelError
from storyteller.models import apply_lora, count_parameters, load_model, load_weights, locate, save_model
from storyteller.recipe import LoraRecipe

IDS = torch.tensor([[1, 67, 223, 306, 90, 12, 2]])
ARCHITECTURES = ["tiny_llama", "tiny_gpt2"]


@pytest.fixture(params=ARCHITECTURES)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(input_ids=IDS).logits


def adapted(folder: Path, recipe: LoraRecipe | None = None) -> torch.nn.Module:
    """A model with an adapter that does something, as if it were trained."""
    model = apply_lora(load_model(locate(folder)), recipe or LoraRecipe(rank=4), seed=1)
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def test_a_fresh_adapter_changes_nothing(folder: Path) -> None:
    model = load_model(locate(folder))
    before = logits(model)
    assert torch.allclose(logits(apply_lora(model, LoraRecipe())), before, atol=1e-5)


def test_adapter_reloaded_and_merged_agree(folder: Path, tmp_path: Path) -> None:
    model = adapted(folder)
    expected = logits(model)
    assert (expected - logits(load_model(locate(folder)))).abs().max() > 1e-2
    save_model(model, tmp_path / "adapter", tokenizer_from=folder)
    located = locate(tmp_path / "adapter")
    assert (logits(load_model(located)) - expected).abs().max() < 1e-4
    merged = load_model(located, merge=True)
    assert (logits(merged) - expected).abs().max() < 1e-4
    save_model(merged, tmp_path / "merged", tokenizer_from=folder)
    assert (logits(load_model(locate(tmp_path / "merged"))) - expected).abs().max() < 1e-4


def test_the_folder_is_peft_s_own(tiny_llama: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    model = adapted(tiny_llama)
    save_model(model, tmp_path / "adapter", tokenizer_from=tiny_llama)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_llama)
    assert config["use_rslora"] is True
    assert "q_proj" in config["target_modules"]
    assert not (tmp_path / "adapter" / "README.md").exists()
    loaded = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter", dtype=torch.float32)
    assert (logits(loaded) - logits(model)).abs().max() < 1e-4


def test_every_linear_layer_but_the_output(folder: Path) -> None:
    model = apply_lora(load_model(locate(folder)), LoraRecipe(rank=2))
    names = {name.split(".lora_")[0].rsplit(".", 1)[-1] for name, _ in model.named_parameters() if ".lora_" in name}
    llama = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert names in (llama, {"c_attn", "c_proj", "c_fc"})
    total, trainable = count_parameters(model)
    assert 0 < trainable < total / 5
    assert all(".lora_" in name for name, parameter in model.named_parameters() if parameter.requires_grad)


@pytest.mark.parametrize(("rank_stabilised", "scale"), [(True, 4.0), (False, 2.0)])
def test_scale(tiny_llama: Path, rank_stabilised: bool, scale: float) -> None:
    recipe = LoraRecipe(rank=4, alpha=8, rank_stabilised=rank_stabilised)
    model = apply_lora(load_model(locate(tiny_llama)), recipe)
    assert model.base_model.model.model.layers[0].self_attn.q_proj.scaling["default"] == scale


def test_the_seed_decides_and_the_random_state_stays(tiny_llama: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    models = [apply_lora(load_model(locate(tiny_llama)), LoraRecipe(rank=2), seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(3), expected)
    first, same, other = (next(p for p in m.parameters() if p.requires_grad) for m in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_chosen_targets(tiny_llama: Path) -> None:
    recipe = LoraRecipe(rank=2, targets=["q_proj", "layers.0.mlp.up_proj"])
    model = apply_lora(load_model(locate(tiny_llama)), recipe)
    names = sorted(
        {name.split(".lora_")[0].split("layers.")[1] for name, _ in model.named_parameters() if "lora_" in name}
    )
    assert names == ["0.mlp.up_proj", "0.self_attn.q_proj", "1.self_attn.q_proj"]


def test_every_target_must_match(tiny_llama: Path, tiny_gpt2: Path) -> None:
    with pytest.raises(ModelError, match=r"'q_prj' is no linear layer.*down_proj.*nearest is 'q_proj'"):
        apply_lora(load_model(locate(tiny_llama)), LoraRecipe(targets=["v_proj", "q_prj"]))
    with pytest.raises(ModelError, match=r"Its layers are c_attn, c_fc, c_proj"):
        apply_lora(load_model(locate(tiny_gpt2)), LoraRecipe(targets=["q_proj"]))


def test_no_adapter_on_an_adapter(tiny_llama: Path) -> None:
    with pytest.raises(ModelError, match="adapter already"):
        apply_lora(adapted(tiny_llama), LoraRecipe())


def test_weights_of_a_checkpoint_go_into_a_model(folder: Path, tmp_path: Path) -> None:
    model = adapted(folder)
    expected = logits(model)
    save_model(model, tmp_path / "adapter", tokenizer_from=folder, check=False)
    fresh = apply_lora(load_model(locate(folder)), LoraRecipe(rank=4), seed=9)
    load_weights(fresh, tmp_path / "adapter")
    assert torch.equal(logits(fresh), expected)
    other = apply_lora(load_model(locate(folder)), LoraRecipe(rank=8))
    with pytest.raises(ModelError, match="does not fit"):
        load_weights(other, tmp_path / "adapter")


def test_an_adapter_of_another_base(tiny_llama: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    save_model(adapted(tiny_llama), tmp_path / "adapter", tokenizer_from=tiny_llama)
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(tiny_gpt2)}))
    with pytest.raises(ModelError, match="cannot be laid over"):
        load_model(locate(tmp_path / "adapter"))
