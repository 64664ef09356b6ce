"""Who was on the order, and who has stayed on it (SEMANTICS 5)."""

from bisect import bisect_right
from datetime import datetime
from itertools import accumulate
from uuid import UUID

from issuance.deciding.facts import Guest, MembershipFacts


class Parties:
    """The parties of an order one after the other, with those of each who have been on it without a break since.

    An instant of None is the sign-up, before which no party changed.
    """

    def __init__(self, facts: MembershipFacts) -> None:
        self._since = [party.since for party in facts.parties]
        self._guests = [facts.signup_party, *(party.guests for party in facts.parties)]
        ids = [frozenset(guest.guest_id for guest in guests) for guests in self._guests]
        self._stayed = [*accumulate(reversed(ids), frozenset[UUID].intersection)][::-1]

    def at(self, instant: datetime | None) -> tuple[Guest, ...]:
        """The guests on the order at an instant."""
        return self._guests[self._turn(instant)]

    def stayed_since(self, instant: datetime | None) -> frozenset[UUID]:
        """Those who were on the order at an instant and are on it still."""
        return self._stayed[self._turn(instant)]

    def _turn(self, instant: datetime | None) -> int:
        return 0 if instant is None else bisect_right(self._since, instant)
