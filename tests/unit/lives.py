"""Hypothesis strategies: random memberships with random histories, dense enough that their facts meet."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from issuance.deciding.calendar import Calendar
from issuance.deciding.facts import Rule
from issuance.deciding.frequency import BillingFrequency, IssuingFrequency
from tests.unit.club import ADA, BEN, EVE, GOLD, LONG_AGO, SILVER, Life, party, rule, version

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/Havana", "Africa/Cairo", "Pacific/Kiritimati")]
#: Everything happens within this many hours of the start.
SPAN = 24 * 200

STATES = ["initiated", "succeeded", "failed", "skipped", "refunded", "disputed"]
STATUSES = ["active", "needs_attention", "paused", "cancelled", "expired"]

starts = st.sampled_from([date(2030, 1, 31), date(2030, 2, 15), date(2028, 2, 29), date(2030, 12, 1)])


def _start(life: Life) -> datetime:
    return datetime.combine(life.starts_on, datetime.min.time(), UTC)


@st.composite
def rules(draw: st.DrawFn, start: datetime, number: int, *, upcoming: bool) -> Rule:
    """A rule of one to three versions. Without `upcoming` none is saved with include_upcoming after the sign-up."""
    saved = sorted(draw(st.lists(st.integers(-240, SPAN), max_size=2)))
    versions = []
    for place, created_at in enumerate([LONG_AGO, *(start + timedelta(hours=hours) for hours in saved)]):
        versions.append(
            version(
                place + 1,
                created_at,
                validity=draw(st.sampled_from([None, None, "P10D", "P1M", "P45D"])),
                membership_type_id=draw(st.sampled_from([GOLD, GOLD, GOLD, SILVER])),
                roll_over=draw(st.booleans()),
                issue_on_signup=draw(st.booleans()),
                multi_use=draw(st.booleans()),
                for_lead_booker_only=draw(st.booleans()),
                frequency=draw(st.sampled_from(IssuingFrequency)),
                include_upcoming=draw(st.booleans()) if upcoming else False,
            )
        )
    deleted_at = draw(st.one_of(st.none(), st.none(), st.integers(0, SPAN))) if upcoming else None
    return rule(
        *versions, deleted_at=None if deleted_at is None else start + timedelta(hours=deleted_at), number=number
    )


@st.composite
def tellings(draw: st.DrawFn, life: Life) -> tuple[datetime, str, dict[str, Any]]:
    """One more fact about a membership: when, of which type, and what it says."""
    start = _start(life)
    time = start + timedelta(hours=draw(st.integers(-240, SPAN)))
    kind = draw(st.sampled_from(["charge", "charge", "charge", "status", "guests", "move"]))
    if kind == "charge":
        calendar = Calendar(life.zone, life.starts_on, life.billing_anchor or life.starts_on)
        boundaries = calendar.boundaries_past(BillingFrequency(life.billing_frequency).months, life.starts_on)
        boundaries = (
            calendar.boundaries_past(1, life.starts_on + timedelta(days=95)) if draw(st.booleans()) else boundaries
        )
        nth = draw(st.integers(0, min(3, len(boundaries) - 1)))
        length = draw(st.sampled_from([None, None, 30, 100]))
        end = None if length is None else (boundaries[nth] + timedelta(days=length)).isoformat()
        about = {"period_start": boundaries[nth].isoformat(), "period_end": end}
        return time, f"charge.{draw(st.sampled_from(STATES))}", {**about, "charge_id": f"c{nth}"}
    if kind == "status":
        status = draw(st.sampled_from(STATUSES))
        ends = status in ("cancelled", "expired") and draw(st.booleans())
        ends_on = (life.starts_on + timedelta(days=draw(st.integers(0, 200)))).isoformat() if ends else None
        return time, "membership.status_changed", {"status": status, "ends_on": ends_on}
    if kind == "guests":
        guests = draw(st.lists(st.sampled_from([ADA, BEN, EVE]), min_size=1, unique=True))
        return time, "membership.guests_changed", party(*guests, lead=guests[0])
    anchor = life.starts_on + timedelta(days=draw(st.integers(0, 200)))
    return time, "membership.billing_date_moved", {"billing_anchor": anchor.isoformat()}


@st.composite
def lives(draw: st.DrawFn, *, upcoming: bool = True, facts: int = 8) -> Life:
    """A membership with all its facts told, none of them settled."""
    life = Life(
        starts_on=draw(starts),
        billing_frequency=draw(st.sampled_from(["P1M", "P1M", "P3M", "P1Y"])),
        zone=draw(st.sampled_from(ZONES)),
        automatic=draw(st.booleans()),
        guests=tuple(draw(st.lists(st.sampled_from([ADA, BEN]), min_size=1, unique=True))),
    )
    start = _start(life)
    if draw(st.booleans()):
        life.billing_anchor = life.starts_on + timedelta(days=draw(st.integers(0, 40)))
    if draw(st.booleans()):
        life.sign_up_at(start + timedelta(hours=draw(st.integers(-240, 24 * 100))))
    life.rules = [draw(rules(start, number, upcoming=upcoming)) for number in range(draw(st.integers(1, 2)))]
    for time, kind, says in draw(st.lists(tellings(life), max_size=facts)):
        life.tell(time, kind, **says)
    return life


def nows(life: Life) -> st.SearchStrategy[datetime]:
    """Instants from before the start to after everything that was told."""
    return st.integers(-300, SPAN + 24 * 60).map(lambda hours: _start(life) + timedelta(hours=hours))


def others(life: Life, number: int, minutes: Sequence[int]) -> Life:
    """Another membership that was told the same: other ids, and each fact some minutes later, in turn."""
    assert life.signed_up_at is not None
    guests = other_ids(life, number)[: len(life.guests)]
    other = Life(
        rules=life.rules,
        starts_on=life.starts_on,
        billing_anchor=life.billing_anchor,
        billing_frequency=life.billing_frequency,
        zone=life.zone,
        automatic=life.automatic,
        guests=guests,
        membership_id=UUID(int=number),
    )
    other.sign_up_at(life.signed_up_at + timedelta(minutes=minutes[0]))
    theirs = {str(own): str(their) for own, their in zip(life.everybody, other_ids(life, number), strict=True)}
    for place, event in enumerate(life.events[1:], start=1):
        later = event.time + timedelta(minutes=minutes[place % len(minutes)])
        charge_id = None if event.charge_id is None else f"{number} {event.charge_id}"
        data = {**event.data}
        if "guests" in data:
            data["guests"] = [{**guest, "guest_id": theirs[guest["guest_id"]]} for guest in data["guests"]]
        other.tell(later, event.type, charge_id=charge_id, **data)
    return other


def other_ids(life: Life, number: int) -> tuple[UUID, ...]:
    """The guests of another membership, in the places of those of this one."""
    return tuple(UUID(int=number * 1000 + place) for place in range(len(life.everybody)))
