"""Where a membership stood at any instant: its status as told by status facts and charge facts (SEMANTICS 7)."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from issuance.deciding.calendar import midnight
from issuance.deciding.facts import ChargeFact, ChargeState, MembershipFacts, Order, Status, StatusFact

ENDED = frozenset({Status.CANCELLED, Status.EXPIRED})
_TROUBLE = frozenset({ChargeState.FAILED, ChargeState.DISPUTED})


@dataclass(frozen=True, slots=True)
class Standing:
    """The status from each instant on; before the first it is `upcoming`. `billing` counts as active here."""

    instants: tuple[datetime, ...] = ()
    statuses: tuple[Status, ...] = ()

    def at(self, instant: datetime) -> Status:
        """The status at an instant (UTC)."""
        turn = bisect_right(self.instants, instant)
        return self.statuses[turn - 1] if turn else Status.UPCOMING

    def next_change(self, instant: datetime) -> datetime | None:
        """The first known change after an instant: an announced end."""
        turn = bisect_right(self.instants, instant)
        return self.instants[turn] if turn < len(self.instants) else None


_NEVER_CHANGED = Standing()


def standing_of(facts: MembershipFacts) -> Standing:
    """The membership's standing over time, by its facts, in the order in which they happened.

    Charges of `billing: automatic` are not among the facts; releases.py adds what they do.
    """
    if not facts.statuses and not facts.charges:
        return _NEVER_CHANGED
    entries: list[tuple[datetime, Order, StatusFact | ChargeFact]] = [
        (at, fact.order, fact) for at, fact in _effective(facts.statuses, facts.zone)
    ]
    entries += [(fact.order.time, fact.order, fact) for charge in facts.charges for fact in charge.facts]
    entries.sort(key=lambda entry: entry[:2])

    status = Status.UPCOMING
    outstanding: set[str] = set()
    instants: list[datetime] = []
    statuses: list[Status] = []
    for instant, _, fact in entries:
        after = _after(status, fact, outstanding)
        if after is not status:
            status = after
            instants.append(instant)
            statuses.append(status)
    return Standing(tuple(instants), tuple(statuses))


def _after(status: Status, fact: StatusFact | ChargeFact, outstanding: set[str]) -> Status:
    """The status after one more fact. `outstanding`: failed or disputed charges that have not succeeded since."""
    if isinstance(fact, StatusFact):
        if fact.status is Status.ACTIVE:
            outstanding.clear()
        return fact.status
    if fact.state in _TROUBLE:
        outstanding.add(fact.charge_id)
        return Status.NEEDS_ATTENTION if status in (Status.UPCOMING, Status.ACTIVE) else status
    if fact.state is ChargeState.SUCCEEDED and fact.charge_id in outstanding:
        outstanding.remove(fact.charge_id)
        if not outstanding and status is Status.NEEDS_ATTENTION:
            return Status.ACTIVE
    if fact.state in (ChargeState.INITIATED, ChargeState.SUCCEEDED) and status is Status.UPCOMING:
        return Status.ACTIVE
    return status


def _effective(facts: tuple[StatusFact, ...], zone: ZoneInfo) -> list[tuple[datetime, StatusFact]]:
    """From when each status fact counts. The later fact wins: it drops an end announced before it."""
    effective: list[tuple[datetime, StatusFact]] = []
    for fact in facts:
        at = fact.order.time if fact.ends_on is None else midnight(fact.ends_on, zone)
        overruled = min(at, fact.order.time)
        effective = [earlier for earlier in effective if earlier[0] < overruled]
        effective.append((at, fact))
    return effective
