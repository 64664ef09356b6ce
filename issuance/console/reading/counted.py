"""Counts over all of a brand's credits. A thread beside the pages makes them; pages show the last ones with their
time."""

from collections import Counter as Tally
from collections.abc import Callable, Sized
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

from issuance import database, limits
from issuance.errors import IssuanceError
from issuance.log import logger
from issuance.tenancy import clock

#: Counts are shown for at least so many seconds before they are made again, and for so many times as long as counting
#: took, so that counting takes only a small part of a database's time.
FRESH, TIMES_THE_WORK = 60.0, 20.0
#: The most counts of one brand that are made or wait for it. Pages show the others as they last were.
MOST_A_BRAND = 2

Sum = TypeVar("Sum", bound=Sized)
#: A brand, and the name of the count.
Name = tuple[UUID, str]


@dataclass(frozen=True, slots=True)
class Counted(Generic[Sum]):
    """A result, as of an instant of the brand's clock."""

    sum: Sum
    as_of: datetime


@dataclass(frozen=True, slots=True)
class _Made:
    """What counting came to: a count, or why there is none; None: it took longer than a statement may."""

    came_to: Counted[Any] | IssuanceError | None
    good_until: float

    @property
    def rows(self) -> int:
        return 1 + len(self.came_to.sum) if isinstance(self.came_to, Counted) else 1


@dataclass(slots=True)
class Counter:
    """Makes the counts of a process, one at a time, so that pages and settling keep their share of the database."""

    _made: dict[Name, _Made] = field(default_factory=dict)
    _under_way: dict[Name, "Future[None]"] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "counter"))

    def last(
        self, engine: Engine, brand_id: UUID, name: str, count: Callable[[Connection], Sum]
    ) -> Counted[Sum] | None:
        """The last count of a brand with this `name`; None if it is being counted for the first time, or can not be.
        Raises what `count` raised."""
        key = (brand_id, name)
        known = self._made.get(key)
        if known is None or monotonic() > known.good_until:
            asked = self._ask(engine, key, count)
            if asked is not None:
                with suppress(TookLong):
                    asked.result(limits.current.console.patience)
            known = self._made.get(key)
        if known is None:
            return None
        if isinstance(known.came_to, IssuanceError):
            raise known.came_to.with_traceback(None)
        return known.came_to

    def was_cut_short(self, brand_id: UUID, name: str) -> bool:
        """Whether a count that was never made took longer than a statement may: it is tried again some minutes later,
        when somebody asks."""
        made = self._made.get((brand_id, name))
        return made is not None and made.came_to is None

    def _ask(self, engine: Engine, key: Name, count: Callable[[Connection], Any]) -> "Future[None] | None":
        with self._lock:
            if key not in self._under_way:
                if sum(brand_id == key[0] for brand_id, _ in self._under_way) >= MOST_A_BRAND:
                    return None
                self._under_way[key] = self._thread.submit(self._count, engine, key, count)
            return self._under_way[key]

    def _count(self, engine: Engine, key: Name, count: Callable[[Connection], Any]) -> None:
        begun = monotonic()
        try:
            came_to = self._came_to(engine, key, count)
            ended = monotonic()
            self._keep(key, _Made(came_to, ended + max(FRESH, TIMES_THE_WORK * (ended - begun))))
        except SQLAlchemyError as error:
            logger.warning("counts_not_made", brand=str(key[0]), counts=key[1], error=type(error).__name__)
        finally:
            with self._lock:
                self._under_way.pop(key, None)

    def _came_to(
        self, engine: Engine, key: Name, count: Callable[[Connection], Any]
    ) -> Counted[Any] | IssuanceError | None:
        try:
            with database.transaction(engine, key[0], reads=True) as connection:
                as_of = clock.read(connection, key[0]).now
                return Counted(count(connection), as_of)
        except IssuanceError as refused:
            return refused
        except SQLAlchemyError as error:
            if not database.is_cut_short(error):
                raise
            logger.warning("counts_cut_short", brand=str(key[0]), counts=key[1])
            known = self._made.get(key)
            return None if known is None else known.came_to

    def _keep(self, key: Name, made: _Made) -> None:
        """Keep what counting came to. Where there is no more room, the brand that has most gives up its oldest."""
        with self._lock:
            self._made.pop(key, None)
            self._made[key] = made
            kept: Tally[UUID] = Tally()
            for (brand_id, _), one in self._made.items():
                kept[brand_id] += one.rows
            while kept.total() > limits.current.console.counted_rows:
                (fullest, _), *_ = kept.most_common(1)
                oldest = next(name for name in self._made if name[0] == fullest)
                kept[fullest] -= self._made.pop(oldest).rows


#: Those of this process.
counter = Counter()
