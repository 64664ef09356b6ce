"""What to look at in events that are accepted: the sender may have meant something else (INTERFACE 6)."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from sqlalchemy import Connection

from issuance.billing import inbox
from issuance.billing.cloud_events import BillingEvent, EventWarning
from issuance.billing.inbox import Dates
from issuance.deciding.calendar import add_months

#: How many days a biller may be off a billing date (SEMANTICS 7).
_TOLERANCE = 3


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
def _of_period(dates: Dates, first: str, last: str | None) -> EventWarning | None:
    """What is strange about a charge for a period, on the calendar that a membership was signed up with."""
    start, end = date.fromisoformat(first), None if last is None else date.fromisoformat(last)
    near = _boundaries(dates, start)
    nearest = _nearest(near, start)
    begins = _as_boundary(dates, start)
    if end is None:
        covers = begins in near
    else:
        ends = _as_boundary(dates, end)
        covers = any(begins <= boundary < ends for boundary in (*near, *_boundaries(dates, end)))
    if not covers:
        return EventWarning("covers_no_boundary", f"it covers no billing date; the nearest is {nearest}")
    if abs((nearest - start).days) > _TOLERANCE:
        off = f"period_start {start} is {abs((nearest - start).days)} days from the nearest billing date, {nearest}"
        return EventWarning("off_boundary", f"{off}: it may pay for the wrong period")
    return None


def _as_boundary(dates: Dates, day: date) -> date:
    """The boundary that a date counts as: itself, or one within three days, but not where billing is in weeks."""
    near = _boundaries(dates, day)
    nearest = _nearest(near, day)
    if day in near or dates.billing_frequency.endswith("W"):
        return day
    return nearest if abs((nearest - day).days) <= _TOLERANCE else day


def _nearest(boundaries: list[date], day: date) -> date:
    """The nearest boundary to a date, of two the later."""
    return min(boundaries, key=lambda boundary: (abs((boundary - day).days), -boundary.toordinal()))


def _boundaries(dates: Dates, day: date) -> list[date]:
    """The start, and the billing dates about a date."""
    anchor = dates.billing_anchor
    count, unit = int(dates.billing_frequency[1:-1]), dates.billing_frequency[-1]
    if unit == "W":
        turn = (day - anchor).days // (7 * count)
        turns = [anchor + timedelta(weeks=k * count) for k in range(max(turn - 1, 0), max(turn, 0) + 3)]
    else:
        months = count * (12 if unit == "Y" else 1)
        turn = ((day.year - anchor.year) * 12 + day.month - anchor.month) // months
        turns = [add_months(anchor, k * months) for k in range(max(turn - 1, 0), max(turn, 0) + 3)]
    return sorted({dates.starts_on, *turns})


def _said(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
