"""Pretraining as a whole: the folder is a model like any other, and stopping and going on changes no bit of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.tokens.stories import story, write_corpus

from storyteller.errors import CheckpointError, DataError, ModelError, RecipeError
from storyteller.evaluate import evaluate_models
from storyteller.generate import Storyteller
from storyteller.models import load_model, locate
from storyteller.models.features import Reader, sentence_passage
from storyteller.models.masked import Filler, load_masked
from storyteller.recipe import Recipe, load_recipe
from storyteller.recipe.pretraining import ShapeRecipe
from storyteller.runs import Run
from storyteller.tokens import StoryTokenizer, Template
from storyteller.train import find_rate, finetune
from storyteller.train.objectives import CausalObjective, MaskedObjective
from storyteller.train.pretrain import dry_run, pretrain

SMALL = (
    "model.shape={layers: 2, width: 32, heads: 2}",
    "model.method=full",
    "pretrain.tokenizer.vocabulary=320",
    "data.context=128",
    "train.steps=4",
    "train.rows=2",
    "train.accumulate=2",
    "train.lr=0.01",
    "train.precision=float32",
    "train.evaluate_every=2",
    "train.evaluate_rows=4",
    "train.log_every=1",
    "samples.prompts=[]",
)
CAUSAL, MASKED = "pretrain.objective=causal", "pretrain.objective=masked"

Make = Callable[..., Recipe]


@pytest.fixture
def new(corpus: Path) -> Make:
    return lambda *overrides: load_recipe(None, [*SMALL, f"data.path={corpus}", *overrides])


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """One small run of each objective."""
    made = {}
    for objective in (CAUSAL, MASKED):
        recipe = load_recipe(None, [*SMALL, f"data.path={corpus}", objective])
        made[objective] = pretrain(recipe, tmp_path_factory.mktemp("runs") / "run")
    return made


@pytest.mark.parametrize("objective", [CAUSAL, MASKED])
def test_rates_are_tested_and_judged_by_the_size(
    new: Make, tmp_path: Path, objective: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = find_rate(new(objective, "train.lr=0.5"), tmp_path / "rates", steps=12, new=True)
    assert found.rates[0] == pytest.approx(1e-5)  # a hundredth of what a shape begins with
    assert abs(found.changes[0]) < 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rates"]
    told = capsys.readouterr().err
    assert "over 0.01, beyond which pretraining seldom goes well" in told
    assert "storyteller pretrain RECIPE --find-lr" in told


def test_samples_are_told_uncompiled(new: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word that is told is another shape, so layers would be compiled again and again."""
    compiled = []

    def backend(graph: Any, given: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    layer = torch.compile(lambda values: values + 1, backend=backend)
    monkeypatch.setattr("storyteller.train.samples.tell_samples", lambda *_: str(layer(torch.ones(2))))
    run = pretrain(new(CAUSAL, "samples.prompts=[A seal]", "train.steps=1"), tmp_path / "run")
    assert (run.folder / "samples" / "step-000001.md").read_text("utf-8") == "tensor([2., 2.])"
    assert not compiled
    layer(torch.ones(2))
    assert compiled


class StopError(Exception):
    pass


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    import storyteller.train.loop as loop

    step = loop._train_step

    def after(steps: int | None) -> None:
        def falls(*arguments: Any) -> Any:
            if arguments[2].step == steps:
                raise StopError
            return step(*arguments)

        monkeypatch.setattr(loop, "_train_step", falls)

    return after


@pytest.mark.parametrize("objective", [CAUSAL, MASKED])
def test_resuming_is_exact(
    new: Make, runs: dict[str, Run], tmp_path: Path, interrupt: Callable[[int | None], None], objective: str
) -> None:
    recipe = new(objective, "train.save_every=1")
    interrupt(3)
    with pytest.raises(StopError):
        pretrain(recipe, tmp_path / "run")
    interrupt(None)
    with pytest.raises(CheckpointError, match=r"train\.lr: 0\.01  ->  0\.02"):
        pretrain(new(objective, "train.save_every=1", "train.lr=0.02"), tmp_path / "run", resume=True)
    run = pretrain(recipe, tmp_path / "run", resume=True)
    one, other = (load_file(r.final / "model.safetensors") for r in (run, runs[objective]))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_folder_is_a_model_like_any_other(runs: dict[str, Run], corpus: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = runs[CAUSAL]
    model = AutoModelForCausalLM.from_pretrained(run.final)
    tokenizer, ours = AutoTokenizer.from_pretrained(run.final), StoryTokenizer.load(run.final)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.eos_token_id == tokenizer.eos_token_id == ours.stop_ids[0]
    assert tokenizer("从前 a seal")["input_ids"] == ours.encode("从前 a seal")
    assert Template.load(run.final).kind == "forms"
    config = (run.final / "config.json").read_text("utf-8")
    assert "storyteller_packed" not in config
    card = (run.final / "README.md").read_text("utf-8")
    assert "base_model" not in card
    assert "trained from nothing" in card
    teller = Storyteller.load(str(run.folder), "torch")
    assert teller.tell("A seal.", words=5, seed=1).tokens > 0
    teller.close()
    report = evaluate_models([str(run.folder)], corpus, split="dev", max_tokens=100)
    assert report["settings"]["context"] == 128
    assert report["models"][str(run.folder)][0]["bits_per_byte"]["value"] > 0
    tuned = finetune(
        load_recipe(None, [f"model.base={run.folder}", f"data.path={corpus}", *SMALL[3:]]),
        tmp_path / "tuned",
    )
    assert locate(tuned.folder).adapter == tuned.final


def test_it_learns_to_stop(corpus: Path, tmp_path: Path) -> None:
    """After one story told over and over, the end of text is what follows its last word."""
    tale = "Mara saw a seal. The seal sang."
    folder = write_corpus(tmp_path / "corpus", [story(tale, str(i)) for i in range(40)], [story(tale, "d")])
    overrides = [
        "pretrain.tokenizer.kind=characters",
        "train.steps=200",
        "pretrain.prompted=0",
        "train.evaluate_every=200",
        "train.log_every=200",
    ]
    run = pretrain(load_recipe(None, [*SMALL, *overrides, f"data.path={folder}"]), tmp_path / "run")
    model, tokenizer = load_model(locate(run.folder)), StoryTokenizer.load(run.final)
    (end,) = tokenizer.stop_ids
    logits = model(input_ids=torch.tensor([[end, *tokenizer.encode(tale)]])).logits[0].softmax(-1)
    assert logits[-1, end] > 0.9
    assert logits[:-1, end].max() < 0.3


def test_a_masked_model_fills_and_reads(runs: dict[str, Run]) -> None:
    run = runs[MASKED]
    located = locate(run.folder)
    with pytest.raises(ModelError, match="it cannot write"):
        load_model(located)
    with pytest.raises(ModelError, match="no masked model"):
        load_masked(locate(runs[CAUSAL].folder))
    model = load_masked(located)
    assert model.decoder.weight is model.get_input_embeddings().weight
    assert "fill-mask" in (run.final / "README.md").read_text("utf-8")
    filler = Filler.open(located)
    for text in ("The [blank] sang, and the ___ laughed.", "从前，[空]住在灯塔里，＿＿睡了。"):
        blanks = filler.fill(text, top=3)
        assert len(blanks) == 2
        for fills in blanks:
            assert len(fills) == 3
            assert all(fill.text.strip(" .,，。") == fill.text and 0 < fill.probability <= 1 for fill in fills)
            assert all(fill.text in filler.words for fill in fills)  # no piece of a word, in either language
            assert [fill.probability for fill in fills] == sorted((f.probability for f in fills), reverse=True)
    assert "**" in filler.best("A [blank] sang.")
    assert filler.fill("seal " * 200 + "[blank]" + " lamp" * 200, top=1)[0]  # longer than the context
    with pytest.raises(DataError, match="no blank to fill"):
        filler.fill("The seal sang.")


def test_a_blank_between_two_texts_is_one_in_a_text(runs: dict[str, Run]) -> None:
    filler = Filler.open(locate(runs[MASKED].folder))
    for before, after in (("Then the ", " sang."), ("从前，", "住在灯塔里。")):
        assert filler.between(before, after) == filler.fill(f"{before}[blank]{after}")[0]


def test_without_the_words_of_the_corpus_tokens_that_look_like_words_are_put_in(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    folder = shutil.copytree(runs[MASKED].final, tmp_path / "model")
    (folder / "words.json").write_text("[1]", "utf-8")
    with pytest.raises(ModelError, match=r"words\.json is damaged"):
        Filler.open(locate(folder))
    (folder / "words.json").unlink()
    filler = Filler.open(locate(folder))
    assert filler.words == {}
    assert len(filler.fill("The [blank] sang.", top=3)[0]) == 3


def test_a_masked_model_is_an_encoder(runs: dict[str, Run]) -> None:
    located = locate(runs[MASKED].folder)
    with pytest.raises(DataError, match="likelihoods=False"):
        Reader.open(located, (0, 2))
    reader = Reader(load_masked(located), StoryTokenizer.load(located.folder), (0, 2), likelihoods=False)
    texts = [["Mara saw a seal. ", "It sang."], ["No. "], ["她看见一只海豹。", "海豹唱歌。", "A lamp."]]
    passages = [sentence_passage(reader.tokenizer, text) for text in texts]
    together = dict(reader.read(passages))
    for number, passage in enumerate(passages):
        ((_, alone),) = list(reader.read([passage]))
        read = together[number]
        assert (read.ids, read.ends, read.unread) == (list(passage.ids), list(passage.ends), 0)
        assert read.hidden.shape == (2, len(passage.ids), 32)
        # Neither the others of a batch nor the padding beside a text are seen.
        assert torch.allclose(read.hidden, alone.hidden, atol=1e-5)
    # What follows is seen: the state of the first sentence is another one when the second is.
    ((_, changed),) = list(reader.read([sentence_passage(reader.tokenizer, ["Mara saw a seal. ", "A lamp."])]))
    first = together[0].ends[0] - 1
    assert (together[0].hidden[1, first] - changed.hidden[1, first]).abs().max() > 1e-4


@pytest.mark.parametrize("objective", [CAUSAL, MASKED])
def test_packed_rows_cost_what_their_parts_do(runs: dict[str, Run], objective: str) -> None:
    located = locate(runs[objective].folder)
    model = load_masked(located) if objective == MASKED else load_model(located)
    loss = (MaskedObjective if objective == MASKED else CausalObjective)(model)
    ids = torch.arange(20, 44)[None]
    labels = torch.full_like(ids, -100)
    labels[0, 2::3] = ids[0, 2::3]
    positions = torch.cat([torch.arange(10), torch.arange(14)])[None]
    segments = torch.tensor([[1] * 10 + [2] * 14])
    with torch.no_grad():
        packed = loss(ids, labels, positions, segments)
        parts = [
            loss(ids[:, rows], labels[:, rows], positions[:, rows], torch.ones_like(ids[:, rows]))
            for rows in (slice(0, 10), slice(10, 24))
        ]
        logits = model(input_ids=ids[:, :10]).logits[0]
        loss._packed = False  # as on a GPU: one call under a mask
        under_mask = loss(ids, labels, positions, segments)
    assert packed == pytest.approx(float(sum(parts)), abs=1e-4)
    assert under_mask == pytest.approx(float(packed), abs=1e-4)
    chosen = labels[0, :10] >= 0
    alone = torch.nn.functional.cross_entropy(logits[chosen], labels[0, :10][chosen], reduction="sum")
    assert float(parts[0]) == pytest.approx(float(alone), abs=1e-4)


def test_a_dry_run_says_what_it_costs(new: Make) -> None:
    plan = dry_run(new())
    assert plan["parameters"] == plan["trained"] > 20_000
    assert "4 steps in about" in plan["summary"]
    assert plan["data"]["documents"] == {"prompted": 0.5, "masked": False}
    json.dumps(plan)


def test_the_weights_are_those_of_the_seed(new: Make, tmp_path: Path) -> None:
    from storyteller.models.fresh import new_causal, new_masked

    tokenizer = StoryTokenizer.load(Path(pretrain(new("train.steps=1"), tmp_path / "run").final))
    shape = ShapeRecipe(layers=2, width=32, heads=2)
    for make in (new_causal, new_masked):
        a, b, c = (make(shape, tokenizer, 64, seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(a[name], b[name]) for name in a)
        assert any(not torch.equal(a[name], c[name]) for name in a)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("train.rows=512", DataError, r"train split has [\d,]+ tokens, and one step reads 131,072"),
        ("pretrain.tokenizer.vocabulary=9000", DataError, "vocabulary asks for 9,000"),
        ("model.method=lora", RecipeError, r"model\.method=lora would do nothing"),
        ("model.shape=null", RecipeError, r"set model\.size \(1m, 5m"),
        ("data.path=nothing", DataError, "storyteller prepare"),
        ("pretrain.tokenizer.model=nosuchmodel", ModelError, "nosuchmodel"),
    ],
)
def test_mistakes_are_told_before_a_run_is_made(
    new: Make, tmp_path: Path, override: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pretrain(new(override), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tokenizer_can_be_taken_over(new: Make, tiny_llama: Path, tmp_path: Path) -> None:
    run = pretrain(new(f"pretrain.tokenizer.model={tiny_llama}", "train.steps=1"), tmp_path / "run")
    assert StoryTokenizer.load(run.final).sha256 == StoryTokenizer.load(tiny_llama).sha256
    assert Template.load(run.final).kind == "chatml"
    with pytest.raises(ModelError, match="no mask token"):
        pretrain(new(f"pretrain.tokenizer.model={tiny_llama}", MASKED), tmp_path / "masked")
