"""`storyteller models`: what a person sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.adapters import tiny_ensemble
from typer.testing import CliRunner

from storyteller.cli.models import app
from storyteller.errors import ModelError
from storyteller.models import adapt, load_model, locate, save_model
from storyteller.recipe import ModelRecipe
from storyteller.recipe.methods import Method


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_list() -> None:
    lines = run("list").splitlines()
    assert lines[0].split()[:2] == ["NAME", "LANGUAGES"]
    assert [line.split()[0] for line in lines[1:]] == [
        "default",
        "smollm2-135m-instruct",
        "gemma3-270m",
        "all-minilm-l6-v2",
    ]
    assert all(line.endswith("no") for line in lines[1:])
    rows = json.loads(run("list", "--json"))
    assert rows[0]["download"] == rows[1]["download"] == 92_871_040  # the wheel; the default fetches its base
    assert rows[2]["languages"] == ["zh", "en"]


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_download_is_the_size_that_the_readme_tells(page: str) -> None:
    size = f"{json.loads(run('list', '--json'))[0]['download'] / 1e6:.0f} MB"
    assert size in (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    assert run("list").splitlines()[1].count(size) == 1


def test_show_a_known_model() -> None:
    shown = run("show", "gemma3-270m")
    assert "Gemma Terms of Use: https://ai.google.dev/gemma/terms" in shown
    assert "32,768" in shown


def test_show_a_folder(tiny_gpt2: Path) -> None:
    shown = json.loads(run("show", str(tiny_gpt2), "--json"))
    assert shown["architecture"] == "gpt2"
    assert shown["context"] == 1024
    assert shown["folder"] == str(tiny_gpt2)
    assert shown["parameters"] > 100_000


def test_show_an_ensemble_as_the_models_that_it_is_made_of(tiny_llama: Path, tmp_path: Path) -> None:
    tiny_ensemble(tiny_llama, tmp_path / "e")
    shown = json.loads(run("show", str(tmp_path / "e"), "--json"))
    members = [tmp_path / "e" / f"member-{number}" for number in range(3)]
    assert (shown["rule"], shown["weights"]) == ("arithmetic", [0.5, 0.3, 0.2])
    assert shown["members"] == [str(member) for member in members]
    assert (shown["architecture"], shown["context"]) == ("llama", 1024)
    assert not shown.keys() & {"base", "adapter", "folder"}  # those of one member are not the ensemble's
    files = [tiny_llama / "model.safetensors", *(member / "adapter_model.safetensors" for member in members)]
    assert shown["on_disk"] == sum(file.stat().st_size for file in files)
    alone = [json.loads(run("show", str(place), "--json"))["parameters"] for place in (*members, tiny_llama)]
    assert shown["parameters"] == sum(alone) - 3 * alone[-1]
    assert "weights:      0.5, 0.3, 0.2" in run("show", str(tmp_path / "e"))


def test_pull_shows_terms() -> None:
    with pytest.raises(ModelError, match="--accept-terms"):
        run("pull", "gemma3-270m")


def test_pull_a_folder_that_is_there(tiny_llama: Path) -> None:
    assert str(tiny_llama) in run("pull", str(tiny_llama))


def _adapter(base: Path, folder: Path, method: Method) -> Path:
    model = adapt(load_model(locate(base)), ModelRecipe(method=method), 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)
    save_model(model, folder, tokenizer_from=base)
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n\n## Licences\n\n| CC0-1.0 | 3 |\n", "utf-8")
    return folder


@pytest.mark.parametrize("method", ["dora", "ia3"])
def test_an_adapter_and_its_base_as_one(tiny_llama: Path, tmp_path: Path, method: Method) -> None:
    adapter, out = _adapter(tiny_llama, tmp_path / "adapter", method), tmp_path / "whole"
    assert f"--model {out}" in run("merge", str(adapter), "--out", str(out))
    whole, ids = locate(out), torch.arange(3, 40)[None]
    assert whole.adapter is None
    laid, merged = (load_model(located)(input_ids=ids).logits for located in (locate(adapter), whole))
    assert torch.allclose(laid, merged, atol=1e-4)
    card = (out / "README.md").read_text("utf-8")
    assert card.count("library_name") == 1
    assert "| CC0-1.0 | 3 |" in card
    with pytest.raises(ModelError, match="already"):
        run("merge", str(adapter), "--out", str(out))
    with pytest.raises(ModelError, match="no adapter"):
        run("merge", str(out), "--out", str(tmp_path / "again"))


def test_what_no_weights_can_be_is_not_merged(tiny_llama: Path, tmp_path: Path) -> None:
    adapter = _adapter(tiny_llama, tmp_path / "adapter", "bottleneck")
    with pytest.raises(ModelError, match="BOTTLENECK"):
        run("merge", str(adapter), "--out", str(tmp_path / "whole"))
    assert not (tmp_path / "whole").exists()
