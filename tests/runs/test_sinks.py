"""Metrics reach every sink that is named, under the same names; nothing leaves the machine unasked."""

from __future__ import annotations

import json
import math
import os
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from storyteller.recipe import Recipe, load_recipe
from storyteller.runs import Metrics, Run, home


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", load_recipe(None, ["name=海豹", "train.lr=0.01"]), asked=Recipe(), data={})


class Session:
    """What `wandb.init` and `trackio.init` give back."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.logged: list[tuple[Mapping[str, float], int]] = []
        self.finished = False

    def log(self, values: Mapping[str, float], step: int) -> None:
        assert not self.finished
        self.logged.append((dict(values), step))

    def finish(self) -> None:
        print("goodbye")
        self.finished = True


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """Stand-ins for both packages, which keep what they are told."""
    made: list[Session] = []

    def begin(**options: Any) -> Session:
        print("welcome")
        made.append(Session(**options))
        return made[-1]

    for name in ("wandb", "trackio"):
        module = types.ModuleType(name)
        module.init = begin  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    for variable in ("WANDB_MODE", "WANDB_ERROR_REPORTING", "TRACKIO_DIR"):
        # Set and taken away, so that what the sink sets is taken back after the test.
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    return made


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_values_go_out_under_the_split_s_name(run: Run, sessions: list[Session], name: str) -> None:
    metrics = Metrics(run, [name])
    metrics.write(3, "train", {"loss": 2.5, "lr": 0.01})
    metrics.write(3, "dev", {"loss": math.nan})
    metrics.close()
    (session,) = sessions
    assert session.logged[0] == ({"train/loss": 2.5, "train/lr": 0.01}, 3)
    assert list(session.logged[1][0]) == ["dev/loss"]
    assert session.finished
    assert session.options["project"] == "storyteller"
    assert session.options["name"].startswith("海豹")
    assert session.options["config"]["train"]["lr"] == 0.01
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["loss"] for line in lines] == [2.5, None]


def test_weights_and_biases_stays_offline_unless_asked(
    run: Run, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    Metrics(run, ["wandb"]).close()
    assert sessions[0].options["mode"] == "offline"
    assert sessions[0].options["dir"] == str(run.folder)
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    monkeypatch.setenv("WANDB_MODE", "online")
    Metrics(run, ["wandb"]).close()
    assert sessions[1].options["mode"] == "online"


def test_trackio_keeps_all_runs_in_one_place_and_knows_a_resumed_one(
    run: Run, sessions: list[Session], capsys: pytest.CaptureFixture[str]
) -> None:
    Metrics(run, ["trackio"], -1).close()
    assert os.environ["TRACKIO_DIR"] == str(home() / "trackio")
    assert "space_id" not in sessions[0].options
    assert "server_url" not in sessions[0].options
    Metrics(run, ["trackio"], 20).close()
    names = [session.options["name"] for session in sessions]
    assert names[0] == names[1]  # the same curve goes on
    other = Run.create(run.folder.with_name("other"), run.recipe(), asked=Recipe(), data={})
    Metrics(other, ["trackio"], -1).close()
    assert sessions[2].options["name"] != names[0]  # of one recipe, and another run
    capsys.readouterr()
    Metrics(run, ["trackio"], 20).close()
    assert capsys.readouterr() == ("", "welcome\ngoodbye\n")  # standard output is for results


def test_tensorboard_writes_what_its_own_reader_reads(run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metrics = Metrics(run, ["tensorboard"])
    metrics.write(5, "dev", {"loss": 1.25})
    metrics.close()
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    (event,) = events.Scalars("dev/loss")
    assert (event.step, event.value) == (5, 1.25)


def test_what_a_killed_session_drew_is_drawn_once(run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for upto, steps in ((-1, range(1, 9)), (6, range(7, 10))):
        metrics = Metrics(run, ["tensorboard"], upto)
        for step in steps:
            metrics.write(step, "train", {"loss": float(step)})
        metrics.close()
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 10))


def test_weights_and_biases_goes_on_with_its_run(run: Run, sessions: list[Session]) -> None:
    Metrics(run, ["wandb"], -1).close()
    Metrics(run, ["wandb"], 20).close()
    first, second = (session.options for session in sessions)
    assert first["id"] == second["id"]
    assert second["resume"] == "allow"


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_an_alarm_s_words_stay_in_the_file(run: Run, sessions: list[Session], name: str) -> None:
    """A sink draws curves: tensorboard ends the run over a list, and a resumed one meets the same alarm."""
    metrics = Metrics(run, [name])
    metrics.write(3, "alarm", {"alarms": ["kl", "length"], "reason": "kl: too far", "rollback": 1})
    metrics.close()
    assert [session.logged for session in sessions] == ([] if name == "tensorboard" else [[({"alarm/rollback": 1}, 3)]])
    (line,) = run.metrics()
    assert (line["alarms"], line["reason"], line["rollback"]) == (["kl", "length"], "kl: too far", 1)


def test_several_sinks_are_all_closed(run: Run, sessions: list[Session]) -> None:
    metrics = Metrics(run, ["wandb", "trackio"])
    metrics.write(1, "train", {"loss": 1.0})
    metrics.close()
    assert [len(session.logged) for session in sessions] == [1, 1]
    assert all(session.finished for session in sessions)
