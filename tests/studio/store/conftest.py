"""A store of each kind: SQLite, and PostgreSQL where a server is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.postgresql import command, database, postgresql

from storyteller.studio.store import Store, Writer

__all__ = ["postgresql"]


@pytest.fixture(scope="session")
def migrated(postgresql: str) -> str:
    """The name of a database with our tables, from which others are copied."""
    command(postgresql, "CREATE DATABASE migrated")
    Store(postgresql.replace("NAME", "migrated")).close()
    return "migrated"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'studio.db'}"
        return
    server, template = request.getfixturevalue("postgresql"), request.getfixturevalue("migrated")
    with database(server, template) as address:
        yield address


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], Store]]:
    """Opens the database, again at each call, as a server that is started anew does."""
    stores: list[Store] = []

    def open_store() -> Store:
        stores.append(Store(url))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    """An open store."""
    return opened()


@pytest.fixture
def writer(store: Store) -> Writer:
    """The writer of a studio without accounts."""
    return store.writer()
