"""What to look at in events that are accepted: the sender may have meant something else (INTERFACE 6)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from issuance.billing import inbox
from issuance.billing.cloud_events import BillingEvent, EventWarning
from issuance.billing.inbox import Dates
from issuance.deciding.calendar import Calendar
from issuance.deciding.coverage import DAYS_OFF, coverage_of
from issuance.deciding.frequency import BillingFrequency

# Dates that nothing moved are the same in all zones.
_ANY_ZONE = ZoneInfo("UTC")


def about(
    connection: Connection,
    brand_id: UUID,
    events: Mapping[int, BillingEvent],
    known: Mapping[UUID, Dates],
    now: datetime,
) -> Iterator[tuple[int, EventWarning]]:
    """The warnings about accepted events, by their places. `known`: the dates of the memberships that have signed up;
    `now`: the brand's. Where a membership's dates were moved, explain says what its charges cover, not this."""
    beside = {index: _beside(event, known) for index, event in events.items() if event.charge_id is not None}
    suspects = {events[index].membership_id for index, warning in beside.items() if warning is not None}
    moved = inbox.moved(connection, brand_id, suspects) if suspects else set()
    for index, event in sorted(events.items()):
        for warning in event.warnings:
            yield index, warning
        if event.time > now:
            yield index, EventWarning("ahead_of_clock", f"it counts from {_said(event.time)} on; now is {_said(now)}")
        if event.membership_id not in known:
            yield index, EventWarning("unknown_membership", "it waits for the sign-up of its membership")
        strange = beside.get(index)
        if strange is not None and event.membership_id not in moved:
            yield index, strange


def _beside(charge: BillingEvent, known: Mapping[UUID, Dates]) -> EventWarning | None:
    dates = known.get(charge.membership_id)
    return dates and _of_period(dates, charge.data["period_start"], charge.data["period_end"])


@lru_cache(maxsize=16384)
def _of_period(dates: Dates, period_start: str, period_end: str | None) -> EventWarning | None:
    """What is strange about a charge for a period, on the calendar that a membership was signed up with."""
    start = date.fromisoformat(period_start)
    frequency = BillingFrequency.parse(dates.billing_frequency)
    calendar = Calendar(_ANY_ZONE, dates.starts_on, dates.billing_anchor, frequency.interval)
    covers = coverage_of(start, None if period_end is None else date.fromisoformat(period_end), calendar, calendar)
    nearest = calendar.nearest_boundary(start)
    if not covers.has_boundary:
        return EventWarning("covers_no_boundary", f"it covers no billing date; the nearest is {nearest}")
    if abs(nearest - start) > DAYS_OFF:
        off = f"period_start {start} is {abs((nearest - start).days)} days from the nearest billing date, {nearest}"
        return EventWarning("off_boundary", f"{off}: it may pay for the wrong period")
    return None


def _said(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds")
