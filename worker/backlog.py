"""The backlog of a worker process: memberships that hints asked for and that nobody settles yet, by brand.

What is asked for while a brand is being settled is settled in one go after that. Settling twenty memberships costs
little more than settling one, so a worker that falls behind catches up. Nothing waits for more to come: if a brand is
not being settled, a hint is settled at once and alone. Each brand is settled by one thread of a process at a time, and
the brand that has waited longest comes first (docs/decisions 27). No thread waits for another: there would be none left
for other brands.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from threading import Lock
from time import monotonic
from uuid import UUID

from issuance import measures, origins
from issuance.log import logger
from issuance.origins import Origin

#: At most so many memberships of a brand wait here, some 12 MB. Those beyond are forgotten: the scheduler asks for them
#: again, as slowly as it does.
ROOM = 50_000
#: So many are settled in one go: at first, and at most where that is quick, as of a billing day's charges.
AT_ONCE, MOST_AT_ONCE = 250, 2000
#: Seconds that one go should take: memberships that are asked for meanwhile wait as long.
_GO = 0.5


class Backlog:
    """What was asked for and is not begun. It is in memory only, so it can be lost, as hints can."""

    def __init__(
        self,
        settle: Callable[[UUID, list[UUID]], None],
        *,
        room: int = ROOM,
        at_once: int = AT_ONCE,
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        """`settle` settles memberships of a brand; `seconds` measures how long that takes."""
        self._settle, self._seconds = settle, seconds
        self._room, self._at_once = room, at_once
        #: How many of a brand are settled in one go next, while more of it waits.
        self._fitting: dict[UUID, int] = {}
        self._lock = Lock()
        # The brand that has waited longest comes first.
        self._asked: dict[UUID, dict[UUID, tuple[Origin, ...]]] = {}
        self._being_settled: set[UUID] = set()

    def ask(self, brand_id: UUID, membership_ids: Iterable[UUID]) -> None:
        """Have memberships settled: by this thread, or by the one that settles the brand now, after it is done."""
        with self._lock:
            asked = self._asked.setdefault(brand_id, {})
            for one in membership_ids:
                if one in asked or len(asked) < self._room:
                    asked[one] = origins.together(asked.get(one, ()), origins.all_of(one))
        while (brand := self._next_brand()) is not None:
            self._settle_brand(*brand)

    def _next_brand(self) -> tuple[UUID, dict[UUID, tuple[Origin, ...]]] | None:
        """A brand and what was asked for of it, as much as is settled in one go; None if other threads will come to
        everything that is left."""
        with self._lock:
            brand_id = next((one for one in self._asked if one not in self._being_settled), None)
            if brand_id is None:
                return None
            self._being_settled.add(brand_id)
            asked = self._asked.pop(brand_id)
            some = {one: asked.pop(one) for one in [*islice(asked, self._fitting.get(brand_id, self._at_once))]}
            if asked:  # after the brands that wait now
                self._asked[brand_id] = asked
            return brand_id, some

    def _settle_brand(self, brand_id: UUID, asked: dict[UUID, tuple[Origin, ...]]) -> None:
        began, fitting = self._seconds(), self._at_once
        try:
            with origins.working_for_each({str(one): its for one, its in asked.items()}):
                self._settle(brand_id, list(asked))
            fitting = self._as_many_as_fit(len(asked), self._seconds() - began)
        except Exception as error:  # go on with what else was asked for
            measures.failed("memberships_not_settled")
            logger.exception("memberships_not_settled", brand=str(brand_id), error=type(error).__name__)
        finally:
            with self._lock:
                self._being_settled.discard(brand_id)
                self._fitting.pop(brand_id, None)
                if brand_id in self._asked:
                    self._fitting[brand_id] = fitting

    def _as_many_as_fit(self, number: int, seconds: float) -> int:
        """How many fit into one go after `number` took `seconds`: twice as many at most, and no fewer than at first."""
        fit = round(number * min(2.0, _GO / seconds)) if seconds > 0 else 2 * number
        return max(self._at_once, min(fit, MOST_AT_ONCE))
