"""Put a run's adapter into the package, if it has passed its gate: python scripts/ship.py RUN EVALUATION/report.json

The gate: on unseen works its bits per byte are lower than the base's with the whole 95 % interval, it fits 10 MB in
bfloat16, and no story of its training mix has a licence that forbids it. Nothing is written when it fails.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from storyteller.evaluate import Interval
from storyteller.models.entries import SHIPPED
from storyteller.runs import Run, replacing_folder

LIMIT = 10_000_000
REFUSED = re.compile(r"none stated|own terms|\bnc\b|non-?commercial|to be checked", re.IGNORECASE)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("run", type=Path)
    arguments.add_argument("report", type=Path)
    arguments.add_argument("--attribution", type=Path, help="a text that names authors whose licence asks for it")
    arguments.add_argument("--note", action="append", default=[], help="a sentence for the model card")
    options = arguments.parse_args()
    run, report = Run.open(options.run), json.loads(options.report.read_text(encoding="utf-8"))
    weights = load_file(run.final / "adapter_model.safetensors")
    halved = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    size = sum(tensor.numel() * 2 for tensor in halved.values())
    (difference,) = (Interval(**values) for values in report["differences"].values())
    card = (run.final / "README.md").read_text(encoding="utf-8")
    refused = [name for name in _licences(run) if REFUSED.search(name)]
    if refused:
        sys.exit(f"not shipped: its training mix holds stories under {refused}")
    if not difference.high < 0:
        sys.exit(f"not shipped: {difference} bits per byte against the base; the interval is not below 0")
    if size > LIMIT:
        sys.exit(f"not shipped: {size:,} bytes in bfloat16 are over {LIMIT:,}")
    with replacing_folder(SHIPPED) as part:
        save_file(halved, part / "adapter_model.safetensors", metadata={"format": "pt"})
        for name in ("adapter_config.json", "storyteller_template.json"):
            (part / name).write_bytes((run.final / name).read_bytes())
        (part / "README.md").write_text(card + _evaluation(report, difference, options.note), encoding="utf-8")
        if options.attribution:
            (part / "ATTRIBUTION.md").write_bytes(options.attribution.read_bytes())
    print(f"shipped: {difference} bits per byte against the base, {size:,} bytes")


def _licences(run: Run) -> list[str]:
    manifest = run.recipe().data.path / "manifest.json"
    return list(json.loads(manifest.read_text(encoding="utf-8"))["licences"])


def _evaluation(report: dict[str, object], difference: Interval, notes: list[str]) -> str:
    lines = [
        "## Held-out stories",
        "",
        f"{difference} bits per byte against the base (paired, negative is better).",
        "",
    ]
    return "\n".join(
        [*lines, "```json", json.dumps(report["data"]), json.dumps(report["settings"]), "```", "", *notes, ""]
    )


if __name__ == "__main__":
    main()
