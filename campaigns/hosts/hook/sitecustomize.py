"""Loaded by each Python process of a host with a clock of its own (PYTHONPATH).

libfaketime up to 0.9.10 takes the instant until which Python sleeps, which is one of the monotonic clock, for one of
the clock that it changes: so it is not asked.
"""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep  # type: ignore[assignment]
