"""Counts over all of a brand's credits. A thread beside the pages makes them; pages show the last ones with their
time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookLong
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from time import monotonic
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from issuance import database
from issuance.log import logger
from issuance.tenancy import clock

#: Counts are shown for at least so many seconds before they are made again, and for so many times as long as counting
#: took, so that counting takes only a small part of a database's time.
FRESH, TIMES_THE_WORK = 60.0, 20.0
#: Seconds for which a page waits for counts.
PATIENCE = 0.15
#: The most counts that are kept.
MOST_KEPT = 1000

Sum = TypeVar("Sum")
#: A brand, and the name of the count.
Name = tuple[UUID, str]


@dataclass(frozen=True, slots=True)
class Counted(Generic[Sum]):
    """A result, as of an instant of the brand's clock."""

    sum: Sum
    as_of: datetime
    good_until: float


@dataclass(slots=True)
class Counter:
    """Makes the counts of a process, one at a time, so that pages and settling keep their share of the database."""

    _made: dict[Name, Counted[Any]] = field(default_factory=dict)
    _under_way: dict[Name, Future[None]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "counter"))

    def last(
        self, engine: Engine, brand_id: UUID, name: str, count: Callable[[Connection], Sum]
    ) -> Counted[Sum] | None:
        """The last count of a brand with this `name`; None if it is being counted for the first time, or can not be."""
        key = (brand_id, name)
        known: Counted[Sum] | None = self._made.get(key)
        if known is None or monotonic() > known.good_until:
            with suppress(TookLong):
                self._ask(engine, key, count).result(PATIENCE)
            known = self._made.get(key)
        return known

    def _ask(self, engine: Engine, key: Name, count: Callable[[Connection], Any]) -> "Future[None]":
        with self._lock:
            asked = self._under_way.get(key)
            if asked is None or asked.done():
                asked = self._under_way[key] = self._thread.submit(self._count, engine, key, count)
            return asked

    def _count(self, engine: Engine, key: Name, count: Callable[[Connection], Any]) -> None:
        begun = monotonic()
        try:
            with database.transaction(engine, key[0]) as connection:
                as_of = clock.read(connection, key[0]).now
                counted = count(connection)
        except SQLAlchemyError as error:
            logger.warning("counts_not_made", brand=str(key[0]), counts=key[1], error=type(error).__name__)
            return
        ended = monotonic()
        good_until = ended + max(FRESH, TIMES_THE_WORK * (ended - begun))
        with self._lock:
            self._made.pop(key, None)
            self._made[key] = Counted(counted, as_of, good_until)
            self._under_way.pop(key, None)
            while len(self._made) > MOST_KEPT:
                self._made.pop(next(iter(self._made)))


#: Those of this process.
counter = Counter()
