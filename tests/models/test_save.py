"""What is saved is what was in memory, and loads elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from storyteller.errors import ModelError
from storyteller.models import count_parameters, load_model, load_weights, locate, save_model

IDS = torch.tensor([[1, 67, 223, 306, 90, 12, 2]])


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(input_ids=IDS).logits


def test_a_saved_model_reloads_to_the_same(tiny_gpt2: Path, tmp_path: Path) -> None:
    model = load_model(locate(tiny_gpt2))
    assert save_model(model, tmp_path / "out", tokenizer_from=tiny_gpt2) == 0.0
    assert torch.equal(logits(load_model(locate(tmp_path / "out"))), logits(model))
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (tiny_gpt2 / "tokenizer.json").read_bytes()


def test_the_template_travels_with_the_model(tiny_llama: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    save_model(load_model(locate(tiny_llama)), source, tokenizer_from=tiny_llama, check=False)
    (source / "storyteller_template.json").write_text('{"kind": "chatml"}')
    save_model(load_model(locate(source)), tmp_path / "out", tokenizer_from=source, check=False)
    assert (tmp_path / "out" / "storyteller_template.json").read_text() == '{"kind": "chatml"}'


@pytest.mark.parametrize("fixture", ["tiny_llama", "tiny_gpt2"])
def test_tied_embeddings_survive_added_tokens(fixture: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(fixture)
    model = load_model(locate(folder))
    model.resize_token_embeddings(model.config.vocab_size + 5, mean_resizing=False)
    model.get_input_embeddings().weight.data[-5:] = 0.3
    save_model(model, tmp_path / "out", tokenizer_from=folder)
    reloaded = load_model(locate(tmp_path / "out"))
    assert reloaded.get_output_embeddings().weight is reloaded.get_input_embeddings().weight
    assert torch.equal(logits(reloaded), logits(model))
    assert logits(reloaded).shape[-1] == 325
    assert count_parameters(reloaded) == count_parameters(model)


def test_untied_embeddings_stay_untied(tiny_llama: Path, tmp_path: Path) -> None:
    model = load_model(locate(tiny_llama))
    head = model.get_input_embeddings().weight.detach().clone() * 2
    model.get_output_embeddings().weight = torch.nn.Parameter(head)
    model.config.tie_word_embeddings = False
    save_model(model, tmp_path / "out", tokenizer_from=tiny_llama)
    assert torch.equal(logits(load_model(locate(tmp_path / "out"))), logits(model))


def test_a_save_that_does_not_reload_to_the_same_is_an_error(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(locate(tiny_llama))

    def wrong(*_: object, **__: object) -> torch.nn.Module:
        other = load_model(locate(tiny_llama))
        other.get_input_embeddings().weight.data[0] += 1
        return other

    monkeypatch.setattr("storyteller.models.save.load_model", wrong)
    with pytest.raises(ModelError, match="does not reload to the same model"):
        save_model(model, tmp_path / "out", tokenizer_from=tiny_llama)


def test_weights_go_back_into_the_model(tiny_llama: Path, tmp_path: Path) -> None:
    model = load_model(locate(tiny_llama))
    save_model(model, tmp_path / "out", tokenizer_from=tiny_llama, check=False)
    expected = logits(model)
    for parameter in model.parameters():
        parameter.data += 1
    load_weights(model, tmp_path / "out")
    assert torch.equal(logits(model), expected)


def test_weights_that_do_not_fit(tiny_llama: Path, tmp_path: Path) -> None:
    model = load_model(locate(tiny_llama))
    expected = logits(model)
    weights = load_file(tiny_llama / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"does not fit.*model\.norm\.weight"):
        load_weights(model, tmp_path)
    (tmp_path / "model.safetensors").write_bytes((tiny_llama / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be read"):
        load_weights(model, tmp_path)
    assert torch.equal(logits(model), expected)


def test_a_cut_model_is_one_error(tiny_llama: Path, tmp_path: Path) -> None:
    save_model(load_model(locate(tiny_llama)), tmp_path, tokenizer_from=tiny_llama, check=False)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(locate(tmp_path))


def test_loading_is_silent(tiny_llama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_model(load_model(locate(tiny_llama), dtype="bfloat16"), tmp_path, tokenizer_from=tiny_llama)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
