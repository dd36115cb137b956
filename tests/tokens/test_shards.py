from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tokens.stories import LAMP, SEAL, long_story, story, write_corpus

from storyteller.errors import DataError
from storyteller.recipe import DataRecipe
from storyteller.tokens import NO_LABEL, Batch, Shards, StoryTokenizer, Template, tokenize

_DATA = DataRecipe(context=256)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = [long_story(f"en{i}", 1 + i % 9) for i in range(30)] + [long_story(f"zh{i}", 1 + i, "zh") for i in range(8)]
    return write_corpus(tmp_path_factory.mktemp("corpus"), train, [story(SEAL, "d"), story(LAMP, "e", "zh")])


@pytest.fixture(scope="module")
def shards(corpus: Path, tokenizer: StoryTokenizer) -> Shards:
    return tokenize(corpus, None, tokenizer, _DATA)


def _same(one: Batch, other: Batch) -> bool:
    arrays = ("input_ids", "labels", "position_ids", "segment_ids")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)


def test_the_report_counts_everything(shards: Shards) -> None:
    told = shards.meta["splits"]["train"]
    assert told["stories"] == 38
    assert told["examples"] == len(shards.splits["train"]) == sum(told["tasks"].values())
    assert set(told["languages"]) == {"en", "zh"}
    assert told["share_truncated"] == told["share_without_target"] == 0
    assert told["share_cut"] > 0.3
    assert told["length_quantiles"]["1.00"] <= 256
    assert shards.splits["train"].tokens.dtype == np.uint16


def test_the_second_time_nothing_is_made(
    corpus: Path, shards: Shards, tokenizer: StoryTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyteller.tokens.tokenizing._write", lambda *_: pytest.fail("made again"))
    again = tokenize(corpus, None, tokenizer, _DATA)
    assert again.folder == shards.folder
    assert again.folder.parent == corpus / "shards"


def test_other_settings_or_another_corpus_give_another_folder(
    shards: Shards, tokenizer: StoryTokenizer, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path, [story(SEAL)])
    first = tokenize(corpus, None, tokenizer, _DATA)
    assert tokenize(corpus, None, tokenizer, _DATA.model_copy(update={"seed": 2})).folder != first.folder
    write_corpus(tmp_path, [story(SEAL), story(LAMP, "b", "zh")])
    second = tokenize(corpus, None, tokenizer, _DATA)
    assert second.folder != first.folder
    assert second.meta["splits"]["train"]["stories"] == 2
    given = tmp_path / "out"
    assert tokenize(corpus, given, tokenizer, _DATA).folder == given
    assert tokenize(corpus, given, tokenizer, DataRecipe(context=512)).meta["settings"]["context"] == 512


def test_the_same_inputs_give_the_same_bytes(
    corpus: Path, shards: Shards, tokenizer: StoryTokenizer, tmp_path: Path
) -> None:
    again = tokenize(corpus, tmp_path / "again", tokenizer, _DATA)
    for name in ("train.tokens.bin", "train.index.npy", "dev.tokens.bin"):
        assert (again.folder / name).read_bytes() == (shards.folder / name).read_bytes()


def test_a_batch_is_a_function_of_seed_and_step(shards: Shards) -> None:
    late = shards.batch(1, 20, rows=2, context=256)
    for step in range(5):
        shards.batch(1, step, rows=2, context=256)
    assert _same(late, shards.batch(1, 20, rows=2, context=256))
    assert _same(late, Shards.open(shards.folder).batch(1, 20, rows=2, context=256))
    assert not _same(late, shards.batch(2, 20, rows=2, context=256))
    assert late.input_ids.shape == late.labels.shape == (2, 256)
    assert late.input_ids.dtype == np.int64


@pytest.mark.parametrize("world", [2, 3, 6])
def test_ranks_and_accumulation_take_the_same_rows(shards: Shards, world: int) -> None:
    whole = shards.batch(1, 4, rows=6, context=256)
    parts = [shards.batch(1, 4, rows=6 // world, context=256, rank=rank, world=world) for rank in range(world)]
    for rank, part in enumerate(parts):
        assert np.array_equal(part.labels, whole.labels[rank::world])
    assert sum(part.targets for part in parts) == whole.targets
    assert sum(part.target_bytes for part in parts) == whole.target_bytes
    micro = [shards.batch(1, 4 * world + i, rows=6 // world, context=256) for i in range(world)]
    assert np.array_equal(np.concatenate([part.input_ids for part in micro]), whole.input_ids)


def test_an_epoch_of_batches_has_every_target_once(shards: Shards) -> None:
    steps = shards.steps_per_epoch(1, 256, seed=1)
    batches = [shards.batch(1, step, rows=1, context=256) for step in range(steps)]
    told = shards.meta["splits"]["train"]
    assert sum(batch.targets for batch in batches) == told["targets"]
    assert sum(batch.target_bytes for batch in batches) == told["target_bytes"]
    assert sum(int(batch.segment_ids.max()) for batch in batches) == told["examples"]


def test_one_pass_over_dev(shards: Shards) -> None:
    batches = list(shards.rows(256, 2))
    told = shards.meta["splits"]["dev"]
    assert sum(batch.targets for batch in batches) == told["targets"]
    halves = [batch for rank in range(2) for batch in shards.rows(256, 2, rank=rank, world=2)]
    assert sum(batch.targets for batch in halves) == told["targets"]


def test_the_first_rows_of_a_pass_speak_for_all_of_them(shards: Shards) -> None:
    def longest(opened: Shards) -> list[int]:
        return [int((batch.segment_ids == 1).sum()) for batch in opened.rows(256, 1, split="train")]

    lengths = longest(shards)
    assert lengths == longest(Shards.open(shards.folder))
    half = len(lengths) // 2
    apart = [abs(np.mean(part[:half]) - np.mean(lengths)) for part in (lengths, sorted(lengths, reverse=True))]
    assert apart[0] < apart[1] / 2


def test_every_stop_in_a_completion_is_a_label(shards: Shards, tokenizer: StoryTokenizer) -> None:
    split = shards.splits["train"]
    ended = 0
    for number in range(len(split)):
        ids, targets, _ = split.example(number)
        assert 0 < targets < len(ids)
        ended += int(ids[-1]) == tokenizer.stop_ids[0]
    batches = list(shards.rows(256, 4, split="train"))
    assert ended == sum(int((batch.labels == tokenizer.stop_ids[0]).sum()) for batch in batches) > 0
    assert all((batch.labels[batch.segment_ids == 0] == NO_LABEL).all() for batch in batches)


@pytest.mark.parametrize("name", ["train.tokens.bin", "train.index.npy", "meta.json"])
def test_damage_is_told(corpus: Path, tokenizer: StoryTokenizer, tmp_path: Path, name: str) -> None:
    out = tokenize(corpus, tmp_path / "out", tokenizer, _DATA).folder
    (out / name).write_bytes((out / name).read_bytes()[:-3])
    with pytest.raises(DataError, match=r"damaged.*Delete the folder"):
        Shards.open(out)
    with pytest.raises(DataError, match="damaged"):
        tokenize(corpus, out, tokenizer, _DATA)


def test_a_failure_leaves_the_old_shards(corpus: Path, tokenizer: StoryTokenizer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tokenize(corpus, out, tokenizer, _DATA)
    with pytest.raises(DataError):
        tokenize(write_corpus(tmp_path / "empty", []), out, tokenizer, _DATA)
    assert len(Shards.open(out).splits["train"])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_two_runs_that_tokenize_the_same_at_once_both_go_on(
    corpus: Path, tokenizer: StoryTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import storyteller.tokens.tokenizing as tokenizing

    warn, out = tokenizing._warn, tmp_path / "shards"

    def overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(tokenizing, "_warn", warn)
        tokenize(corpus, out, tokenizer, DataRecipe(context=256))  # the other run, which ends first
        warn(*arguments)

    monkeypatch.setattr(tokenizing, "_warn", overtaken)
    shards = tokenize(corpus, out, tokenizer, DataRecipe(context=256))
    assert len(shards.splits["train"]) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


def test_caps_on_forms_and_stories(tokenizer: StoryTokenizer, tmp_path: Path) -> None:
    train = [story(SEAL, f"s{i}") for i in range(30)] + [story(SEAL, f"c{i}", form="chapter") for i in range(30)]
    corpus = write_corpus(tmp_path, train)
    capped = tokenize(corpus, None, tokenizer, DataRecipe(context=512, max_share_form={"chapter": 0.25}))
    assert capped.meta["splits"]["train"]["stories"] == 40
    few = tokenize(corpus, None, tokenizer, DataRecipe(context=512, max_stories=7))
    assert few.meta["splits"]["train"]["stories"] == 7
    chapters = write_corpus(tmp_path / "chapters", train[30:], train[30:34])
    with pytest.raises(DataError, match=r"max_share_form=\{chapter: 0.25\} leaves no story"):
        tokenize(chapters, None, tokenizer, DataRecipe(context=512, max_share_form={"chapter": 0.25}))
    both = write_corpus(tmp_path / "both", train, train[30:34])
    measured = tokenize(both, None, tokenizer, DataRecipe(context=512, max_share_form={"chapter": 0.25}))
    assert measured.meta["splits"]["dev"]["stories"] == 4  # what is measured on is not capped


def test_one_tokenizer_with_another_end_gives_other_shards(metaspace: StoryTokenizer, tmp_path: Path) -> None:
    """A model and its instruct version share tokenizer.json, and say elsewhere which token ends a text."""
    corpus = write_corpus(tmp_path, [story(SEAL, "s")])
    other = copy.copy(metaspace)
    other.eos_id = 5
    made = [tokenize(corpus, None, one, DataRecipe(context=512)).meta["hash"] for one in (metaspace, other)]
    assert made[0] != made[1]


@pytest.mark.parametrize("rows", [1, 2, 5, 48])
def test_a_limit_is_of_rows_however_many_a_batch_has(shards: Shards, rows: int) -> None:
    whole = [row for batch in shards.rows(256, 1, split="train") for row in batch.input_ids.tolist()]
    assert len(whole) > 3
    some = [row for batch in shards.rows(256, rows, split="train", limit=3) for row in batch.input_ids.tolist()]
    assert some == whole[:3]


def test_lost_parts_are_said_aloud(
    tokenizer: StoryTokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path, [long_story("a", 30)])
    made = tokenize(corpus, None, tokenizer, DataRecipe(context=256, tasks={"write": 1.0}))
    assert made.meta["splits"]["train"]["share_truncated"] == 1
    assert "warning" in capsys.readouterr().err


def test_mistakes_are_data_errors(corpus: Path, shards: Shards, tokenizer: StoryTokenizer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="storyteller tokenize"):
        Shards.open(tmp_path)
    with pytest.raises(DataError, match="storyteller prepare"):
        tokenize(tmp_path, None, tokenizer, _DATA)
    with pytest.raises(DataError, match=r"data\.context"):
        shards.batch(1, 0, rows=1, context=64)
    with pytest.raises(DataError, match="no split other"):
        list(shards.rows(256, 1, split="other"))
    with pytest.raises(DataError, match="no example"):
        tokenize(corpus, None, tokenizer, DataRecipe(context=16))


def test_a_plain_template_and_a_context_of_a_thousand(corpus: Path, metaspace: StoryTokenizer, tmp_path: Path) -> None:
    made = tokenize(
        corpus, tmp_path / "out", metaspace, DataRecipe(context=1024), template=Template(metaspace, "plain")
    )
    assert json.loads((made.folder / "meta.json").read_text())["template"]["kind"] == "plain"
    assert made.batch(1, 0, rows=1, context=1024).targets > 0


def test_a_folder_that_is_not_ours_is_left_alone(corpus: Path, tokenizer: StoryTokenizer, tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text("my only novel")
    with pytest.raises(DataError, match="was not written by `storyteller tokenize`"):
        tokenize(corpus, tmp_path, tokenizer, DataRecipe(context=256))
    assert (tmp_path / "novel.txt").read_text() == "my only novel"
    with pytest.raises(DataError, match="another folder"):
        tokenize(corpus, corpus, tokenizer, DataRecipe(context=256))
