"""A browser, a studio for it to look at, and a page of which every fault fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.studio.browser.pages import chromium, serving, watched


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("studio")) as started:
        yield started


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with watched(browser) as opened:
        yield opened
