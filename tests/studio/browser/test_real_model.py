"""From the first page to a storyteller of one's own, with the model that people get and nothing scripted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.studio.browser.pages import watched
from tests.studio.browser.test_pages import asked

from storyteller.runs.home import models_home

TEN = Path(__file__).parents[3] / "examples" / "stories" / "en"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The studio as `storyteller studio` starts it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "models").symlink_to(models_home())  # its models, and nothing else of anybody's
    command = [sys.executable, "-m", "storyteller", "studio", "--port=0", "--no-browser", f"--runs={tmp_path / 'runs'}"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "STORYTELLER_HOME": str(tmp_path / "home")},
    )
    assert process.stdout is not None
    try:
        yield next(found for line in process.stdout for found in re.findall(r"http://[^\s]+", line))
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


@pytest.mark.slow
def test_a_first_story_and_a_model_trained_on_ten(browser: Any, address: str) -> None:
    with watched(browser) as page:
        page.set_default_timeout(600_000)
        began = time.monotonic()
        page.goto(address)
        page.fill("#idea", "A lighthouse keeper finds a talking seal.")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelector('.ProseMirror')?.innerText.split(/\\s+/).length > 20")
        assert time.monotonic() - began < 60
        page.keyboard.press("Escape")
        page.wait_for_selector(".tool.lead[aria-label=Write]")

        page.goto(f"{address}/#/train")
        page.set_input_files("input[type=file]:not([webkitdirectory])", sorted(map(str, TEN.glob("*.md")))[:10])
        page.wait_for_selector("text=10 files")
        page.fill("label:has-text('Name') input", "Ten tales")
        # The shortest choice is three minutes; a test has not so long.
        page.evaluate("document.querySelector('option[value=\"3\"]').value = '0.05'")
        page.select_option("label:has-text('Minutes') select", "0.05")
        page.click("text=Begin to train")
        page.wait_for_selector("h2:text-is('What it will learn from')")
        page.reload()  # the training does not mind
        page.wait_for_selector("text=Write with it")
        job = asked(page, f"jobs/{asked(page, 'jobs')[0]['id']}")
        assert (job["state"], job["report"]["kept"]) == ("done", 10)
        page.click("text=Write with it")
        page.fill("#idea", "A ferryman refuses his last passenger.")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelector('.ProseMirror')?.innerText.split(/\\s+/).length > 10")
        page.keyboard.press("Escape")
        page.wait_for_selector(".tool.lead[aria-label=Write]")
        project = asked(page, f"projects/{page.url.split('#/p/')[1].split('/')[0]}")
        scene = next(item for item in project["tree"] if item["kind"] == "scene")
        for _ in range(100):  # the words are saved a moment after they were written
            if wrote := {node["model"] for node in asked(page, f"scenes/{scene['id']}/history")} - {None}:
                break
            page.wait_for_timeout(100)
    assert wrote == {job["model"]}
    assert "ten-tales" in job["model"]
