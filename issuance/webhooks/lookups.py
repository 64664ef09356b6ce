"""Look-ups of host names. The system's resolver can not be interrupted and may take half a minute, so each look-up has
a thread of its own, of which there are few, and each brand has a share of them: names whose servers never answer keep
nobody waiting but their own brand.
"""

import asyncio
import socket
from collections import Counter
from concurrent.futures import Future
from threading import Lock, Thread
from typing import ClassVar
from uuid import UUID

from issuance.errors import IssuanceError

#: Seconds after which nobody waits for a look-up any more.
LIMIT = 3.0
#: Look-ups under way in a process, and of one brand: those that nobody waits for any more are counted until they end.
MOST, MOST_A_BRAND = 32, 4


class TooManyLookups(IssuanceError):
    """Too many names of this brand are being looked up, at most 4 at once. Try again in a moment."""

    code: ClassVar[str] = "too_many_lookups"
    status: ClassVar[int] = 429


class UnknownHost(OSError):
    """No address is known for a host."""


class Lookups:
    """The look-ups of a process."""

    def __init__(self, most: int = MOST, most_a_brand: int = MOST_A_BRAND) -> None:
        self._most, self._most_a_brand = most, most_a_brand
        self._lock = Lock()
        self._under_way: Counter[UUID | None] = Counter()

    async def find(self, host: str, port: int, brand_id: UUID | None, *, limit: float = LIMIT) -> list[str]:
        """The IP addresses of a host, as its servers give them. Raises UnknownHost, TimeoutError after `limit` seconds,
        and TooManyLookups."""
        with self._lock:
            if self._under_way[brand_id] >= self._most_a_brand or self._under_way.total() >= self._most:
                raise TooManyLookups
            self._under_way[brand_id] += 1
        found: Future[list[str]] = Future()
        # A daemon, so that no process waits for a name's servers when it ends.
        Thread(target=self._look_up, args=(host, port, brand_id, found), name="look-up", daemon=True).start()
        async with asyncio.timeout(limit):
            return await asyncio.wrap_future(found)

    def _look_up(self, host: str, port: int, brand_id: UUID | None, found: "Future[list[str]]") -> None:
        try:
            result: list[str] | UnknownHost = [
                str(where[0]) for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            ]
        except (OSError, UnicodeError, OverflowError):
            result = UnknownHost(host)
        finally:
            with self._lock:
                self._under_way[brand_id] -= 1
                self._under_way += Counter()  # without the brands that have none
        if not found.set_running_or_notify_cancel():
            return
        if isinstance(result, UnknownHost):
            found.set_exception(result)
        else:
            found.set_result(result)


#: Those of this process.
lookups = Lookups()
