"""A PostgreSQL server for the tests that need one, where it is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

__all__ = ["command", "database", "postgresql", "postgresql_database"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server on a Unix socket, without the name of a database."""
    server, initdb = _program("postgres"), _program("initdb")
    if server is None or initdb is None:
        pytest.skip("no PostgreSQL server is installed")
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = next((name for name in ("postgres", "nobody") if name in names), None)
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if user:
        shutil.chown(folder, user)
    options = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    made = [initdb, "-D", str(folder / "data"), "-U", "writer", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, **options)
    quick = ["fsync=off", "listen_addresses=", f"unix_socket_directories={folder}"]
    running = subprocess.Popen(
        [server, "-D", str(folder / "data"), *(part for setting in quick for part in ("-c", setting))], **options
    )
    try:
        _wait(folder)
        yield f"postgresql://writer@/NAME?host={folder}"
    finally:
        running.send_signal(signal.SIGQUIT)  # at once: a checkpoint would take half a minute
        running.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_database(postgresql: str) -> Iterator[str]:
    """The address of an empty database of it."""
    with database(postgresql) as url:
        yield url


@contextmanager
def database(server: str, template: str = "template1") -> Iterator[str]:
    """The address of a new database of the server, a copy of `template`, which is dropped after the block."""
    name = f"t{uuid.uuid4().hex[:12]}"
    command(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.replace("NAME", name)
    command(server, f"DROP DATABASE {name} WITH (FORCE)")


def _program(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or next(map(str, places), None)


def command(server: str, sql: str) -> None:
    """Run `sql` on the server that `postgresql` gave."""
    with psycopg.connect(server.replace("NAME", "postgres"), autocommit=True) as connection:
        connection.execute(sql)


def _wait(folder: Path) -> None:
    for _ in range(200):
        try:
            psycopg.connect(host=str(folder), user="writer", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    pytest.skip("the PostgreSQL server does not start")
