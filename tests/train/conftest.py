"""A small bilingual corpus, and recipes that train a tiny model on it in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.tokens.stories import LAMP, SEAL, long_story, story, write_corpus

from storyteller.recipe import Recipe, load_recipe

SMALL = (
    "data.context=128",
    "train.steps=6",
    "train.rows=2",
    "train.accumulate=2",
    "train.lr=0.01",
    "train.precision=float32",
    "train.evaluate_every=2",
    "train.evaluate_rows=4",
    "train.log_every=1",
    "samples.prompts=[]",
)

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = [long_story(f"en{i}", 1 + i % 6) for i in range(12)] + [long_story(f"zh{i}", 1 + i, "zh") for i in range(4)]
    dev = [story(SEAL, "d"), story(LAMP, "e", "zh")]
    return write_corpus(tmp_path_factory.mktemp("corpus"), train, dev)


@pytest.fixture
def small(corpus: Path, tiny_llama: Path) -> MakeRecipe:
    """Make a recipe of six steps; overrides as on the command line."""
    return lambda *overrides: load_recipe(None, [*SMALL, f"model.base={tiny_llama}", f"data.path={corpus}", *overrides])
