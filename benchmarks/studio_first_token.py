"""The studio's time to the first token, with the bundled model and a scene of 500 words, and how soon it stops.

    python benchmarks/studio_first_token.py [--words 500] [--repetitions 7] [--json]

Each time is from the request to the first event with text, through the desk and a store on disk. Measured are: the same scene
again, the scene with its last sentence edited, the scene after 60 words were taken over and read, the scene
after another scene was used in between, and four candidates at once. The peer reads the whole prompt anew for every request,
as a server without a memory of its rows does; the two take turns. Stopping is timed to its event `done`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from storyteller.corpus.language import split_sentences
from storyteller.studio.store import Store
from storyteller.studio.telling import Desk
from storyteller.threads import sleep_soon

STORIES = Path(__file__).parent.parent / "examples" / "stories" / "en"
#: Seconds that a writer looks at 60 new words before the next ones are asked for; people read four a second.
READING = 3.0

NAMES = ("the-bread-behind-the-door.md", "the-lodger-on-the-third-stair.md", "the-clean-margin.md")


def scene_text(name: str, words: int) -> str:
    """The first `words` words of a bundled story as a manuscript, to the end of a sentence."""
    text = (STORIES / name).read_text(encoding="utf-8").split("---")[-1].strip()
    kept = ""
    for sentence in split_sentences(text, "en"):
        if len(kept.split()) >= words:
            break
        kept += sentence
    return "\n".join(line.strip() for line in kept.splitlines() if line.strip())


class Studio:
    def __init__(self, folder: Path, words: int) -> None:
        self.store = Store(f"sqlite:///{folder / 'studio.db'}")
        self.writer = self.store.writer("")
        self.desk = Desk(self.store)
        self.texts = [scene_text(name, words) for name in NAMES]
        self.scenes = []
        for text in self.texts:
            project = self.writer.create_project(
                {"title": "Salt", "language": "en", "form": "story", "idea": "A story."}
            )
            scene = next(item["id"] for item in project["tree"] if item["kind"] == "scene")
            self.scenes.append(scene)
            self.write(scene, 0, 0, text)

    def write(self, scene: str, start: int, remove: int, insert: str) -> None:
        head = self.writer.scene(scene)["head"]
        self.writer.splice(scene, head, [{"start": start, "remove": remove, "insert": insert}])

    def ask(self, scene: str, stop_after: int | None = 1, **wish: Any) -> tuple[float, float, str]:
        """Seconds to the first text, seconds that stopping took after some pieces of text, and the text."""

        async def listen() -> tuple[float, float, str]:
            began, first, pieces, text, stopped = time.perf_counter(), 0.0, 0, "", 0.0
            generation = self.desk.start(scene, {"mode": "continue", "words": 60, **wish})
            async for _, name, data in self.desk.events(generation):
                if name == "text" and data["text"]:
                    first = first or time.perf_counter() - began
                    pieces, text = pieces + 1, text + data["text"]
                    if pieces == stop_after:
                        stopped = time.perf_counter()
                        self.desk.stop(generation)
            return first, time.perf_counter() - stopped, text

        return asyncio.run(listen())

    def forget(self, model: str = "default") -> None:
        """What a server does that keeps nothing: the rows hold something else."""
        with self.desk.tellers.turn(model, "writer") as loaded:
            for row in range(loaded.rows.count):
                loaded.rows.feed({row: [17 + row]}, lambda *_: True)


def measure(studio: Studio, repetitions: int) -> dict[str, list[float]]:
    first, second, third = studio.scenes
    times: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        times.setdefault(name, []).append(seconds)

    studio.ask(first)  # loads the model
    for number in range(repetitions):
        studio.ask(first, seed=number)
        note("the same scene again", studio.ask(first, seed=number + 1)[0])
        text = studio.writer.scene(first)["text"]
        last = split_sentences(text, "en")[-1]
        studio.write(first, len(text) - len(last), len(last), f"Nobody had expected it, not even on day {number}.")
        note("its last sentence edited", studio.ask(first, seed=number)[0])
        text = studio.writer.scene(first)["text"]
        told = studio.ask(first, stop_after=None, seed=number)[2]
        studio.write(first, len(text), 0, told)
        time.sleep(READING)
        note("60 words taken over", studio.ask(first, seed=number)[0])
        studio.write(first, len(text), len(told), "")
        studio.ask(second)
        studio.ask(third)
        note("other scenes in between", studio.ask(first, seed=number)[0])
        note("four candidates", studio.ask(first, seed=number, n=4)[0])
        note("stopping", studio.ask(first, stop_after=5, seed=number)[1])
        studio.forget()
        note("peer: reading all of it", studio.ask(first, seed=number)[0])
    return times


def main() -> None:
    sleep_soon()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(Path(folder), options.words)
        try:
            times = measure(studio, options.repetitions)
        finally:
            studio.desk.close()
            studio.store.close()
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    if options.json:
        print(json.dumps({name: {"median_s": medians[name], "worst_s": max(taken)} for name, taken in times.items()}))
        return
    peer = medians["peer: reading all of it"]
    print("| what | median, s | slowest, s | peer's time over it |\n|---|---:|---:|---:|")
    for name, median in medians.items():
        ratio = "" if name == "stopping" else f"{peer / median:.1f}"
        print(f"| {name} | {median:.3f} | {max(times[name]):.3f} | {ratio} |")


if __name__ == "__main__":
    main()
