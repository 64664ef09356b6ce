"""A load generator: wrk, where there is one; its script is load.lua. What it costs itself is told too."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.samples import Sample, Unavailable

#: Connections that ask at once.
CLIENTS = 16
#: Seconds that reading takes, and redeeming at most.
READING, PATIENCE = 3, 60

_SCRIPT = Path(__file__).with_name("load.lua")


def redeem(url: str, key: str, codes: Sequence[str], home: Path, cost: Callable[[], float]) -> Sample:
    """Every code redeemed once, by sixteen connections. `cost`: what the server has used of processors, in seconds."""
    file = home / "codes"
    file.write_text("".join(f"{code}\n" for code in codes))
    return _run(url, {"KEY": key, "CODES": str(file)}, PATIENCE, cost)


def read(url: str, key: str, path: str, cost: Callable[[], float]) -> Sample:
    """An address read again and again, by sixteen connections."""
    return _run(url, {"KEY": key, "GET": path}, READING, cost)


def _run(url: str, told: Mapping[str, str], seconds: int, cost: Callable[[], float]) -> Sample:
    program = shutil.which("wrk")
    if program is None:
        raise Unavailable("there is no load generator here: install wrk (Debian has it as a package)")
    command = [program, "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_SCRIPT), url]
    before, own = cost(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=True)
    used, after = cost() - before, resource.getrusage(resource.RUSAGE_CHILDREN)
    said: dict[str, Any] = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    assert not said["errors"], f"{said['errors']} of {said['n']} requests failed"
    clients = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
    figures = {"processor_ms_per_request": 1000 * used / said["n"], "client_ms_per_request": 1000 * clients / said["n"]}
    return Sample(said["n"], said["seconds"], figures, said["latencies_ms"])
