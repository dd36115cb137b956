"""Hub models: the cache first, then the network, and a sentence where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from storyteller.errors import ModelError
from storyteller.models.hub import fetch_from_hub
from storyteller.runs.home import models_home


def test_the_cache_is_used_without_a_network(tiny_llama: Path) -> None:
    def download(name: str, *, local_files_only: bool = False, **_: Any) -> str:
        assert local_files_only
        return str(tiny_llama)

    assert fetch_from_hub("someone/tiny", download) == tiny_llama


def test_what_is_missing_is_fetched_into_our_cache_without_pickles(tiny_llama: Path) -> None:
    asked: list[dict[str, Any]] = []

    def download(name: str, *, local_files_only: bool = False, **options: Any) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        asked.append(options)
        return str(tiny_llama)

    assert fetch_from_hub("someone/tiny", download) == tiny_llama
    assert asked[0]["cache_dir"] == models_home() / "hub"
    assert not any(pattern.endswith((".bin", ".py", ".pt")) for pattern in asked[0]["allow_patterns"])


def test_no_network_is_one_clear_error() -> None:
    def download(name: str, *, local_files_only: bool = False, **_: Any) -> str:
        raise LocalEntryNotFoundError("not here") if local_files_only else ConnectionError("no route")

    with pytest.raises(ModelError, match=r"someone/tiny is not in the hub's cache.*Check the network"):
        fetch_from_hub("someone/tiny", download)
