"""The backlog of a worker process: memberships that hints asked for and that nobody settles yet, by brand.

What is asked for while a brand is being settled is settled in one go after that. Settling twenty memberships costs
little more than settling one, so a worker that falls behind catches up. Nothing waits for more to come: if a brand is
not being settled, a hint is settled at once and alone. Each brand is settled by one thread of a process at a time, and
the brand that has waited longest comes first (docs/decisions 27).
"""

from collections.abc import Callable, Iterable
from threading import Condition
from uuid import UUID

from issuance import measures, origins
from issuance.log import logger
from issuance.origins import Origin

#: At most so many memberships of a brand wait here. Beyond that, hints stay in the queue for other processes.
ROOM = 250


class Backlog:
    """What was asked for and is not begun. It is in memory only, so it can be lost, as hints can."""

    def __init__(self, settle: Callable[[UUID, list[UUID]], None], *, room: int = ROOM) -> None:
        self._settle = settle
        self._room = room
        self._changed = Condition()
        # The brand that has waited longest comes first.
        self._asked: dict[UUID, dict[UUID, tuple[Origin, ...]]] = {}
        self._being_settled: set[UUID] = set()

    def ask(self, brand_id: UUID, membership_ids: Iterable[UUID]) -> None:
        """Have memberships settled: by this thread, or by the one that settles the brand now, after it is done.

        Waits only if too many are waiting already.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._asked.get(brand_id, ())) < self._room)
            asked = self._asked.setdefault(brand_id, {})
            for one in membership_ids:
                asked[one] = origins.together(asked.get(one, ()), origins.all_of(one))
        while (brand := self._next_brand()) is not None:
            self._settle_brand(*brand)

    def _next_brand(self) -> tuple[UUID, dict[UUID, tuple[Origin, ...]]] | None:
        """A brand and what was asked for of it; None if other threads will come to everything that is left."""
        with self._changed:
            brand_id = next((one for one in self._asked if one not in self._being_settled), None)
            if brand_id is None:
                return None
            self._being_settled.add(brand_id)
            asked = self._asked.pop(brand_id)
            self._changed.notify_all()
            return brand_id, asked

    def _settle_brand(self, brand_id: UUID, asked: dict[UUID, tuple[Origin, ...]]) -> None:
        try:
            with origins.working_for_each({str(one): its for one, its in asked.items()}):
                self._settle(brand_id, list(asked))
        except Exception as error:  # go on with what else was asked for
            measures.failed("memberships_not_settled")
            logger.exception("memberships_not_settled", brand=str(brand_id), error=type(error).__name__)
        finally:
            with self._changed:
                self._being_settled.discard(brand_id)
