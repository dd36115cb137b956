from __future__ import annotations

import pytest

from storyteller.runs.console import progress, say


def test_say_leaves_standard_output_clean(capsys: pytest.CaptureFixture[str]) -> None:
    say("海豹")
    assert capsys.readouterr() == ("", "海豹\n")


@pytest.mark.parametrize(("total", "share"), [(40, "20 of 40 (50%)"), (None, "20,")])
def test_a_log_gets_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, total: int | None, share: str
) -> None:
    clock = iter(range(0, 1000, 1))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    with progress(total, "reading") as advance:
        for _ in range(20):
            advance()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[-1].startswith(f"reading: {share}")


def test_short_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3, "reading") as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_a_person_sees_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(3, "reading") as advance:
        advance(2)
    assert "2/3" in capsys.readouterr().err
