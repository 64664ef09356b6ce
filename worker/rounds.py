"""Rounds of settling: what is asked for while a brand is being settled is settled in one go after that.

Settling twenty memberships costs little more than settling one, so a worker that falls behind catches up. Where
nothing waits nothing changes: each hint has a round of its own, at once. A brand has one round at a time in a process,
and those of all brands take turns (docs/decisions 23).
"""

from collections.abc import Callable, Iterable
from threading import Condition
from uuid import UUID

from issuance.log import logger

#: So many memberships of a brand may be waiting for its next round when more are asked for.
ROOM = 250


class Rounds:
    """What was asked for and is not begun yet, by brand. Kept in memory alone: it is as lost as hints may be."""

    def __init__(self, settle: Callable[[UUID, list[UUID]], None], *, room: int = ROOM) -> None:
        self._settle = settle
        self._room = room
        self._changed = Condition()
        # The brand that has waited longest comes first.
        self._asked: dict[UUID, dict[UUID, None]] = {}
        self._under_way: set[UUID] = set()

    def ask(self, brand_id: UUID, membership_ids: Iterable[UUID]) -> None:
        """Have memberships settled: in this thread, or in the one that has the brand's round under way, after it.
        Waits only where too much is asked for already."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._asked.get(brand_id, ())) < self._room)
            self._asked.setdefault(brand_id, {}).update(dict.fromkeys(membership_ids))
        while (brand := self._begin()) is not None:
            self._round(*brand)

    def _begin(self) -> tuple[UUID, list[UUID]] | None:
        """The next brand's round; None if there is none that another thread does not come to."""
        with self._changed:
            brand_id = next((one for one in self._asked if one not in self._under_way), None)
            if brand_id is None:
                return None
            self._under_way.add(brand_id)
            membership_ids = list(self._asked.pop(brand_id))
            self._changed.notify_all()
            return brand_id, membership_ids

    def _round(self, brand_id: UUID, membership_ids: list[UUID]) -> None:
        try:
            self._settle(brand_id, membership_ids)
        except Exception as error:  # what others asked for is still to be done
            logger.exception("memberships_not_settled", brand=str(brand_id), error=type(error).__name__)
        finally:
            with self._changed:
                self._under_way.discard(brand_id)
