"""`storyteller evaluate blind`: what is said before and after, and Ctrl-C between them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.evaluate.blind.pages import session_over, texts
from typer.testing import CliRunner

from storyteller.cli import app
from storyteller.evaluate.blind import judge_blind
from storyteller.evaluate.texts import Text, write_texts

RUN = "from storyteller.cli import main; main()"


@pytest.mark.parametrize("finished", [True, False])
def test_ctrl_c_ends_it_with_the_result_or_the_way_on(tmp_path: Path, finished: bool) -> None:
    write_texts(tmp_path / "texts.jsonl", texts(4, "zh"))
    words = ["evaluate", "blind", "texts.jsonl", "--port", "0", "--no-browser", "--repeat", "0", "--rater", "小波"]
    command = subprocess.Popen(
        [sys.executable, "-c", RUN, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr
    before = ""
    while "Ctrl-C ends" not in before:
        line = command.stderr.readline()
        assert line, before
        before += line
    assert "To see a preference of 60% takes 197 pairs of two systems" in before
    address = re.search(r"http://127\.0\.0\.1:\d+/", before)
    assert address
    with httpx.Client(base_url=address[0], trust_env=False, timeout=60) as page:
        for place in range(4 if finished else 1):
            answer = {"place": place, "choice": "left", "seconds": 1, "reason": ""}
            assert page.post("api/judge", json=answer).status_code == 200
    command.send_signal(signal.SIGINT)
    out, after = command.communicate(timeout=60)
    assert command.returncode == 0
    assert "Traceback" not in after
    if finished:
        assert "| secret-one against secret-two |" in out or "| secret-two against secret-one |" in out
        assert "小波 4" in out
    else:
        assert out == ""
        assert "1 of 4 are judged. The same command goes on" in after


def test_three_systems_get_the_pairs_of_the_effect_for_every_two(tmp_path: Path, monkeypatch, capsys) -> None:
    known = [Text(f"{system} {n}", system, f"{n}") for system in ("one", "two", "三") for n in range(300)]
    write_texts(tmp_path / "texts.jsonl", known)
    monkeypatch.setattr("storyteller.evaluate.blind.server.serve", lambda session, listener: listener.close())
    judge_blind([tmp_path / "texts.jsonl"], effect=0.7, port=0, browser=False, repeat=0)
    told = capsys.readouterr().err
    assert "takes 50 pairs of two systems" in told
    assert "150 pairs, 50 or more of every two systems, which can see a preference of 69.8% or more" in told


@pytest.mark.parametrize("name", ["verdicts.json", "verdicts.md", "verdicts"])
def test_raw_judgements_never_stand_where_the_summary_goes(tmp_path: Path, name: str) -> None:
    write_texts(tmp_path / "texts.jsonl", texts(4))
    result = CliRunner().invoke(
        app, ["evaluate", "blind", str(tmp_path / "texts.jsonl"), "--out", str(tmp_path / name)]
    )
    assert result.exit_code == 2
    assert "ends in .jsonl" in result.stderr
    assert not (tmp_path / name).exists()


def test_report_sums_up_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    write_texts(path, texts(4))
    empty = CliRunner().invoke(app, ["evaluate", "blind", str(path), "--report"])
    assert empty.exit_code == 2
    assert "no judgement yet" in empty.stderr
    session_over(tmp_path / "blind.jsonl").judge(0, "tie")
    result = CliRunner().invoke(app, ["evaluate", "blind", str(path), "--report", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["verdicts"] == 1
    assert json.loads((tmp_path / "blind.json").read_text()) == json.loads(result.stdout)
