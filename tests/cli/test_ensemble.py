"""`storyteller ensemble`: what a person sees."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.adapters import damage, tiny_adapter
from tests.tiny import tiny_model
from typer.testing import CliRunner

from storyteller.cli.ensemble import app
from storyteller.corpus import prepare, read_split
from storyteller.ensemble import new_ensemble
from storyteller.errors import GenerationError, ModelError
from storyteller.evaluate import evaluate_models
from storyteller.generate.library import read_story
from storyteller.models import locate
from storyteller.models.ensemble_file import Ensemble, Member, read_ensemble, write_ensemble
from storyteller.tokens import Request

STORIES = Path(__file__).parents[2] / "examples" / "stories"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def adapters(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [tiny_adapter(tiny_llama, folder / name, seed=seed) for seed, name in enumerate("ab")]


def test_new_and_show(adapters: list[Path], tmp_path: Path) -> None:
    said = run("new", *adapters, "--out", tmp_path / "e", "--weights", "0.7,0.3", "--sure", 0.9)
    assert f"--model {tmp_path / 'e'}" in said
    shown = run("show", tmp_path / "e")
    assert "rule: arithmetic" in shown
    assert "gate: {'sure': 0.9}" in shown
    assert "0.700" in shown
    described = json.loads(run("show", tmp_path / "e", "--json"))
    assert [member["weight"] for member in described["members"]] == [0.7, 0.3]
    assert [Path(member["place"]) for member in described["members"]] == adapters
    with pytest.raises(ModelError, match="holds an ensemble already"):
        run("new", *adapters, "--out", tmp_path / "e")
    before = sorted(adapters[0].iterdir())
    with pytest.raises(ModelError, match="is there already"):  # the member would be the ensemble, and look for itself
        run("new", *adapters, "--out", adapters[0])
    assert sorted(adapters[0].iterdir()) == before


def test_a_name_means_the_same_as_everywhere(
    adapters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder here that is called like a model of the catalogue is not that model."""
    (tmp_path / "smollm2-135m-instruct").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("storyteller.ensemble.folder.locate", lambda folder: None)
    new_ensemble(tmp_path / "e", ["smollm2-135m-instruct", str(adapters[0])])
    assert read_ensemble(tmp_path / "e").members[0].model == "smollm2-135m-instruct"


def test_two_ensembles_that_name_each_other_are_told(tmp_path: Path) -> None:
    for one, other in ("ab", "ba"):
        write_ensemble(tmp_path / one, Ensemble(members=(Member(model=f"../{other}"), Member(model="default"))))
    with pytest.raises(ModelError, match="an ensemble itself"):
        locate(tmp_path / "a")


@pytest.mark.parametrize("command", ["draft", "relay"])
def test_what_nobody_reads_is_saved_all_the_same(
    adapters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """As when the reader of a pipe has gone."""
    monkeypatch.setenv("STORYTELLER_HOME", str(tmp_path / "home"))

    def gone(*arguments: object, **options: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("storyteller.cli.ensemble_telling.typer.echo", gone)
    models = [part for path in adapters for part in ("--model", str(path))]
    options = ["--words", "20", "--engine", "torch", "--no-coherence", "--drafts", "2"]
    with pytest.raises(BrokenPipeError):
        CliRunner().invoke(app, [command, "A seal sings.", *models, *options], catch_exceptions=False)
    assert list((tmp_path / "home" / "stories").rglob("*.md"))


@pytest.mark.parametrize("command", ["draft", "relay"])
def test_a_negative_seed_is_refused_before_anything_is_written(adapters: list[Path], command: str) -> None:
    asked = [command, "A seal.", "--model", str(adapters[0]), "--seed", "-1"]
    assert CliRunner().invoke(app, asked).exit_code == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--weights", "0.7,0.7"], "sum to 1"),
        (["--weights", "0.7,x"], "no numbers"),
        (["--weights", "1"], "1 weights for 2"),
        (["--rule", "magic"], "arithmetic"),
        (["--rule", "contrastive"], "contrastive needs weights"),
        (["--sure", "7"], "gate"),
    ],
)
def test_a_wrong_ensemble_is_not_written(adapters: list[Path], tmp_path: Path, options: list[str], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        run("new", *adapters, "--out", tmp_path / "e", *options)
    with pytest.raises(ModelError, match="cannot be had"):
        run("new", adapters[0], tmp_path / "nowhere", "--out", tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_merge(adapters: list[Path], tmp_path: Path) -> None:
    said = run("merge", *adapters, "--out", tmp_path / "m", "--method", "slerp", "--rank", 2)
    assert "2 models merged (slerp)" in said
    assert "of the energy lost at rank 2" in said
    report = json.loads(run("merge", *adapters, "--out", tmp_path / "n", "--json"))
    assert report["weights"] == [0.5, 0.5]


def test_weigh_writes_the_weights_that_predict_best(adapters: list[Path], tmp_path: Path) -> None:
    prepare([STORIES], tmp_path / "corpus")
    run("new", *adapters, "--out", tmp_path / "e", "--weights", "0.9,0.1")
    found = json.loads(run("weigh", tmp_path / "e", "--data", tmp_path / "corpus", "--limit", 2, "--json"))
    shown = json.loads(run("show", tmp_path / "e", "--json"))
    assert [member["weight"] for member in shown["members"]] == list(found["weights"].values())
    assert found["mixed"] <= min(found["equal"], *found["alone"].values()) + 1e-4
    run("new", *adapters, "--out", tmp_path / "g", "--rule", "geometric")
    with pytest.raises(ModelError, match="arithmetic"):
        run("weigh", tmp_path / "g", "--data", tmp_path / "corpus")


def test_search_tells_what_the_cut_to_a_rank_costs(adapters: list[Path], tmp_path: Path) -> None:
    prepare([STORIES], tmp_path / "corpus")
    options = ("--data", tmp_path / "corpus", "--limit", 1, "--max-tokens", 20, "--trials", 3, "--rank", 1)
    assert "before the cut to rank 1" in run("search", *adapters, "--out", tmp_path / "m", *options)
    best = json.loads(run("search", *adapters, "--out", tmp_path / "n", *options, "--json"))["search"]["best"]
    assert best["written"] != best["score"]


def test_weigh_leaves_out_a_damaged_member(tiny_llama: Path, adapters: list[Path], tmp_path: Path) -> None:
    prepare([STORIES], tmp_path / "corpus")
    broken = tiny_adapter(tiny_llama, tmp_path / "broken")
    damage(broken / "adapter_model.safetensors")
    run("new", *adapters, broken, "--out", tmp_path / "e")
    data = ("--data", tmp_path / "corpus", "--limit", 1, "--max-tokens", 20)
    assert "0.0000  broken  (left out" in run("weigh", tmp_path / "e", *data)
    run("new", *adapters, "--out", tmp_path / "sound")
    found, sound = (json.loads(run("weigh", tmp_path / name, *data, "--json")) for name in ("e", "sound"))
    assert found["alone"].pop("broken") is None
    assert found["weights"].pop("broken") == 0
    assert found["weights"] == pytest.approx(sound["weights"], abs=1e-3)
    assert (found["equal"], found["mixed"]) == pytest.approx((sound["equal"], sound["mixed"]), abs=1e-3)


def test_members_of_512_positions_are_searched_and_weighed(tmp_path: Path) -> None:
    prepare([STORIES], tmp_path / "corpus")
    members = [tiny_model(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    config = members[1] / "config.json"
    config.write_text(config.read_text().replace('"max_position_embeddings": 1024', '"max_position_embeddings": 512'))
    for one, two, name in ((*members, "first"), (*reversed(members), "second")):
        data = ("--data", tmp_path / "corpus", "--limit", 2, "--max-tokens", 20)
        assert "weights" in run("search", one, two, "--out", tmp_path / name, *data, "--trials", 3)
        run("new", one, two, "--out", tmp_path / f"{name}-mix")
        assert "mixed" in run("weigh", tmp_path / f"{name}-mix", *data)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # see tests/generate/test_mixture.py


@pytest.mark.usefixtures("one_thread")
def test_draft_shows_some_of_what_all_members_wrote(adapters: list[Path], tmp_path: Path) -> None:
    run("new", *adapters, "--out", tmp_path / "e")
    rows = json.loads(
        run("draft", "A seal.", "--model", tmp_path / "e", "--drafts", 4, "--show", 2, "--words", 5, "--json")
    )
    assert 1 <= len(rows) <= 2
    assert rows[0]["scores"].keys() == {"people", "keywords", "length", "repetition", "ending"}
    assert [read_story(Path(row["file"])) for row in rows] == [row["text"].strip() for row in rows]


@pytest.mark.usefixtures("one_thread")
def test_the_asked_engine_writes_the_drafts(adapters: list[Path], tmp_path: Path) -> None:
    run("new", *adapters, "--out", tmp_path / "e")
    options = ("--model", tmp_path / "e", "--drafts", 2, "--show", 2, "--words", 5, "--no-coherence")
    for engine in ("torch", "llama"):
        rows = json.loads(run("draft", "A seal.", *options, "--engine", engine, "--json"))
        assert {f"engine: mixture of {engine}" in Path(row["file"]).read_text(encoding="utf-8") for row in rows} == {
            True
        }


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("asked", "best"),
    [
        (("--character", "Mara:a keeper"), "Mara rowed."),
        (("--character", "Odo"), "Odo rowed."),
        (("--character", "小舟：守塔人"), "小舟划船。"),
        (("--keyword", "sank"), "They sank."),
    ],
)
def test_drafts_are_ranked_by_who_and_what_was_asked_for(
    adapters: list[Path], monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], best: str
) -> None:
    from storyteller.ensemble import drafts

    texts, write = ["They sank.", "Mara rowed.", "Odo rowed.", "小舟划船。"], drafts.draft_many

    def written(*arguments: Any, **options: Any) -> list[drafts.Draft]:
        return [
            dataclasses.replace(draft, told=dataclasses.replace(draft.told, text=text, doubt=None))
            for draft, text in zip(write(*arguments, **options), texts, strict=True)
        ]

    monkeypatch.setattr(drafts, "draft_many", written)
    options = ("--model", adapters[0], "--drafts", 4, "--show", 1, "--temperature", 0, "--words", 3, "--no-coherence")
    (shown,) = json.loads(run("draft", "A seal.", *options, *asked, "--json"))
    assert shown["text"] == best


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
@pytest.mark.parametrize("place", ["_repetition", "draft_similarity"])
def test_drafts_that_are_not_ranked_are_shown_and_saved(
    adapters: list[Path], monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException
) -> None:
    def stop(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(f"storyteller.evaluate.drafting.{place}", stop)
    options = ("--model", adapters[0], "--drafts", 2, "--show", 2, "--words", 3, "--no-coherence")
    rows = json.loads(run("draft", "A seal.", *options, "--json"))
    assert rows[0]["scores"].keys() == {"people", "keywords", "length"}
    assert [read_story(Path(row["file"])) for row in rows] == [row["text"].strip() for row in rows]


def test_a_wrong_temperature_is_told_before_anything_is_written(
    adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyteller.ensemble.drafts.draft_many", lambda *arguments, **options: pytest.fail("written"))
    wrong = CliRunner().invoke(app, ["draft", "A seal.", "--model", str(adapters[0]), "--temperature", "-0.1"])
    assert wrong.exit_code == 2
    assert isinstance(wrong.exception, SystemExit)


@pytest.mark.usefixtures("one_thread")
def test_a_relay_and_a_cascade_know_who_was_asked_for(adapters: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked, heard = ("--character", "Mara:a keeper", "--keyword", "lamp", "--words", 6), list[Request]()

    def critic(texts: Sequence[str], request: Request) -> list[float]:
        heard.append(request)
        return [1.0] * len(texts)

    monkeypatch.setattr("storyteller.evaluate.drafting._critic", lambda folder: critic)
    told = json.loads(run("relay", "A seal.", "--model", adapters[0], "--drafts", 1, "--keep", 1, *asked, "--json"))
    assert None not in (told["scores"]["people"], told["scores"]["keywords"])
    run("cascade", "A seal.", "--small", adapters[0], "--large", adapters[1], "--critic", "refined", *asked)
    assert ([person.name for person in heard[-1].characters], heard[-1].keywords) == (["Mara"], ("lamp",))
    for command in ("draft", "relay"):
        with pytest.raises(GenerationError, match="NAME:WHO"):
            run(command, "A seal.", "--model", adapters[0], "--character", ":who")


@pytest.mark.usefixtures("one_thread")
def test_a_relay_names_who_wrote_each_part(adapters: list[Path], tmp_path: Path) -> None:
    run("new", *adapters, "--out", tmp_path / "e")
    options = ("--model", tmp_path / "e", "--drafts", 2, "--keep", 1, "--words", 6)
    told = json.loads(run("relay", "A seal.", *options, "--json"))
    assert told["text"] == "".join(part["text"] for part in told["parts"])
    assert {Path(part["member"]).name for part in told["parts"]} <= {"a", "b"}
    assert read_story(Path(told["file"])) == told["text"].strip()
    (tmp_path / "folder").mkdir()
    stopped = CliRunner().invoke(app, ["relay", "A seal.", *map(str, options), "--out", str(tmp_path / "folder")])
    assert told["text"].strip() in stopped.stdout  # what cannot be saved there is shown, and is on the shelf
    assert "The story is kept" in str(stopped.exception)
    run("relay", "A seal.", *options, "--out", tmp_path / "relayed.md")
    assert read_story(tmp_path / "relayed.md") == told["text"].strip()  # the same seed
    with pytest.raises(ModelError, match="sentence or paragraph"):
        run("relay", "A seal.", *options, "--unit", "chapter")


@pytest.mark.usefixtures("one_thread")
def test_a_relay_is_ranked_by_its_end_and_a_draft_by_its_beginning(
    adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from storyteller.evaluate import drafting

    asked, scorers = list[bool](), drafting.draft_scorers

    def heard(*arguments: Any, last: bool = False, **options: Any) -> Any:
        asked.append(last)
        return scorers(*arguments, last=last, **options)

    monkeypatch.setattr(drafting, "draft_scorers", heard)
    for command in ("draft", "relay"):
        run(
            command,
            "A seal.",
            "--model",
            adapters[0],
            "--drafts",
            1,
            "--words",
            5,
            *(["--keep", 1] * (command == "relay")),
        )
    assert asked == [False, True]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("threshold", "asked"), [(-1e9, False), (1e9, True)])
def test_a_cascade_asks_the_larger_model_when_the_critic_is_unhappy(
    adapters: list[Path], monkeypatch: pytest.MonkeyPatch, threshold: float, asked: bool
) -> None:
    models = ("--small", adapters[0], "--large", adapters[1], "--words", 5, "--threshold", threshold)
    with pytest.raises(ModelError, match="nothing can judge"):  # a new home has no base for the coherence scorer
        run("cascade", "A seal.", *models)
    monkeypatch.setattr(
        "storyteller.evaluate.drafting._critic", lambda folder: lambda texts, request: [1.0] * len(texts)
    )
    monkeypatch.setattr("storyteller.generate.writing.doubt", lambda text, form: None)  # random weights write no story
    with pytest.raises(ModelError, match="nowhere"):
        run("cascade", "A seal.", "--large", "runs/nowhere", "--critic", "refined")
    told = json.loads(run("cascade", "A seal.", *models, "--critic", "refined", "--json"))
    assert told["escalated"] is asked
    assert told["score"] == 1.0
    assert read_story(Path(told["file"])) == told["text"].strip()


@pytest.mark.usefixtures("one_thread")
def test_an_ensemble_is_distilled_into_examples(
    adapters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyteller.generate.writing.doubt", lambda text, form: None)
    prepare([STORIES], tmp_path / "corpus")
    run("new", *adapters, "--out", tmp_path / "e")
    options = ("--data", tmp_path / "corpus", "--lang", "en", "--prompts", 3, "--drafts", 2, "--words", 20)
    said = run("distil", tmp_path / "e", "--out", tmp_path / "told.jsonl", *options)
    rows = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text(encoding="utf-8").splitlines()]
    assert f"{len(rows)} examples" in said
    asked = [story.text for story in read_split(tmp_path / "corpus", "train")]
    assert all(any(row["prompt"] in text for text in asked) for row in rows)
    with pytest.raises(ModelError, match="there already"):
        run("distil", tmp_path / "e", "--out", tmp_path / "told.jsonl", *options)


def test_a_contrast_has_no_loss_to_measure_and_is_refused_before_other_models_are_read(
    adapters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyteller.evaluate.loss_report.measure_losses", lambda *a, **b: pytest.fail("measured"))
    prepare([STORIES], tmp_path / "corpus")
    run("new", *adapters, "--out", tmp_path / "c", "--rule", "contrastive", "--weights", "1.5,-0.5")
    with pytest.raises(ModelError, match="contrastive"):
        evaluate_models([str(adapters[0]), str(tmp_path / "c")], tmp_path / "corpus", split="dev", limit=1)
