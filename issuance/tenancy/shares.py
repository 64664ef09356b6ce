"""Shares: how many threads of a process may work for one owner at a time, so that there are always some for others."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from uuid import UUID


class Shares:
    """At most `most` places at once for each owner."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = Lock()
        self._taken: Counter[UUID | None] = Counter()

    @contextmanager
    def of(self, owner: UUID | None) -> Iterator[bool]:
        """Hold a place of the owner's until the end of the block; False if there is none left."""
        with self._lock:
            free = self._taken[owner] < self.most
            self._taken[owner] += free
        try:
            yield free
        finally:
            with self._lock:
                self._taken[owner] -= free
                if not self._taken[owner]:
                    del self._taken[owner]
