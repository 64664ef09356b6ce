"""A Python environment for each peer, made by pip as it is configured here; never part of the project's own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.samples import Unavailable

#: Seconds that pip may take.
PATIENCE = 900


def ensure(folder: Path, requirements: Sequence[str]) -> Path:
    """The interpreter of the environment in `folder`, which has `requirements`. Raises Unavailable."""
    python = folder / "bin" / "python"
    stamp = folder / "requirements.json"
    if stamp.exists() and json.loads(stamp.read_text()) == list(requirements):
        return python
    pip = [sys.executable, "-m", "pip"] if find_spec("pip") else [getattr(sys, "_base_executable", ""), "-m", "pip"]
    _call([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)])
    _call([*pip, "--python", str(python), "install", "--no-input", "--quiet", *requirements])
    stamp.write_text(json.dumps(list(requirements)))
    return python


def _call(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"its environment could not be made: {error}") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise Unavailable(f"it can not be installed here: {lines[-1]}")
