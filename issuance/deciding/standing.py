"""Where a membership stood at any instant: its status as told by status facts and charge facts (SEMANTICS 7)."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from issuance.deciding.calendar import midnight
from issuance.deciding.charges import TROUBLE, Charge
from issuance.deciding.facts import ChargeState, ChargeTold, Moment, Status, StatusChanged

ENDED = frozenset({Status.CANCELLED, Status.EXPIRED})


@dataclass(frozen=True, slots=True)
class Standing:
    """The status from each instant on; before the first it is `upcoming`. `billing` counts as active here."""

    instants: tuple[datetime, ...] = ()
    statuses: tuple[Status, ...] = ()

    def at(self, instant: datetime) -> Status:
        """The status at an instant (UTC)."""
        changes = bisect_right(self.instants, instant)
        return self.statuses[changes - 1] if changes else Status.UPCOMING

    def next_change(self, instant: datetime) -> datetime | None:
        """The first known change after an instant: an announced end."""
        changes = bisect_right(self.instants, instant)
        return self.instants[changes] if changes < len(self.instants) else None


_NEVER_CHANGED = Standing()


def standing_of(changes: Iterable[StatusChanged], charges: Iterable[Charge], zone: ZoneInfo) -> Standing:
    """The membership's standing over time, by its facts, in the order in which they happened.

    Charges of `billing: automatic` are not among the facts; `History.status_at` adds what they do.
    """
    entries: list[tuple[datetime, Moment, StatusChanged | ChargeTold]] = [
        (at, fact.moment, fact) for at, fact in _effective(changes, zone)
    ]
    entries += [(fact.moment.at, fact.moment, fact) for charge in charges for fact in charge.told]
    if not entries:
        return _NEVER_CHANGED
    entries.sort(key=lambda entry: entry[:2])

    status = Status.UPCOMING
    outstanding: set[int] = set()
    instants: list[datetime] = []
    statuses: list[Status] = []
    for instant, _, fact in entries:
        after = _after(status, fact, outstanding)
        if after is not status:
            status = after
            instants.append(instant)
            statuses.append(status)
    return Standing(tuple(instants), tuple(statuses))


def _after(status: Status, fact: StatusChanged | ChargeTold, outstanding: set[int]) -> Status:
    """The status after one more fact. `outstanding`: failed or disputed charges that have not succeeded since."""
    if isinstance(fact, StatusChanged):
        if fact.status is Status.ACTIVE:
            outstanding.clear()
        return fact.status
    if fact.state in TROUBLE:
        outstanding.add(fact.number)
        return Status.NEEDS_ATTENTION if status in (Status.UPCOMING, Status.ACTIVE) else status
    if fact.state is ChargeState.SUCCEEDED and fact.number in outstanding:
        outstanding.remove(fact.number)
        if not outstanding and status is Status.NEEDS_ATTENTION:
            return Status.ACTIVE
    if fact.state in (ChargeState.INITIATED, ChargeState.SUCCEEDED) and status is Status.UPCOMING:
        return Status.ACTIVE
    return status


def _effective(facts: Iterable[StatusChanged], zone: ZoneInfo) -> list[tuple[datetime, StatusChanged]]:
    """From when each status fact counts. The later fact wins: it drops an end announced before it."""
    effective: list[tuple[datetime, StatusChanged]] = []
    for fact in facts:
        at = fact.moment.at if fact.ends_on is None else midnight(fact.ends_on, zone)
        overruled = min(at, fact.moment.at)
        effective = [earlier for earlier in effective if earlier[0] < overruled]
        effective.append((at, fact))
    return effective
