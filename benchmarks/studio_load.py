"""Twenty writers on one server: typing that is saved, scenes that are read, lists and histories; one of them generates.

    python benchmarks/studio_load.py [--writers 20] [--seconds 60] [--generate]

Each writer has an account, a project and a scene of 5,000 words, types a word every 0.7 seconds (85 a minute), which is saved
at once, and reads the scene or what stands beside it every two seconds, at random moments. Times are what the client waits,
over a real socket; with `--generate` one writer lets the bundled model write meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

PASSWORD = "correct horse battery"
PARAGRAPH = "The keeper rowed out to the rock again, and the seal was there, and it looked at her as if it knew. " * 5

Times = dict[str, list[float]]


def start(folder: Path, writers: int) -> tuple[subprocess.Popen[str], str]:
    """A studio with accounts in a process of its own, and its address."""
    database = f"--database=sqlite:///{folder / 'studio.db'}"
    command = [sys.executable, "-m", "storyteller", "studio", database]
    from storyteller.studio.access import add_user
    from storyteller.studio.store import Store

    store = Store(f"sqlite:///{folder / 'studio.db'}")
    for number in range(writers):
        add_user(store, f"writer {number}", PASSWORD)
    store.close()
    process = subprocess.Popen(
        [*command, "--accounts", "--no-browser", "--port=0", f"--runs={folder / 'runs'}"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    line = next(line for line in process.stdout if "http://" in line)
    return process, "http://" + line.partition("http://")[2].split()[0]


class Writer:
    """One writer with a browser open."""

    def __init__(self, url: str, number: int, times: Times) -> None:
        self.number, self.times, self.random = number, times, random.Random(number)
        self.client = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
        self.project = self.scene = self.head = ""
        self.length = 0

    async def call(self, name: str, method: str, path: str, **more: Any) -> Any:
        """One request, timed."""
        begun = time.perf_counter()
        answer = await self.client.request(method, path, **more)
        self.times[name].append(1000 * (time.perf_counter() - begun))
        answer.raise_for_status()
        return answer.json()

    async def open(self, place: asyncio.Semaphore) -> None:
        """Log in, and put a chapter into a new project."""
        async with place:  # as people do, one after another: a password is meant to take its time
            given = {"name": f"writer {self.number}", "password": PASSWORD}
            await self.call("log in", "POST", "/api/session", json=given)
        made = await self.call("new project", "POST", "/api/projects", json={"title": f"Book {self.number}"})
        self.project = made["id"]
        self.scene = next(item["id"] for item in made["tree"] if item["kind"] == "scene")
        self.head = (await self.call("read scene", "GET", f"/api/scenes/{self.scene}"))["head"]
        await self.type("\n".join([PARAGRAPH] * 50), "paste a chapter")

    async def type(self, text: str, name: str = "save typing") -> None:
        """Save what was typed at the end."""
        splices = [{"start": self.length, "remove": 0, "insert": text}]
        saved = await self.call(
            name, "POST", f"/api/scenes/{self.scene}/splices", json={"base": self.head, "splices": splices}
        )
        self.head, self.length = saved["head"], self.length + len(text)

    async def write(self, until: float) -> None:
        """Type and read."""
        reads: list[tuple[str, str]] = [
            *[("read scene", f"/api/scenes/{self.scene}")] * 10,
            *[("read project", f"/api/projects/{self.project}")] * 5,
            ("list projects", "/api/projects"),
            ("read history", f"/api/scenes/{self.scene}/history"),
            ("read status", "/api/status"),
            ("list models", "/api/models"),
            ("read entries", f"/api/projects/{self.project}/entries"),
            ("read quality", f"/api/quality/{self.project}"),
            *[("undo", "")] * 5,
        ]
        turn = 0
        while time.monotonic() < until:
            await asyncio.sleep(self.random.uniform(0.2, 1.2))
            await self.type(self.random.choice([" and", " then", " the", " sea", "，海豹"]))
            turn += 1
            if turn % 3 == 0:
                name, path = self.random.choice(reads)
                if path:
                    await self.call(name, "GET", path)
                else:
                    moved = await self.call(name, "POST", f"/api/scenes/{self.scene}/undo", json={"base": self.head})
                    self.head, self.length = moved["head"], len(moved["text"])

    async def generate(self, until: float) -> None:
        """Let the model write all the time."""
        while time.monotonic() < until:
            begun = time.perf_counter()
            wish = {"mode": "continue", "words": 100, "base": self.head}
            async with self.client.stream("POST", f"/api/scenes/{self.scene}/generate", json=wish) as answer:
                first = True
                async for line in answer.aiter_lines():
                    if first and line == "event: text":
                        self.times["(first token)"].append(1000 * (time.perf_counter() - begun))
                        first = False


async def run(url: str, writers: int, seconds: float, generates: bool) -> Times:
    """All writers at once."""
    times: Times = defaultdict(list)
    place = asyncio.Semaphore(1)
    all_of_them = [Writer(url, number, times) for number in range(writers)]
    await asyncio.gather(*(writer.open(place) for writer in all_of_them))
    if generates:
        while not (await all_of_them[0].call("read status", "GET", "/api/status"))["model"]["loaded"]:
            await asyncio.sleep(0.5)
    until = time.monotonic() + seconds
    work: list[Callable[[float], Awaitable[None]]] = [writer.write for writer in all_of_them]
    if generates:
        work[0] = all_of_them[0].generate
    await asyncio.gather(*(one(until) for one in work))
    for writer in all_of_them:
        kept = await writer.call("read scene", "GET", f"/api/scenes/{writer.scene}")
        assert len(kept["text"]) == writer.length, "a word was lost"
        await writer.client.aclose()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--generate", action="store_true", help="let the bundled model write meanwhile")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="storyteller-load-") as folder:
        process, url = start(Path(folder), options.writers)
        try:
            times = asyncio.run(run(url, options.writers, options.seconds, options.generate))
        finally:
            process.terminate()
            process.wait(30)
    rows = {name: summary(values) for name, values in sorted(times.items(), key=lambda item: -len(item[1]))}
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print("| request | n | median, ms | 95 % | 99 % | slowest |\n|---|---:|---:|---:|---:|---:|")
    for name, row in rows.items():
        print(
            f"| {name} | {row['n']:,} | {row['median']:.1f} | {row['p95']:.1f} | {row['p99']:.1f} | {row['max']:.1f} |"
        )
    counted = [value for name, values in times.items() if name not in ("log in", "(first token)") for value in values]
    slow = sum(value > 200 for value in counted)
    print(
        f"\n{slow} of {len(counted):,} requests took over 200 ms (logging in not counted: a password's hash is meant to)."
    )


def summary(values: list[float]) -> dict[str, float]:
    """Percentiles of the times of one kind of request, in milliseconds."""
    cut = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return {"n": len(values), "median": cut[49], "p95": cut[94], "p99": cut[98], "max": max(values)}


if __name__ == "__main__":
    main()
