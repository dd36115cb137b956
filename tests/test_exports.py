"""The door for Python: the names that the package promises, and that naming it alone costs nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
from typer.testing import CliRunner

import storyteller
from storyteller.cli import app


def test_what_is_promised_is_there() -> None:
    assert all(getattr(storyteller, name) is not None for name in storyteller.__all__)
    assert {"Storyteller", "Request", "Character", "SamplingSettings", "__version__"} <= set(storyteller.__all__)
    with pytest.raises(AttributeError, match="Storytelle"):
        storyteller.Storytelle  # noqa: B018


def test_the_names_are_those_of_their_rooms() -> None:
    from storyteller.generate import Storyteller
    from storyteller.tokens import Request

    assert (storyteller.Storyteller, storyteller.Request) == (Storyteller, Request)


def test_the_version_is_that_of_the_package() -> None:
    assert storyteller.__version__ == metadata.version("storyteller")
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"storyteller {storyteller.__version__}\n")


def test_the_package_alone_is_light() -> None:
    heavy = "numpy torch transformers pydantic yaml typer"
    code = f"import sys, storyteller; sys.exit(any(name in sys.modules for name in {heavy!r}.split()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
