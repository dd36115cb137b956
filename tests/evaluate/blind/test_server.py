from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from tests.evaluate.blind.pages import serving, session_over, texts

from storyteller.errors import DataError, StorytellerError
from storyteller.evaluate.blind.judgements import append_judgement, read_judgements
from storyteller.evaluate.blind.server import application, listen
from storyteller.evaluate.texts import write_texts


def client(out: Path, **options: Any) -> TestClient:
    return TestClient(application(session_over(out, **options)), base_url="http://127.0.0.1")


def answer(page: Any, choice: str = "left", **more: Any) -> Any:
    place = page.get("/api/state").json()["pair"]["place"]
    return page.post("/api/judge", json={"place": place, "choice": choice, "seconds": 3.2, "reason": "", **more})


def test_no_answer_before_the_end_names_a_system(tmp_path: Path) -> None:
    page = client(tmp_path / "blind.jsonl")
    seen = [page.get(path) for path in ("/", "/blind.css", "/blind.js", "/api/state")]
    for choice in ("left", "tie", "right", "skip"):
        seen += [page.post("/api/result", json={}), answer(page, choice)]
    seen += [page.post("/api/undo", json={}), page.post("/api/undo", json={}), page.get("/api/state")]
    for said in seen:
        assert "secret" not in said.text + str(said.headers)
    assert [said.status_code for said in seen[4:12:2]] == [409] * 4
    answer(page)
    answer(page)
    assert "secret-one" in page.post("/api/result", json={}).json()["systems"]
    assert page.post("/api/undo", json={}).status_code == 409  # who has seen the names changes nothing
    assert "secret-one" in (tmp_path / "blind.md").read_text()
    assert json.loads((tmp_path / "blind.json").read_text())["verdicts"] == 4


def test_lengths_and_hidden_marks_do_not_reach_the_page(tmp_path: Path) -> None:
    pair = client(tmp_path / "b.jsonl", language="zh").get("/api/state").json()["pair"]
    assert set(pair) == {"place", "language", "prompt", "continues", "left", "right"}
    assert pair["language"] == "zh"
    assert "<b>" in pair["prompt"]  # as it is: the page writes it as text


def test_it_keeps_to_itself(tmp_path: Path) -> None:
    page = client(tmp_path / "blind.jsonl")
    policy = page.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for path in ("blind.html", "blind.css", "blind.js"):  # no address of anybody else, no inline script or style
        content = (files("storyteller.evaluate.blind") / "page" / path).read_text()
        assert "https:" not in content
        assert "//" not in content.replace("http://www.w3.org/2000/svg", "") or path == "blind.js"
        assert " style=" not in content
        assert "innerHTML" not in content
    assert page.get("/", headers={"host": "evil.example"}).status_code == 400
    assert page.get("/api/state", headers={"host": "evil.example"}).status_code == 400
    assert "content-security-policy" in page.get("/", headers={"host": "evil.example"}).headers
    judgement = {"place": 0, "choice": "left", "seconds": 1, "reason": ""}
    assert page.post("/api/judge", json=judgement, headers={"origin": "http://evil.example"}).status_code == 403
    form = page.post("/api/judge", content=json.dumps(judgement), headers={"content-type": "text/plain"})
    assert form.status_code == 403
    assert read_judgements(tmp_path / "blind.jsonl") == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"choice": "undo"},
        {"choice": "both"},
        {"place": "0"},
        {"seconds": -1},
        {"seconds": "x"},
        {"reason": None},
        {"reason": "x" * 5000},
    ],
)
def test_what_is_no_judgement_is_not_kept(tmp_path: Path, wrong: dict[str, Any]) -> None:
    page = client(tmp_path / "blind.jsonl")
    given = {"place": 0, "choice": "left", "seconds": 1, "reason": "", **wrong}
    assert page.post("/api/judge", json=given).status_code == 400
    assert page.post("/api/judge", content=b"[", headers={"content-type": "application/json"}).status_code == 400
    assert page.post("/api/judge", json={"reason": "x" * 100_000}).status_code == 413
    assert read_judgements(tmp_path / "blind.jsonl") == []


def test_a_second_tab_cannot_judge_the_wrong_pair(tmp_path: Path) -> None:
    page = client(tmp_path / "blind.jsonl")
    late = {"place": 0, "choice": "right", "seconds": 1, "reason": ""}
    assert page.post("/api/judge", json=late).status_code == 200
    assert page.post("/api/judge", json=late).status_code == 409
    assert len(read_judgements(tmp_path / "blind.jsonl")) == 1


def test_undo_brings_the_pair_back(tmp_path: Path) -> None:
    page = client(tmp_path / "blind.jsonl")
    first = page.get("/api/state").json()["pair"]
    assert page.post("/api/undo", json={}).status_code == 409
    answer(page)
    assert page.post("/api/undo", json={}).json()["pair"] == first
    answer(page, "tie")
    second = page.get("/api/state").json()
    assert second["done"] == 1
    assert second["pair"] != first


def test_a_judgement_is_a_preference_record(tmp_path: Path) -> None:
    page = client(tmp_path / "blind.jsonl")
    shown = page.get("/api/state").json()["pair"]
    answer(page, "right", reason=" 更好笑 ")
    (kept,) = read_judgements(tmp_path / "blind.jsonl")
    assert (kept.text, kept.rejected, kept.prompt) == (shown["right"], shown["left"], shown["prompt"])
    assert kept.preferred == kept.right
    assert {kept.left, kept.right} == {"secret-one", "secret-two"}
    assert (kept.reason, kept.seconds, kept.rater) == ("更好笑", 3.2, "Ada")


def test_what_cannot_be_saved_is_said_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    page = client(tmp_path / "file" / "blind.jsonl")
    said = answer(page)
    assert said.status_code == 500
    assert "blind.jsonl" in said.json()["error"] or "file" in said.json()["error"]
    assert page.get("/api/state").json()["done"] == 0


def test_the_file_of_other_pairs_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "blind.jsonl"
    page = client(out, prompts=6)
    answer(page)
    answer(page)
    session_over(out, prompts=6, seed=9)  # another order of the same pairs goes on
    with pytest.raises(DataError, match="not among these"):
        session_over(out, language="zh")


def test_two_raters_share_a_file_and_not_a_place(tmp_path: Path) -> None:
    out = tmp_path / "blind.jsonl"
    page = client(out)
    answer(page)
    (ada,) = read_judgements(out)
    assert session_over(out).done == 1
    append_judgement(out, type(ada)(**{**{f: getattr(ada, f) for f in ada.__slots__}, "rater": "小波"}))
    assert session_over(out).done == 1


def test_a_port_in_use_is_named() -> None:
    with listen() as first, pytest.raises(StorytellerError, match="--port"):
        listen(first.getsockname()[1])


COMMAND = """
import sys
from pathlib import Path
from storyteller.evaluate.blind import judge_blind
judge_blind([Path(sys.argv[1])], rater="Ada", port=int(sys.argv[2]), browser=False, pairs=8)
"""


def test_a_kill_loses_nothing_and_the_next_start_goes_on(tmp_path: Path) -> None:
    """kill -9 right after each answer is confirmed: the new process stands at the next pair."""
    write_texts(tmp_path / "texts.jsonl", texts(8))
    with listen() as free:
        port = free.getsockname()[1]
    for done in range(2):
        command = [sys.executable, "-c", COMMAND, str(tmp_path / "texts.jsonl"), str(port)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
            try:
                page = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
                state = _patiently(page, server)
                assert state["done"] == done
                assert answer(page, "tie").json()["done"] == done + 1
            finally:
                server.send_signal(signal.SIGKILL)
                page.close()
            _, said = server.communicate()
        assert "To see a preference of 60% takes 197 pairs" in said
        assert "There are 8 pairs, which can see a preference of 99.5% or more" in said
    assert len(read_judgements(tmp_path / "blind.jsonl")) == 2


def _patiently(page: httpx.Client, server: subprocess.Popen[str]) -> dict[str, Any]:
    for _ in range(1200):
        try:
            return page.get("/api/state").json()  # type: ignore[no-any-return]
        except httpx.TransportError:
            assert server.poll() is None
            time.sleep(0.05)
    raise AssertionError("the server did not start")


def test_the_thread_server_answers(tmp_path: Path) -> None:
    with serving(session_over(tmp_path / "b.jsonl")) as address:
        assert httpx.get(address, trust_env=False).status_code == 200
