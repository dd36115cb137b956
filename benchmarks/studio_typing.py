"""Typing latency in the studio's manuscript: from a key to the painted letter, beside a bare textarea with the same text.

    python benchmarks/studio_typing.py [--words 50000] [--keys 200] [--line 80] [--json]

Needs the built page (`make page`), Playwright and a Chromium (`--browser PATH`). Both fields are on one machine in one
run, their keys taken in turns of 20; the browser paints at once instead of waiting for the screen's next refresh.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from playwright.sync_api import Page, sync_playwright

from storyteller.studio.app import create_app
from storyteller.studio.server import listen
from storyteller.studio.settings import StudioSettings

ENGLISH = "the keeper of lamp put down his and seal looked at him said nothing rain ran glass sea went on with its work"
CHINESE = "守塔人放下了灯海豹看着他什么也没说雨水顺着玻璃往下流大海照旧忙它的夜里起了风"

#: Listens on the whole window: a key's time stamp is when the browser got it, the message comes after the paint.
MEASURE = """() => {
  window.taken = [];
  addEventListener('keydown', (event) => {
    if (event.key.length > 1) return;
    const began = event.timeStamp;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.taken.push(performance.now() - began);
      channel.port2.postMessage(0);
    });
  }, { capture: true });
}"""

TEXTAREA = """(text) => {
  const area = document.createElement('textarea');
  area.id = 'bare';
  area.style.cssText = 'width: 40rem; height: 80vh; font: 19px/1.7 serif';
  area.value = text;
  document.body.replaceChildren(area);
}"""


def manuscript(words: int, line: int, language: str) -> list[str]:
    """Paragraphs of `line` words or 字, `words` of them in all."""
    draw = random.Random(6)
    pool, joint = (CHINESE, "") if language == "zh" else (ENGLISH.split(), " ")
    return [joint.join(draw.choices(pool, k=line)) + ("。" if joint == "" else ".") for _ in range(words // line)]


@contextlib.contextmanager
def studio(folder: Path) -> Iterator[str]:
    """The address of a studio that keeps its things in `folder` and loads no model."""
    settings = StudioSettings(database=f"sqlite:///{folder / 'studio.db'}", runs=folder / "runs", warm=False)
    with listen(port=0) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def scene(url: str, paragraphs: list[str], language: str) -> str:
    """The page's address of a scene in which every second paragraph came from elsewhere, so that spans abound."""
    with httpx.Client(base_url=url, timeout=120) as client:
        project = client.post("/api/projects", json={"title": "Long", "language": language}).json()
        item = next(item["id"] for item in project["tree"] if item["kind"] == "scene")
        head, at = client.get(f"/api/scenes/{item}").json()["head"], 0
        splices = []
        for number, text in enumerate(paragraphs):
            text += "\n" if number + 1 < len(paragraphs) else ""
            author = "import" if number % 2 else "person"
            splices.append({"start": at, "remove": 0, "insert": text, "author": author})
            at += len(text)
        for first in range(0, len(splices), 5000):
            body = {"base": head, "splices": splices[first : first + 5000]}
            answer = client.post(f"/api/scenes/{item}/splices", json=body)
            head = answer.raise_for_status().json()["head"]
        return f"{url}/#/p/{project['id']}/{item}"


def type_into(page: Page, keys: str, pause: float) -> list[float]:
    """Type, a pause after each key, and return the milliseconds from key to paint."""
    page.bring_to_front()
    page.evaluate("window.taken = []")
    for key in keys:
        page.keyboard.type(key)
        time.sleep(pause)
    page.wait_for_function(f"window.taken.length >= {len(keys)}")
    return list(page.evaluate("window.taken"))


def figures(taken: list[float]) -> dict[str, float]:
    """Median, 95th percentile and worst, in milliseconds."""
    ordered = sorted(taken)
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "worst": round(ordered[-1], 1),
    }


def measure(browser: Any, url: str, paragraphs: list[str], keys: int, where: str) -> dict[str, dict[str, float]]:
    """Type into both fields in turns, at the end of the text or in its middle."""
    text = "\n".join(paragraphs)
    studio_page, bare_page = browser.new_page(), browser.new_page()
    studio_page.goto(url)
    studio_page.wait_for_selector(".sheet p")
    studio_page.wait_for_timeout(1500)
    bare_page.goto("about:blank")
    bare_page.evaluate(TEXTAREA, text)
    if where == "end":
        studio_page.click(".sheet p:last-child")
        studio_page.keyboard.press("Control+End")
        bare_page.evaluate("const e = bare; e.focus(); e.setSelectionRange(e.value.length, e.value.length)")
    else:
        studio_page.click(f".sheet p:nth-child({len(paragraphs) // 2})")
        bare_page.evaluate("const e = bare; e.focus(); const n = e.value.length >> 1; e.setSelectionRange(n, n)")
    taken: dict[str, list[float]] = {"studio": [], "textarea": []}
    for page in (studio_page, bare_page):
        page.evaluate(MEASURE)
        type_into(page, "warming up ", 0.02)
    words = (ENGLISH + " ") * (keys // len(ENGLISH) + 1)
    for first in range(0, keys, 20):
        taken["studio"] += type_into(studio_page, words[first : first + 20], 0.03)
        taken["textarea"] += type_into(bare_page, words[first : first + 20], 0.03)
    studio_page.close()
    bare_page.close()
    return {name: figures(each) for name, each in taken.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=50_000)
    parser.add_argument("--line", type=int, nargs="+", default=[80, 10], help="words a paragraph")
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--language", choices=["en", "zh"], default="en")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder, studio(Path(folder)) as url, sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu-vsync", "--disable-frame-rate-limit"]
        browser = playwright.chromium.launch(executable_path=asked.browser, args=flags)
        for line in asked.line:
            paragraphs = manuscript(asked.words, line, asked.language)
            address = scene(url, paragraphs, asked.language)
            for where in ("end", "middle"):
                found = measure(browser, address, paragraphs, asked.keys, where)
                results.append({"paragraphs": len(paragraphs), "at": where, **found})
                if not asked.json:
                    print(f"{len(paragraphs)} paragraphs, at the {where}:")
                    for name, each in found.items():
                        print(f"  {name:9}" + "".join(f"  {key} {value} ms" for key, value in each.items()), flush=True)
        browser.close()
    if asked.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
