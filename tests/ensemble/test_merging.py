from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tests.adapters import damage, tiny_adapter
from tests.tiny import tiny_model

from storyteller.ensemble.merging import METHODS, Recipe, merge, merge_factors
from storyteller.errors import ModelError
from storyteller.models import Located, load_model, locate
from storyteller.models.adapters.factors import read_factors
from storyteller.runs import read_json

IDS = torch.tensor([[1, 45, 87, 9, 200, 14, 33]])


@pytest.fixture(scope="module")
def adapters(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [tiny_adapter(tiny_llama, folder / name, seed=seed, rank=4) for seed, name in enumerate("abc")]


def logits(folder: Path | Located) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = load_model(folder if isinstance(folder, Located) else locate(folder))(IDS).logits
    return found


def deltas(folder: Path) -> dict[str, torch.Tensor]:
    return {layer: up @ down for layer, (down, up) in read_factors(folder).items()}


@pytest.mark.parametrize("method", METHODS)
def test_merging_an_adapter_with_itself_gives_it_back(adapters: list[Path], tmp_path: Path, method: str) -> None:
    report = merge([adapters[0], adapters[0]], tmp_path / "out", method, density=1.0, rank=4)  # type: ignore[arg-type]
    torch.testing.assert_close(logits(tmp_path / "out"), logits(adapters[0]), atol=1e-3, rtol=1e-3)
    assert report["energy_lost"] < 1e-5


@pytest.mark.parametrize("method", [method for method in METHODS if method != "soup"])
def test_all_the_weight_on_the_first_gives_the_first(adapters: list[Path], tmp_path: Path, method: str) -> None:
    merge(adapters[:2], tmp_path / "out", method, weights=(1, 0), density=1.0)  # type: ignore[arg-type]
    torch.testing.assert_close(logits(tmp_path / "out"), logits(adapters[0]), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("method", "theirs", "density", "rank"),
    [
        ("linear", "cat", 1.0, 8),
        ("linear", "svd", 1.0, 4),
        ("ties", "ties_svd", 0.5, 4),
        ("dare", "dare_linear_svd", 1.0, 4),
    ],
)
def test_peft_makes_the_same_where_it_has_the_method(
    tiny_llama: Path, tmp_path: Path, method: str, theirs: str, density: float, rank: int
) -> None:
    # PEFT 0.21 forgets to undo the root in the scale of rank-stabilised adapters: its merged ones are too large then.
    plain = [tiny_adapter(tiny_llama, tmp_path / n, seed=s, use_rslora=False, lora_alpha=8) for s, n in enumerate("ab")]
    # TIES of PEFT divides the weighted sum by the count, ours by the weights: the same for weights 1 and 1, and 0.5, 0.5.
    weights = (1.0, 1.0) if method == "ties" else (0.7, 0.3)
    model = PeftModel.from_pretrained(load_model(Located("tiny", tiny_llama, str(tiny_llama))), str(plain[0]), "a")
    model.load_adapter(str(plain[1]), "b")
    options = {} if theirs == "cat" else {"svd_rank": rank}
    options |= {"density": density} if density < 1 or theirs.startswith("dare") else {}
    model.add_weighted_adapter(["a", "b"], list(weights), "merged", combination_type=theirs, **options)
    model.set_adapter("merged")
    ours = (0.5, 0.5) if method == "ties" else weights
    merge(plain, tmp_path / "out", method, weights=ours, density=density, rank=rank)  # type: ignore[arg-type]
    with torch.inference_mode():
        torch.testing.assert_close(logits(tmp_path / "out"), model(IDS).logits, atol=2e-3, rtol=1e-2)


def test_a_low_rank_loses_what_is_reported(adapters: list[Path], tmp_path: Path) -> None:
    whole = merge(adapters, tmp_path / "whole", weights=(0.5, 0.3, 0.2), rank=12)
    assert whole["energy_lost"] < 1e-6
    small = merge(adapters, tmp_path / "small", weights=(0.5, 0.3, 0.2), rank=5)
    exact, cut = deltas(tmp_path / "whole"), deltas(tmp_path / "small")
    lost = sum(float((exact[layer] - cut[layer]).square().sum()) for layer in exact)
    energy = sum(float(exact[layer].square().sum()) for layer in exact)
    assert small["energy_lost"] == pytest.approx(lost / energy, rel=1e-3)
    assert 0 < small["energy_lost"] < 1


def test_the_scale_moves_towards_the_base(adapters: list[Path], tmp_path: Path) -> None:
    merge(adapters[:2], tmp_path / "one", rank=8)
    merge(adapters[:2], tmp_path / "half", scale=0.5, rank=8)
    for layer, delta in deltas(tmp_path / "one").items():
        torch.testing.assert_close(deltas(tmp_path / "half")[layer], delta / 2, atol=1e-5, rtol=1e-4)


def test_adapters_of_other_layers_count_as_zeros(tiny_llama: Path, adapters: list[Path], tmp_path: Path) -> None:
    tiny_adapter(tiny_llama, tmp_path / "some", seed=5, target_modules=["q_proj"])
    merge([tmp_path / "some", adapters[0]], tmp_path / "out", rank=8)
    own, merged = deltas(adapters[0]), deltas(tmp_path / "out")
    assert merged.keys() == own.keys()
    torch.testing.assert_close(
        merged["model.layers.0.self_attn.v_proj"], own["model.layers.0.self_attn.v_proj"] / 2, atol=1e-5, rtol=1e-4
    )
    assert logits(tmp_path / "out").isfinite().all()


@pytest.mark.parametrize("chosen", [{"layers_to_transform": [0]}, {"exclude_modules": ["down_proj"]}])
def test_the_layers_of_the_second_are_not_hidden_by_the_first_ones_choice(
    tiny_llama: Path, adapters: list[Path], tmp_path: Path, chosen: dict[str, object]
) -> None:
    targets = {"target_modules": ["q_proj", "down_proj"], "use_rslora": False}
    narrow = tiny_adapter(tiny_llama, tmp_path / "narrow", seed=5, **targets, **chosen)
    wide = tiny_adapter(tiny_llama, tmp_path / "wide", seed=6, **targets)
    merge([narrow, wide], tmp_path / "out", weights=(0, 1), rank=4)
    torch.testing.assert_close(logits(tmp_path / "out"), logits(wide), atol=1e-3, rtol=1e-3)


def test_adapters_that_choose_their_layers_by_an_expression_are_merged(tiny_llama: Path, tmp_path: Path) -> None:
    targets = {"target_modules": r".*\.(q_proj|v_proj)", "use_rslora": False}
    alike = [tiny_adapter(tiny_llama, tmp_path / name, seed=seed, **targets) for seed, name in enumerate("ab")]
    merge(alike, tmp_path / "out", weights=(0, 1), rank=4)
    torch.testing.assert_close(logits(tmp_path / "out"), logits(alike[1]), atol=1e-3, rtol=1e-3)


def test_the_folder_says_what_it_was_made_of(adapters: list[Path], tmp_path: Path) -> None:
    (adapters[0] / "README.md").write_text(
        "# a\n\n## Licences of the training stories\n\n| what | value |\n|---|---|\n| CC0-1.0 | 7 |\n\n## Recipe\n| x | 1 |\n"
    )
    (adapters[0] / "ATTRIBUTION.md").write_text("By Somebody (CC-BY).\n")
    merge(adapters[:2], tmp_path / "out", "slerp", weights=(0.25, 0.75))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| CC0-1.0 |" in card
    assert "not stated" in card  # b has no card
    assert "| x |" not in card
    assert "Somebody" in (tmp_path / "out" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    report = read_json(tmp_path / "out" / "merge.json")
    assert [source["weight"] for source in report["sources"]] == [0.25, 0.75]
    assert report["method"] == "slerp"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [tiny_model(folder / name, seed=seed) for seed, name in enumerate("abc")]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_whole_models_are_merged_tensor_by_tensor(models: list[Path], tmp_path: Path, method: str) -> None:
    base = str(models[2]) if method in ("task-arithmetic", "ties", "dare") else None
    report = merge(models[:2], tmp_path / "out", method, base=base)  # type: ignore[arg-type]
    first, second, below, merged = (weights_of(folder) for folder in (*models, tmp_path / "out"))
    assert merged.keys() == first.keys()
    assert report["tensors"] == len(merged)
    recipe = Recipe(method, (0.5, 0.5))  # type: ignore[arg-type]
    for name, tensor in merged.items():
        if base:
            expected = below[name] + recipe([first[name] - below[name], second[name] - below[name]], name)
        else:
            expected = recipe([first[name], second[name]], name)
        torch.testing.assert_close(tensor, expected)
    assert logits(tmp_path / "out").isfinite().all()


def test_whole_models_keep_their_precision_and_may_lie_in_several_files(models: list[Path], tmp_path: Path) -> None:
    for folder, name in zip(models[:2], "ab", strict=True):
        model = load_model(locate(folder)).to(torch.bfloat16)
        model.save_pretrained(tmp_path / name, max_shard_size="60KB")
        (tmp_path / name / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    assert len(list((tmp_path / "a").glob("model-*.safetensors"))) > 1
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out", weights=(0.75, 0.25))
    merged = weights_of(tmp_path / "out")
    assert all(tensor.dtype == torch.bfloat16 for tensor in merged.values())
    exact = {name: 0.75 * t + 0.25 * weights_of(models[1])[name] for name, t in weights_of(models[0]).items()}
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor.float(), exact[name], atol=1e-2, rtol=1e-2)


def test_with_their_base_whole_models_go_along_the_arc_of_their_deltas(models: list[Path], tmp_path: Path) -> None:
    others, below = models[:2], models[2]
    merge(others, tmp_path / "weights", "slerp")
    merge(others, tmp_path / "deltas", "slerp", base=str(below))
    first, second, origin = (weights_of(folder) for folder in (*others, below))
    recipe = Recipe("slerp", (0.5, 0.5))
    for name, tensor in weights_of(tmp_path / "deltas").items():
        expected = origin[name] + recipe([first[name] - origin[name], second[name] - origin[name]])
        torch.testing.assert_close(tensor, expected)
    name = "model.layers.0.mlp.up_proj.weight"
    apart = weights_of(tmp_path / "weights")[name] - weights_of(tmp_path / "deltas")[name]
    assert float(apart.norm()) > 0.05 * float(origin[name].norm())
    # A mean is the same from wherever it is taken.
    merge(others, tmp_path / "mean", base=str(below))
    for name, tensor in weights_of(tmp_path / "mean").items():
        torch.testing.assert_close(tensor, (first[name] + second[name]) / 2)


def test_a_scaled_whole_model_lies_between_base_and_merge(models: list[Path], tmp_path: Path) -> None:
    merge(models[:2], tmp_path / "out", scale=0.25, base=str(models[2]))
    first, second, below, merged = (weights_of(folder) for folder in (*models, tmp_path / "out"))
    name = "model.norm.weight" if "model.norm.weight" in merged else next(iter(merged))
    expected = 0.75 * below[name] + 0.25 * (first[name] + second[name]) / 2
    torch.testing.assert_close(merged[name], expected)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weights": (0.5, 0.6)}, "sum to 1"),
        ({"weights": (1.5, -0.5)}, "no negative weights"),
        ({"weights": (1.0,)}, "1 weights for 2 models"),
        ({"weights": (float("nan"), 1.0)}, "must be numbers"),
        ({"method": "soup", "weights": (0.7, 0.3)}, "equal weights"),
        ({"method": "magic"}, "linear, slerp"),
        ({"density": 0.0, "method": "ties"}, "density"),
        ({"rank": 0}, "rank"),
    ],
)
def test_what_makes_no_sense_is_refused(
    adapters: list[Path], tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        merge(adapters[:2], tmp_path / "out", **changes)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_what_does_not_belong_together_is_refused(
    adapters: list[Path], models: list[Path], tiny_gpt2: Path, tmp_path: Path
) -> None:
    other = tiny_adapter(models[1], tmp_path / "of-another-base")
    with pytest.raises(ModelError, match="different bases"):
        merge([adapters[0], other], tmp_path / "out")
    with pytest.raises(ModelError, match="an adapter and a whole model"):
        merge([adapters[0], models[0]], tmp_path / "out")
    with pytest.raises(ModelError, match="not of one architecture"):
        merge([models[0], tiny_gpt2], tmp_path / "out")
    with pytest.raises(ModelError, match="different tokenizers"):
        merge([models[0], tiny_model(tmp_path / "words", vocabulary=300)], tmp_path / "out")
    with pytest.raises(ModelError, match="--base"):
        merge(models[:2], tmp_path / "out", "ties")
    with pytest.raises(ModelError, match="leave out --base"):
        merge(adapters[:2], tmp_path / "out", base=str(models[0]))
    with pytest.raises(ModelError, match="leave out --rank 4"):
        merge(models[:2], tmp_path / "out", rank=4)
    with pytest.raises(ModelError, match="slerp goes from one"):
        merge(adapters, tmp_path / "out", "slerp")
    with pytest.raises(ModelError, match="is there already"):
        merge(adapters[:2], adapters[2])
    with pytest.raises(ModelError, match="two models or more"):
        merge(adapters[:1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_random_numbers_of_dare_differ_from_layer_to_layer(adapters: list[Path]) -> None:
    factors = read_factors(adapters[0])
    layers = ("model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj")
    same = dict.fromkeys(layers, factors[layers[0]])
    merged, _ = merge_factors([same, same], Recipe("dare", (0.5, 0.5)), rank=64)
    first, second = (up @ down for down, up in merged.values())
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("method", ["linear", "ties"])
def test_a_damaged_adapter_is_named_and_nothing_is_written(
    tiny_llama: Path, adapters: list[Path], tmp_path: Path, method: str
) -> None:
    broken = tiny_adapter(tiny_llama, tmp_path / "broken")
    layer = damage(broken / "adapter_model.safetensors").removeprefix("base_model.model.").rsplit(".", 2)[0]
    with pytest.raises(ModelError, match=f"{layer} in .*broken holds numbers that are not finite"):
        merge([adapters[0], broken], tmp_path / "out", method, weights=(1, 0))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_damaged_whole_model_is_named_and_nothing_is_written(models: list[Path], tmp_path: Path) -> None:
    broken = tiny_model(tmp_path / "broken", seed=9)
    name = damage(broken / "model.safetensors")
    with pytest.raises(ModelError, match=f"{name} in .*broken holds numbers that are not finite"):
        merge([models[0], broken], tmp_path / "out", weights=(1, 0))
    with pytest.raises(ModelError, match=f"{name} in .*broken"):
        merge(models[:2], tmp_path / "out", "ties", base=str(broken))
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_no_base(models: list[Path], adapters: list[Path], tmp_path: Path) -> None:
    """What lies below it was taken for it."""
    with pytest.raises(ModelError, match="is an adapter, and a base is a whole model"):
        merge([str(path) for path in models], tmp_path / "m", "task-arithmetic", base=str(adapters[0]))


def test_shares_that_were_rounded_make_no_smaller_model(models: list[Path], tmp_path: Path) -> None:
    merge([str(models[0])] * 3, tmp_path / "m", "linear", weights=(0.333, 0.333, 0.333))
    before = weights_of(models[0])
    for name, tensor in weights_of(tmp_path / "m").items():
        torch.testing.assert_close(tensor, before[name], rtol=1e-5, atol=1e-6)
