"""Look-ups of host names. The system's resolver can not be interrupted and may take half a minute, so each look-up has
a thread of its own. There are few threads, and each brand has a share of them: names whose servers never answer delay
only their own brand, and within it only failing webhooks.
"""

import asyncio
import socket
from collections import Counter
from concurrent.futures import Future
from functools import partial
from threading import Lock, Thread
from typing import ClassVar
from uuid import UUID

from issuance.errors import IssuanceError

#: Seconds after which nobody waits for a look-up any more.
LIMIT = 3.0
#: The most look-ups under way in a process, and of one brand. One that nobody waits for any more counts until it ends.
MOST, MOST_A_BRAND = 32, 4
#: How many of a brand's may be for failing webhooks, and how many of all are kept for brands that have none under way.
MOST_FAILING_A_BRAND, KEPT = 2, 8


class TooManyLookups(IssuanceError):
    """Too many names of this brand are being looked up, at most 4 at once. Try again in a moment."""

    code: ClassVar[str] = "too_many_lookups"
    status: ClassVar[int] = 429


class NoLookupLeft(TooManyLookups):
    """Too many names are being looked up, of all brands. Try again in a moment."""


class UnknownHost(OSError):
    """No address is known for a host."""


class Lookups:
    """The look-ups of a process."""

    def __init__(self, most: int = MOST, kept: int = KEPT) -> None:
        self._most, self._kept = most, kept
        self._lock = Lock()
        #: Look-ups under way by brand, and those of them for failing webhooks by brand.
        self._under_way: Counter[UUID | None] = Counter()
        self._failing: Counter[UUID | None] = Counter()

    async def find(
        self, host: str, port: int, brand_id: UUID | None, *, failing: bool = False, limit: float = LIMIT
    ) -> list[str]:
        """The IP addresses of a host, as its servers give them; `failing`: for a webhook that fails. Raises
        UnknownHost, TimeoutError after `limit` seconds, and TooManyLookups."""
        with self._lock:
            self._check(brand_id, failing=failing)
            self._count(brand_id, 1, failing=failing)
        found: Future[list[str]] = Future()
        # A daemon, so that no process waits for a name's servers when it ends.
        what = partial(self._look_up, host, port, brand_id, found, failing=failing)
        Thread(target=what, name="look-up", daemon=True).start()
        async with asyncio.timeout(limit):
            return await asyncio.wrap_future(found)

    def _check(self, brand_id: UUID | None, *, failing: bool) -> None:
        own = self._under_way[brand_id]
        if own >= MOST_A_BRAND or (failing and self._failing[brand_id] >= MOST_FAILING_A_BRAND):
            raise TooManyLookups
        if self._under_way.total() >= self._most - (self._kept if own else 0):
            raise NoLookupLeft

    def _count(self, brand_id: UUID | None, number: int, *, failing: bool) -> None:
        for counted in (self._under_way, self._failing) if failing else (self._under_way,):
            counted[brand_id] += number
            if not counted[brand_id]:
                del counted[brand_id]

    def _look_up(
        self, host: str, port: int, brand_id: UUID | None, found: "Future[list[str]]", *, failing: bool
    ) -> None:
        try:
            result: list[str] | UnknownHost = [
                str(where[0]) for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            ]
        except (OSError, UnicodeError, OverflowError):
            result = UnknownHost(host)
        finally:
            with self._lock:
                self._count(brand_id, -1, failing=failing)
        if not found.set_running_or_notify_cancel():
            return
        if isinstance(result, UnknownHost):
            found.set_exception(result)
        else:
            found.set_result(result)


#: Those of this process.
lookups = Lookups()
