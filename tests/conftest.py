"""Fixtures for every room: a home folder of its own for each test, and tiny models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from tests.tiny import tiny_model

settings.register_profile("storyteller", deadline=None)  # how long an example takes on a busy machine proves nothing
settings.load_profile("storyteller")


@pytest.fixture(autouse=True)
def storyteller_home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Point `STORYTELLER_HOME` at an empty folder.

    A slow test shares one cache, so that the model is fetched once: `$STORYTELLER_TEST_HOME`, or the user's own.
    """
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv("STORYTELLER_HOME", str(tmp_path_factory.mktemp("home")))
    elif shared := os.environ.get("STORYTELLER_TEST_HOME"):
        monkeypatch.setenv("STORYTELLER_HOME", shared)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Llama; read only."""
    return tiny_model(tmp_path_factory.mktemp("tiny") / "llama")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny GPT-2; read only."""
    return tiny_model(tmp_path_factory.mktemp("tiny") / "gpt2", architecture="gpt2")
