"""Waiting for what others do: other threads, other processes, PostgreSQL."""

import time
from collections.abc import Callable

#: Much longer than anything takes that is waited for: a busy machine is slow, and only what never comes is a failure.
PATIENCE_SECONDS = 60.0


def eventually(holds: Callable[[], object], seconds: float = PATIENCE_SECONDS, every: float = 0.05) -> None:
    """Waits until something holds, and looks `every` so many seconds; fails when it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(every)
