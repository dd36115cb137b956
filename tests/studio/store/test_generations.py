"""Generations: written while they stream, offered after a crash, alternatives of one another."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.studio.store.writing import covers, head, insert, new_scene, tell

from storyteller.studio.errors import NotFoundError, StudioError
from storyteller.studio.store import Store, Writer


def test_a_generation_keeps_what_the_model_saw_and_gave(writer: Writer) -> None:
    scene = new_scene(writer, "Once")
    context = {"parts": [{"name": "text", "tokens": 1, "text": "Once"}], "tokens": 1, "limit": 2048}
    made = writer.create_generation(
        scene, "continue", 4, head(writer, scene), model="tiny", seed=7, settings={"temperature": 1.0}, context=context
    )
    assert made["status"] == "queued"
    writer.update_generation(made["id"], {"status": "running"})
    writer.append(made["id"], [(0, " upon", [{"text": " upon", "logprob": -0.1}]), (1, " there", [])])
    writer.append(made["id"], [(0, " a time", [{"text": " a time", "logprob": -0.2}])])
    writer.finish_candidate(made["id"], 0, "stop", {"doubt": 0.3})
    writer.update_generation(made["id"], {"status": "done"})
    kept = writer.generation(made["id"])
    assert (kept["seed"], kept["context"], kept["status"]) == (7, context, "done")
    assert kept["finished"] is not None
    first, second = kept["candidates"]
    assert (first["text"], first["finish_reason"], first["extra"]) == (" upon a time", "stop", {"doubt": 0.3})
    assert [token["logprob"] for token in first["tokens"]] == [-0.1, -0.2]
    assert (second["text"], second["finish_reason"]) == (" there", None)


def test_what_streams_is_on_disk_half_a_second_later(writer: Writer) -> None:
    scene = new_scene(writer, "Once")
    made = writer.create_generation(scene, "continue", 4, head(writer, scene), model="tiny")["id"]
    with writer.streaming(made) as words:
        words.add(0, " upon", {"text": " upon"})
        words.add(0, " a")
        behind = time.monotonic()
        while not writer.generation(made)["candidates"]:
            assert time.monotonic() - behind < 2
            time.sleep(0.01)
        assert writer.generation(made)["candidates"][0]["text"] == " upon a"
        words.add(0, " time")
    assert writer.generation(made)["candidates"][0]["text"] == " upon a time"


def test_streaming_goes_on_when_the_disk_is_full_and_tells_at_the_end(writer: Writer) -> None:
    scene = new_scene(writer, "Once")
    made = writer.create_generation(scene, "continue", 4, head(writer, scene), model="tiny")["id"]
    full = StudioError("the disk is full")
    kept: list[str] = []

    class Broken:
        def append(self, generation: str, pieces: list[tuple[int, str, list[object]]]) -> None:
            if len(kept) < 1:
                kept.append("")
                raise full
            kept.append(pieces[0][1])

    from storyteller.studio.store import Streaming

    words = Streaming(Broken(), made)  # type: ignore[arg-type]
    words.add(0, "one ")
    words.flush()
    assert words.error is full
    words.add(0, "two")
    words.flush()
    assert words.error is None
    assert kept == ["", "one two"]
    kept.clear()
    with pytest.raises(StudioError, match="full"), Streaming(Broken(), made) as words:  # type: ignore[arg-type]
        words.add(0, "lost?")


def test_after_a_crash_what_ran_is_interrupted_and_its_words_are_offered(opened: Callable[[], Store]) -> None:
    writer = opened().writer()
    scene = new_scene(writer, "Once")
    cut = writer.create_generation(scene, "continue", 4, head(writer, scene), model="tiny")["id"]
    writer.update_generation(cut, {"status": "running"})
    writer.append(cut, [(0, " upon a", [])])
    done = tell(writer, scene, 4, [" done"], put=None)
    store = opened()
    assert store.writer().recovered(scene) == []  # opening alone says nothing of other servers
    assert store.recover() == 1
    after = store.writer()
    assert [(one["id"], one["status"]) for one in after.scene(scene)["recovered"]] == [(cut, "interrupted")]
    assert after.generation(done)["status"] == "done"
    insert(after, scene, 4, " upon a", author="model", generation=cut, candidate=0)
    assert after.recovered(scene) == []


def test_what_was_recovered_can_be_dismissed_and_stays_in_the_record(store: Store, writer: Writer) -> None:
    scene = new_scene(writer, "Once")
    cut = writer.create_generation(scene, "continue", 4, head(writer, scene), model="tiny")["id"]
    writer.append(cut, [(0, " upon", [])])
    store.recover()
    assert [one["id"] for one in writer.recovered(scene)] == [cut]
    writer.dismiss(cut)
    assert writer.recovered(scene) == []
    assert writer.generation(cut)["candidates"][0]["text"] == " upon"


def test_alternatives_are_all_texts_of_a_passage_and_another_can_be_chosen(writer: Writer) -> None:
    scene = new_scene(writer, "Once  The end.")
    first = tell(writer, scene, 5, ["a seal.", "一只海豹😀。"])
    writer.undo(scene, head(writer, scene))
    second = tell(writer, scene, 5, ["a fox."])  # asked for again at the same place
    insert(writer, scene, 7, "red ")
    passage = writer.alternatives(scene, 8)
    assert (passage["start"], passage["end"]) == (5, 15)
    told = [(one["generation"], one["text"], one["current"]) for one in passage["alternatives"]]
    assert told == [(first, "a seal.", False), (first, "一只海豹😀。", False), (second, "a fox.", True)]
    chosen = writer.choose(scene, head(writer, scene), 8, first, 1)
    assert chosen["text"] == "Once 一只海豹😀。 The end."
    assert covers(writer.scene(scene))
    assert [one["current"] for one in writer.alternatives(scene, 6)["alternatives"]] == [False, True, False]
    assert writer.history(scene)[0]["kind"] == "alternative"
    assert writer.undo(scene, chosen["head"])["text"] == "Once a red fox. The end."


def test_the_first_words_are_an_alternative_to_a_rewriting(writer: Writer) -> None:
    scene = new_scene(writer, "She went 很远 away.")
    made = tell(writer, scene, 4, ["swam"], end=11)
    assert writer.scene(scene)["text"] == "She swam away."
    texts = [(one["text"], one["current"]) for one in writer.alternatives(scene, 5)["alternatives"]]
    assert texts == [("went 很远", False), ("swam", True)]
    back = writer.choose(scene, head(writer, scene), 5, None)
    assert back["text"] == "She went 很远 away."
    assert back["provenance"] == [(17, "person", None, None)]
    texts = [(one["text"], one["current"]) for one in writer.alternatives(scene, 6)["alternatives"]]
    assert texts == [("went 很远", True), ("swam", False)]
    assert writer.choose(scene, head(writer, scene), 6, made, 0)["text"] == "She swam away."


def test_a_retry_over_the_whole_passage_is_of_the_same_family(writer: Writer) -> None:
    scene = new_scene(writer, "Once ")
    first = tell(writer, scene, 5, ["a seal."])
    second = tell(writer, scene, 5, ["a fox."], end=12)
    named = tell(writer, scene, 0, ["a hare."], put=None, retry_of=first)
    family = writer.generation(first)["family"]
    assert writer.generation(second)["family"] == writer.generation(named)["family"] == family
    other = tell(writer, scene, 4, ["Then. "])
    assert writer.generation(other)["family"] == other


def test_where_no_model_wrote_there_are_no_alternatives(writer: Writer) -> None:
    scene = new_scene(writer, "Mine alone.")
    assert writer.alternatives(scene, 3) == {"start": 3, "end": 3, "alternatives": []}
    with pytest.raises(NotFoundError):
        writer.choose(scene, head(writer, scene), 3, "0000000000000000", 0)
    with pytest.raises(StudioError, match="no range"):
        writer.alternatives(scene, 99)
