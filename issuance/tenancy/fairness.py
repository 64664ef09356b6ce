"""Fairness: the owners of requests share what a process works on at once.

The owner with the fewest requests under way is next. The last quarter of the places, and of a few places two, are for
owners who have nothing under way: the next one to come gets a place at once, whatever two others hold. While several
owners ask, each has at most a share. Then an owner whose latest requests took long has one place at a time, and one
whose request is taking long has one beside it: slow requests would soon fill all the places that they may have.

Where work needs the processor (`computing`), the share is one place: Python runs one thread at a time, so with more an
owner would delay the others and be done no sooner. And the owner who takes most of the time rests after a request, for
as long as that took: there is time for the others.

A request that waits for its turn is dropped when its client is gone: it never begins. A bounded number of requests of
each owner waits, and one more is refused at once: it would be held in memory, and get its turn too late.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from math import exp, inf
from time import monotonic
from typing import Any, TypeVar, TypeVarTuple

import anyio.to_thread

from issuance.errors import IssuanceError

#: Seconds for which an owner who asked counts as present.
ABOUT = 1.0
#: Seconds from which on an owner's latest requests count as long, and the weight of the last one in their average.
LONG, NEWS = 0.05, 0.25
#: Of requests that took as many seconds the owner who takes most of the time rests, for at most so many seconds.
WORTH_A_REST, MOST_REST = 0.01, 0.25
#: Seconds after which who waits looks whether a place is free that no end of a request has told of.
_LOOK = 2 * LONG
#: How many owners' averages are remembered; when there is one more, all are forgotten.
_MOST_KNOWN = 10_000

#: Seconds for which a request waits for its turn, and how many of an owner wait.
PATIENCE, MOST_WAITING = 10.0, 100
#: Returns once the client of the request is gone; None if nobody can tell.
until_gone: ContextVar[Callable[[], Coroutine[Any, Any, None]] | None] = ContextVar("until_gone", default=None)

Given = TypeVarTuple("Given")
Made = TypeVar("Made")


class TooManyAtOnce(IssuanceError):
    """Too much was asked at once, and this did not get its turn within 10 seconds. Nothing was done: try again."""

    code = "too_many_at_once"
    status = 429


class TooManyWaiting(TooManyAtOnce):
    """Too much was asked at once: 100 requests already wait for their turn. Nothing was done: try again."""


class Gone(Exception):
    """The client is gone, and nothing was begun."""


class Fair:
    """At most `most` places, of which each owner has a part. Others wait, for at most `patience` seconds, and at most
    `most_waiting` of an owner. For one event loop at a time."""

    def __init__(
        self, most: int, patience: float | None = None, most_waiting: int = MOST_WAITING, *, computing: bool = False
    ) -> None:
        self._computing = computing
        self.make_room(most)
        self._patience, self._most_waiting = patience, most_waiting
        self._working: Counter[Hashable] = Counter()
        #: When those that an owner has under way began, the oldest first.
        self._began: dict[Hashable, deque[float]] = {}
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        #: How long an owner's latest requests took.
        self._took: dict[Hashable, float] = {}
        #: How many seconds an owner's requests took lately, and when that was counted; until when an owner rests.
        self._spent: dict[Hashable, tuple[float, float]] = {}
        self._rests: dict[Hashable, float] = {}
        #: Who asked last and when, and when somebody else asked last.
        self._latest: tuple[Hashable, float] = (None, -ABOUT)
        self._another = -ABOUT

    def make_room(self, most: int) -> None:
        """Have `most` at once from now on."""
        self._most, self._share = most, 1 if self._computing else max(1, most // 2)
        # One owner may take the rest, and another one of the last: two do not take all, as far as there are several.
        last = max(most // 4, min(2, most // 2)) if most > 2 else 0
        self._alone = most - last

    @asynccontextmanager
    async def place(self, owner: Hashable) -> AsyncIterator[None]:
        """Wait for a place for an owner, and hold it until the end of the block.

        Raises Gone, TooManyAtOnce; TooManyWaiting at once."""
        self._note(owner)
        if owner in self._waiting or not self._is_free(owner):
            if len(self._waiting.get(owner, ())) >= self._most_waiting:
                raise TooManyWaiting
            await self._wait(owner)
        else:
            self._working[owner] += 1
        began = monotonic()
        self._began.setdefault(owner, deque()).append(began)
        try:
            yield
        finally:
            self._began[owner].remove(began)
            if not self._began[owner]:
                del self._began[owner]
            self._learn(owner, monotonic() - began)
            if self._computing:
                self._rest(owner, monotonic() - began)
            self._end(owner)

    def is_wanted(self, owner: Hashable) -> bool:
        """Whether an owner who has fewer places than this one waits for one."""
        return any(self._working[one] < self._working[owner] for one in self._waiting)

    def _note(self, owner: Hashable) -> None:
        latest, at = self._latest
        if latest != owner:
            self._another = at
        self._latest = owner, monotonic()

    def _is_free(self, owner: Hashable) -> bool:
        if monotonic() < self._rests.get(owner, 0.0) and self._are_others(owner):
            return False
        if not self._working[owner]:
            return self._working.total() < self._most
        return self._working[owner] < self._own(owner) and self._working.total() < self._alone

    def _own(self, owner: Hashable) -> int:
        """How many an owner may have under way now."""
        if not self._are_others(owner):
            return self._alone
        if self._took.get(owner, 0.0) > LONG:
            return 1
        oldest = self._began.get(owner)
        takes_long = oldest is not None and monotonic() - oldest[0] > LONG
        return min(2, self._most // 2) if takes_long else self._share

    def _are_others(self, owner: Hashable) -> bool:
        """Whether somebody beside this owner asked just now."""
        latest, at = self._latest
        return monotonic() - (self._another if latest == owner else at) < ABOUT

    def _learn(self, owner: Hashable, seconds: float) -> None:
        if len(self._took) > _MOST_KNOWN:
            self._took.clear()
        before = self._took.get(owner, seconds)
        self._took[owner] = before + NEWS * (seconds - before)

    def _rest(self, owner: Hashable, seconds: float) -> None:
        """Let the owner who takes most of the time rest after a request."""
        now = monotonic()
        if len(self._spent) > _MOST_KNOWN:
            self._spent.clear()
        spent, at = self._spent.get(owner, (0.0, now))
        spent = spent * exp((at - now) / ABOUT) + seconds
        self._spent[owner] = spent, now
        if seconds < WORTH_A_REST or not self._are_others(owner):
            return
        self._spent = {one: (much, at) for one, (much, at) in self._spent.items() if now - at < ABOUT}
        if all(much <= spent for much, _ in self._spent.values()):
            rest = min(seconds, MOST_REST)
            self._rests[owner] = now + rest
            asyncio.get_running_loop().call_later(rest, self._rested, owner)

    def _rested(self, owner: Hashable) -> None:
        self._rests.pop(owner, None)
        self._hand_on()

    async def _wait(self, owner: Hashable) -> None:
        loop = asyncio.get_running_loop()
        place = loop.create_future()
        self._waiting.setdefault(owner, deque()).append(place)
        watched = until_gone.get()
        gone = loop.create_future() if watched is None else loop.create_task(watched())
        until = inf if self._patience is None else loop.time() + self._patience
        try:
            while not place.done():
                await asyncio.wait(
                    (place, gone), timeout=min(_LOOK, until - loop.time()), return_when=asyncio.FIRST_COMPLETED
                )
                if gone.done():
                    raise Gone
                self._hand_on()  # by now what is under way may take long, a rest be over, or nobody else ask any more
                if not place.done() and loop.time() >= until:
                    raise TooManyAtOnce
        except BaseException:
            if place.done():
                self._end(owner)  # it was given just now
            else:
                self._leave(owner, place)
            raise
        finally:
            gone.cancel()

    def _leave(self, owner: Hashable, place: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(owner, deque())
        if place in waiting:
            waiting.remove(place)
        if not waiting:
            self._waiting.pop(owner, None)

    def _end(self, owner: Hashable) -> None:
        self._working[owner] -= 1
        if not self._working[owner]:
            del self._working[owner]
        self._hand_on()

    def _hand_on(self) -> None:
        """Give the places that are free to those who wait."""
        while free := [one for one in self._waiting if self._is_free(one)]:
            following = min(free, key=self._working.__getitem__)
            place = self._waiting[following][0]
            self._leave(following, place)
            self._working[following] += 1
            place.set_result(None)


class FairThreads:
    """Threads that are shared like places. For one event loop."""

    def __init__(self, most: int) -> None:
        self._fair = Fair(most)
        self._threads = anyio.CapacityLimiter(most)

    async def run(self, owner: Hashable, work: Callable[[*Given], Made], *given: *Given) -> Made:
        """Wait for a thread for the owner, run `work` in it with the arguments, and return what it returns."""
        async with self._fair.place(owner):
            return await anyio.to_thread.run_sync(work, *given, limiter=self._threads)
