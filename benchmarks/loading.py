"""How long the default base takes to load: from our converted folder, and through transformers' GGUF reader.

    python benchmarks/loading.py [--repeats 3]

Each load runs in a fresh process, the two in turn; medians and their ratio are printed as JSON. `load` leaves out
`import torch, transformers`, which is shown apart because every program that uses them pays it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from storyteller.models import DEFAULT_BASE, load_model, locate


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once", choices=("ours", "transformers"))
    options = parser.parse_args(arguments)
    if options.once:
        print(json.dumps(measure(options.once)))
        return
    locate(DEFAULT_BASE)  # fetched and converted before anything is measured
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "transformers": []}
    for _ in range(options.repeats):
        for name, times in runs.items():
            command = [sys.executable, __file__, "--once", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            times.append(json.loads(done.stdout.splitlines()[-1]))
    result = {
        name: {key: round(statistics.median(time[key] for time in times), 3) for key in times[0]}
        for name, times in runs.items()
    }
    ratios = {key: round(result["transformers"][key] / result["ours"][key], 2) for key in ("load", "with_imports")}
    print(json.dumps({**result, "transformers_over_ours": ratios}, indent=2))


def measure(name: str) -> dict[str, float]:
    """Seconds to import the libraries, to load model and tokenizer, and both together."""
    started = time.perf_counter()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    imported = time.perf_counter()
    located = locate(DEFAULT_BASE)
    if name == "ours":
        model = load_model(located)
        PreTrainedTokenizerFast.from_pretrained(located.folder)
    else:
        assert located.gguf is not None
        place, file = located.gguf.parent, located.gguf.name
        model = AutoModelForCausalLM.from_pretrained(place, gguf_file=file, dtype=torch.float32)
        AutoTokenizer.from_pretrained(place, gguf_file=file)
    loaded = time.perf_counter()
    with torch.inference_mode():
        model(input_ids=torch.tensor([[1, 2, 3]]))  # mapped weights are read when they are first used
    used = time.perf_counter()
    return {
        "imports": imported - started,
        "load": loaded - imported,
        "first_use": used - loaded,
        "with_imports": loaded - started,
    }


if __name__ == "__main__":
    main()
