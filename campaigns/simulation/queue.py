"""A queue that loses, doubles, reorders and delays: its messages lie in a list, and the world picks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq
import redis


def _nobody() -> None:
    """No program is under way."""


class Queue(dramatiq.Broker):
    """Holds what was sent. While it is `down`, sending fails as Redis does."""

    def __init__(self) -> None:
        super().__init__(middleware=[])
        self.waiting: list[dramatiq.Message[Any]] = []
        self.down = False
        self.sender_is_alive: Callable[[], None] = _nobody

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        assert delay is None, "hints are never delayed"
        self.sender_is_alive()
        if self.down:
            raise redis.ConnectionError("the queue is down")
        self.waiting.append(message)
        return message

    def take(self, pick: int) -> dramatiq.Message[Any] | None:
        """Any of those that wait, whoever came first."""
        return self.waiting.pop(pick % len(self.waiting)) if self.waiting else None
