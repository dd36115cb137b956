"""The edit log and the share that was kept."""

from __future__ import annotations

import json

import pytest
from tests.studio.store.writing import head, insert, new_scene, tell

from storyteller.studio.errors import StudioError
from storyteller.studio.store import Store, Writer


def test_choices_become_pairs_of_context_rejected_and_chosen(writer: Writer) -> None:
    scene = new_scene(writer, "从前")
    first = tell(writer, scene, 2, ["有一只狐狸。"])
    writer.log_choice(first, 0, "retry")
    writer.undo(scene, head(writer, scene))
    second = tell(writer, scene, 2, ["有一只海豹。", "有一个人。"])
    writer.log_choice(second, 0, "accept")
    writer.log_choice(second, 0, "rewrite", "有两只海豹。")
    pairs = [json.loads(line) for line in writer.export_edits("pairs")]
    assert [(pair["kind"], pair["rejected"], pair["chosen"]) for pair in pairs] == [
        ("retry", "有一只狐狸。", "有两只海豹。"),  # what its family gave in the end
        ("accept", "有一个人。", "有一只海豹。"),
        ("rewrite", "有一只海豹。", "有两只海豹。"),
    ]
    assert {(pair["context"], pair["model"], pair["language"]) for pair in pairs} == {("从前", "tiny", "en")}
    dpo = [json.loads(line) for line in writer.export_edits("dpo")]
    assert dpo == [{"prompt": "从前", "chosen": pair["chosen"], "rejected": pair["rejected"]} for pair in pairs]


def test_what_the_writer_went_back_to_was_not_rejected(writer: Writer) -> None:
    scene = new_scene(writer, "从前")
    first = tell(writer, scene, 2, ["有一只狐狸。"])
    stood = head(writer, scene)
    writer.log_choice(first, 0, "retry")
    writer.undo(scene, stood)
    second = tell(writer, scene, 2, ["有一只海豹。"])
    writer.log_choice(second, 0, "accept")
    assert [json.loads(line)["rejected"] for line in writer.export_edits()] == ["有一只狐狸。"]
    writer.restore(scene, head(writer, scene), stood)
    assert list(writer.export_edits()) == []
    assert writer.edits_summary()["pairs"] == 0


def test_the_context_is_what_the_model_saw_where_that_is_known(writer: Writer) -> None:
    scene = new_scene(writer, "Once")
    made = tell(writer, scene, 4, [" a", " b"], context={"parts": [{"text": "MEMORY"}, {"text": "Once"}]})
    writer.log_choice(made, 1, "accept")
    (pair,) = (json.loads(line) for line in writer.export_edits())
    assert pair["context"] == "MEMORY\n\nOnce"


def test_what_was_deleted_for_nothing_is_counted_and_makes_no_pair(writer: Writer) -> None:
    scene = new_scene(writer, "Once")
    writer.log_choice(tell(writer, scene, 4, [" a"]), 0, "delete")
    summary = writer.edits_summary()
    assert (summary["total"], summary["kinds"], summary["models"], summary["pairs"]) == (
        1,
        {"delete": 1},
        {"tiny": 1},
        0,
    )
    assert list(writer.export_edits("dpo")) == []
    with pytest.raises(StudioError, match="no choice"):
        writer.log_choice("x", 0, "like")  # type: ignore[arg-type]
    with pytest.raises(StudioError, match="no export"):
        list(writer.export_edits("csv"))


def test_the_log_is_wiped_and_the_manuscript_stays(writer: Writer) -> None:
    scene = new_scene(writer, "Once")
    writer.log_choice(tell(writer, scene, 4, [" a", " b"]), 0, "accept")
    assert writer.wipe_edits() == 1
    assert list(writer.export_edits()) == []
    assert writer.scene(scene)["text"] == "Once a"


def test_the_share_kept_is_what_stands_of_what_was_put_in(store: Store) -> None:
    writer = store.writer()
    scene = new_scene(writer)
    for number in range(6):
        insert(writer, scene, 0, "\n")
        tell(writer, scene, 0, ["0123456789"])
        insert(writer, scene, 0, "", remove=number)  # the writer deletes 0 to 5 units of each
    (kept,) = writer.kept()
    assert (kept["model"], kept["n"], kept["share"]) == ("tiny", 6, pytest.approx(45 / 60))
    assert kept["low"] is not None
    assert kept["high"] is not None
    assert kept["low"] < 0.75 < kept["high"]
    insert(writer, scene, 2, "xx", remove=2)  # the person's words in a model's are edited, and no longer the model's
    assert writer.kept()[0]["share"] == pytest.approx(43 / 60)
    assert writer.shares(writer.scene(scene)["project"]) == {
        "person": 6,
        "model": 43,
        "edited": 2,
        "prompt": 0,
        "import": 0,
    }


def test_going_through_alternatives_and_back_counts_each_text_once(writer: Writer) -> None:
    scene = new_scene(writer, "Once ")
    made = tell(writer, scene, 5, ["aaaa", "bbbb"])
    for candidate in (1, 0, 1, 0):
        writer.choose(scene, head(writer, scene), 6, made, candidate)
    (kept,) = writer.kept()
    assert (kept["share"], kept["low"], kept["high"], kept["n"]) == (0.5, None, None, 1)


def test_what_lies_in_the_trash_is_neither_kept_nor_lost(writer: Writer) -> None:
    scene = new_scene(writer, "Once ")
    tell(writer, scene, 5, ["aaaa"])
    chapter = writer.create_item(writer.scene(scene)["project"], "chapter")["id"]
    writer.update_item(scene, {"parent": chapter})
    assert len(writer.kept()) == 1
    writer.trash_item(chapter)
    assert writer.kept() == []
    writer.restore_item(chapter)
    writer.trash_item(scene)
    assert writer.kept() == []
