"""Runs code in a process of its own, as on another machine: with empty caches, and without what `unipose` brings."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_elsewhere(script: str, words: list[str | Path], folder: Path, given: Any = None) -> Any:
    """What the last line that a script prints says, as JSON.

    Args:
        script: Python code.
        words: Its arguments.
        folder: Where it runs, with caches of its own.
        given: What its standard input holds as JSON.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home")}
    environment["HF_MODULES_CACHE"] = str(folder / "modules")
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        input=json.dumps(given),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
