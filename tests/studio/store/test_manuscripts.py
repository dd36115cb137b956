"""Manuscripts: nothing is lost, nothing is overwritten, everything can be undone."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from tests.studio.store.writing import covers, head, insert, new_scene, redo_all, tell, undo_all

from storyteller.corpus.language import count_words
from storyteller.studio.errors import ConflictError, NotFoundError, StudioError
from storyteller.studio.store import Store, Writer, manuscripts
from storyteller.studio.store.tables import KeyframeRow, NodeRow


def nodes(store: Store) -> int:
    with store.database.read() as session:
        return session.scalar(select(func.count()).select_from(NodeRow)) or 0


def test_what_was_saved_is_there_after_a_restart(opened: Callable[[], Store]) -> None:
    writer = opened().writer()
    scene = new_scene(writer)
    saved = insert(writer, scene, 0, "Once, a seal.\n从前，有一只海豹。😀")
    again = opened().writer().scene(scene)
    assert again["text"] == "Once, a seal.\n从前，有一只海豹。😀"
    assert again["head"] == saved["head"]
    assert again["provenance"] == [(25, "person", None, None)]


def test_a_change_on_an_old_base_is_refused_with_what_stands_now(writer: Writer) -> None:
    scene = new_scene(writer, "One.")
    base = head(writer, scene)
    insert(writer, scene, 4, " Two.")
    with pytest.raises(ConflictError) as refused:
        writer.splice(scene, base, [{"start": 0, "remove": 4, "insert": "Zero."}])
    assert refused.value.state == {
        "head": head(writer, scene),
        "text": "One. Two.",
        "provenance": [(9, "person", None, None)],
    }
    for step in (writer.undo, writer.redo):
        with pytest.raises(ConflictError):
            step(scene, base)
    assert writer.scene(scene)["text"] == "One. Two."


def test_of_two_changes_at_once_one_is_kept_and_the_other_told(writer: Writer) -> None:
    scene = new_scene(writer, "base")
    base = head(writer, scene)

    def change(number: int) -> str | None:
        try:
            return writer.splice(scene, base, [{"start": 0, "remove": 0, "insert": f"{number} "}])["head"]
        except ConflictError:
            return None

    with ThreadPoolExecutor(8) as pool:
        heads = [made for made in pool.map(change, range(8)) if made]
    assert heads == [head(writer, scene)]


def test_splices_of_one_request_count_one_after_the_other_and_are_kept_all_or_none(writer: Writer) -> None:
    scene = new_scene(writer, "a fox and a fox")
    base = head(writer, scene)
    with pytest.raises(StudioError, match="no range"):
        writer.splice(
            scene, base, [{"start": 0, "remove": 1, "insert": "the"}, {"start": 99, "remove": 0, "insert": "x"}]
        )
    assert writer.scene(scene)["text"] == "a fox and a fox"
    writer.splice(
        scene, base, [{"start": 2, "remove": 3, "insert": "seal"}, {"start": 13, "remove": 3, "insert": "seal"}]
    )
    assert writer.scene(scene)["text"] == "a seal and a seal"


def test_typing_is_one_node_until_half_a_minute_is_over(
    store: Store, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = new_scene(writer)
    before = nodes(store)
    for place, letter in enumerate("海豹来了"):
        insert(writer, scene, place, letter)
    insert(writer, scene, 3, "", remove=1)  # a backspace
    insert(writer, scene, 3, "到")
    assert nodes(store) == before + 1
    assert writer.history(scene)[0]["summary"] == "海豹来到"
    monkeypatch.setattr(manuscripts, "age", lambda stamp: 31.0)
    insert(writer, scene, 4, "。")
    assert nodes(store) == before + 2
    assert [step["text"] for step in undo_all(writer, scene)] == ["海豹来到", ""]


def test_what_has_a_name_a_generation_or_another_place_is_not_typed_on(store: Store, writer: Writer) -> None:
    scene = new_scene(writer, "One.")
    for stop in (
        lambda: writer.label(head(writer, scene), "here"),
        lambda: writer.create_generation(scene, "continue", 0, head(writer, scene), model="tiny"),
        lambda: insert(writer, scene, 0, "Zero. "),
    ):
        stop()
        before, now = nodes(store), head(writer, scene)
        insert(writer, scene, len(writer.scene(scene)["text"]), "+")
        assert nodes(store) == before + 1
        assert writer.at(scene, now)["text"] + "+" == writer.scene(scene)["text"]


def test_a_second_tab_that_knows_the_node_before_more_was_typed_is_told(writer: Writer) -> None:
    scene = new_scene(writer, "One")
    tab = head(writer, scene)
    insert(writer, scene, 3, ", two")  # the same node, longer
    with pytest.raises(ConflictError):
        writer.splice(scene, tab, [{"start": 3, "remove": 0, "insert": "!"}])


def test_a_streamed_generation_is_one_node_and_one_undo(store: Store, writer: Writer) -> None:
    scene = new_scene(writer, "Once")
    made = tell(writer, scene, 4, [" upon a time"], put=None)
    before = nodes(store)
    for place, piece in ((4, " upon"), (9, " a"), (11, " time")):
        insert(writer, scene, place, piece, author="model", generation=made, candidate=0)
    assert nodes(store) == before + 1
    assert writer.scene(scene)["provenance"] == [(4, "person", None, None), (12, "model", made, "tiny")]
    assert writer.undo(scene, head(writer, scene))["text"] == "Once"


def test_undo_then_redo_is_the_same_text_and_provenance_across_generations(writer: Writer) -> None:
    scene = new_scene(writer, "Once")
    tell(writer, scene, 4, [" upon a time"])
    insert(writer, scene, 9, " on", kind="rewrite")
    insert(writer, scene, 0, "~", author="prompt")
    full = writer.scene(scene)
    assert covers(full)
    texts = [step["text"] for step in undo_all(writer, scene)]
    assert texts == ["Once upon on a time", "Once upon a time", "Once", ""]
    steps = redo_all(writer, scene)
    assert [step["text"] for step in steps] == [*texts[:-1][::-1], full["text"]]
    assert steps[-1]["provenance"] == full["provenance"]


def test_after_an_undo_and_typing_the_undone_is_still_in_the_tree(writer: Writer) -> None:
    scene = new_scene(writer, "One.")
    insert(writer, scene, 0, "Zero. ", kind="rewrite")
    lost = head(writer, scene)
    writer.undo(scene, lost)
    insert(writer, scene, 4, " Two.", kind="rewrite")
    assert writer.redo(scene, head(writer, scene))["splice"] is None
    assert writer.at(scene, lost)["text"] == "Zero. One."
    assert [step["text"] for step in undo_all(writer, scene)] == ["One.", ""]


def test_every_undo_and_redo_agrees_with_a_plain_stack(writer: Writer) -> None:
    rng = random.Random(1)
    scene = new_scene(writer)
    past: list[str] = []
    text, future = "", list[str]()
    for number in range(80):
        step = rng.random()
        if step < 0.5:
            start = rng.randint(0, len(text))
            remove = rng.randint(0, min(3, len(text) - start))
            kind = "rewrite" if number % 2 else "import"  # neighbours are of two kinds, so that none becomes one
            insert(writer, scene, start, f"{number}海", remove, kind=kind)
            past, text, future = [*past, text], text[:start] + f"{number}海" + text[start + remove :], []
        elif step < 0.8:
            writer.undo(scene, head(writer, scene))
            if past:
                future, text, past = [*future, text], past[-1], past[:-1]
        else:
            writer.redo(scene, head(writer, scene))
            if future:
                past, text, future = [*past, text], future[-1], future[:-1]
        assert writer.scene(scene)["text"] == text
    assert covers(writer.scene(scene))


def test_any_moment_of_a_long_history_can_be_read_by_a_new_server(opened: Callable[[], Store]) -> None:
    writer = opened().writer()
    scene = new_scene(writer)
    moments = {}
    text = ""
    for number in range(150):
        piece = f"{number}豹 "
        insert(writer, scene, 0 if number % 2 else len(text), piece, kind="rewrite")
        text = piece + text if number % 2 else text + piece
        moments[head(writer, scene)] = text
    store = opened()
    assert {node: store.writer().at(scene, node)["text"] for node in moments} == moments
    with store.database.read() as session:
        frames = session.scalar(
            select(func.count())
            .select_from(KeyframeRow)
            .join(NodeRow, NodeRow.id == KeyframeRow.node_id)
            .where(NodeRow.scene_id == scene)
        )
    assert frames == 3


def test_restoring_a_moment_is_a_change_that_can_be_undone(writer: Writer) -> None:
    scene = new_scene(writer, "A seal came.")
    tell(writer, scene, 12, [" It sang."])
    then = writer.scene(scene)
    insert(writer, scene, 0, "", remove=21)
    back = writer.restore(scene, head(writer, scene), then["head"])
    assert back["text"] == then["text"]
    assert back["provenance"] == then["provenance"]
    assert writer.history(scene)[0]["kind"] == "restore"
    assert writer.undo(scene, back["head"])["text"] == ""


def test_branches_have_names_and_one_can_go_from_one_to_another(writer: Writer) -> None:
    scene = new_scene(writer, "She swam")
    fork = head(writer, scene)
    insert(writer, scene, 8, " home.", kind="rewrite")
    writer.label(head(writer, scene), "home")
    home = head(writer, scene)
    writer.go_to(scene, home, fork)
    insert(writer, scene, 8, " away.", kind="rewrite")
    insert(writer, scene, 14, " For ever.")
    away = head(writer, scene)
    branches = {branch["node"]: branch for branch in writer.branches(scene)}
    assert branches[home]["label"] == "home"
    assert branches[away]["is_head"]
    assert {node for node, branch in branches.items() if branch["tip"]} == {home, away}
    moved = writer.go_to(scene, away, home)
    assert moved["text"] == "She swam home."
    assert writer.go_to(scene, home, away)["text"] == "She swam away. For ever."
    insert(writer, scene, 0, "Then. ", kind="rewrite")
    assert writer.at(scene, home)["text"] == "She swam home."


def test_history_comes_in_pages_and_says_what_lies_on_the_way(writer: Writer) -> None:
    scene = new_scene(writer, "a")
    fork = head(writer, scene)
    insert(writer, scene, 1, "b c", kind="rewrite")
    side = head(writer, scene)
    writer.go_to(scene, side, fork)
    tell(writer, scene, 1, ["d e f"])
    first = writer.history(scene, limit=2)
    rest = writer.history(scene, before=first[-1]["node"])
    assert [entry["summary"] for entry in [*first, *rest]] == ["d e f", "b c", "a", ""]
    assert [entry["on_path"] for entry in [*first, *rest]] == [True, False, True, True]
    assert [entry["children"] for entry in rest] == [2, 1]
    assert (first[0]["author"], first[0]["model"], first[0]["inserted_words"]) == ("model", "tiny", 3)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_words_are_counted_as_the_text_changes(writer: Writer, language: str) -> None:
    rng = random.Random(2)
    scene = new_scene(writer, language=language)
    text = ""
    pieces = ["seal", "'s", " ", "-", "海豹", "。", "on", "\n", "a_b", "3"]
    for _ in range(60):
        start = rng.randint(0, len(text))
        remove = rng.randint(0, min(4, len(text) - start))
        piece = "".join(rng.choices(pieces, k=3))
        saved = insert(writer, scene, start, piece, remove)
        text = text[:start] + piece + text[start + remove :]
        assert saved["words"] == count_words(text, "zh" if language == "zh" else "en"), text
    (line,) = writer.projects()
    assert line["words"] == saved["words"]


@pytest.mark.parametrize("text", ["half \ud83d", "nul \0"])
def test_a_text_that_no_database_can_hold_is_refused(writer: Writer, text: str) -> None:
    scene = new_scene(writer, "whole")
    with pytest.raises(StudioError):
        insert(writer, scene, 0, text)
    assert writer.scene(scene)["text"] == "whole"


def test_moments_of_other_scenes_are_not_found(writer: Writer) -> None:
    one, other = new_scene(writer, "one"), new_scene(writer, "other")
    for call in (
        lambda: writer.at(one, head(writer, other)),
        lambda: writer.restore(one, head(writer, one), head(writer, other)),
        lambda: writer.go_to(one, head(writer, one), head(writer, other)),
        lambda: writer.scene("0000000000000000"),
    ):
        with pytest.raises(NotFoundError):
            call()


def test_a_paste_of_five_million_characters_is_kept(writer: Writer) -> None:
    text = "The seal swam on. 海豹游。\n" * 200_000
    scene = new_scene(writer)
    insert(writer, scene, 0, text)
    insert(writer, scene, 2_500_000, "!")
    assert writer.scene(scene)["text"] == text[:2_500_000] + "!" + text[2_500_000:]
    assert writer.undo(scene, head(writer, scene))["text"] == text
