"""Who was on the order, who has stayed on it, and who of them takes part (SEMANTICS 5)."""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate

from issuance.deciding.facts import Guest, GuestsChanged, RuleVersion, SignedUp
from issuance.deciding.reasons import Reason


class Parties:
    """The parties of an order one after the other, with those of each who have been on it without a break since.

    An instant of None is the sign-up, before which no party changed.
    """

    def __init__(self, sign_up: SignedUp, changes: Iterable[GuestsChanged]) -> None:
        later = list(changes)
        self._since = [party.moment.at for party in later]
        self._guests = [sign_up.guests, *(party.guests for party in later)]
        places = [frozenset(guest.place for guest in guests) for guests in self._guests]
        self._stayed = [*accumulate(reversed(places), frozenset[int].intersection)][::-1]

    @property
    def now(self) -> tuple[Guest, ...]:
        """The guests on the order now."""
        return self._guests[-1]

    def at(self, instant: datetime | None) -> tuple[Guest, ...]:
        """The guests on the order at an instant."""
        return self._guests[self._index(instant)]

    def stayed_since(self, instant: datetime | None) -> frozenset[int]:
        """The places of those who were on the order at an instant and are on it still."""
        return self._stayed[self._index(instant)]

    def _index(self, instant: datetime | None) -> int:
        return 0 if instant is None else bisect_right(self._since, instant)


def left_out(
    version: RuleVersion, *, lead_booker: bool, stayed: bool, archived: bool, holds: bool, used: bool
) -> Reason | None:
    """Why a guest gets nothing where others on the order get something, or None if they get the same.

    `holds`: they have the occurrence's credit already. What they held was revoked when they were archived, and stays
    as it is. `used`: they used its coupon under another type, before the membership's type changed.
    """
    if version.for_lead_booker_only and not lead_booker:
        return Reason.NOT_LEAD_BOOKER
    if not stayed:
        return Reason.GUEST_REMOVED
    if archived and not holds:
        return Reason.MEMBER_ARCHIVED
    if used:
        return Reason.USED_BEFORE_CHANGE
    return None
