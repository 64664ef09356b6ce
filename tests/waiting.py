"""Waiting for what other processes do."""

import time
from collections.abc import Callable


def eventually(holds: Callable[[], object], seconds: float = 15.0) -> None:
    """Waits until something holds; fails when it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)
