"""Hypothesis strategies: random memberships with random histories, dense enough that their facts meet."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from issuance.deciding.calendar import Calendar
from issuance.deciding.facts import Rule
from issuance.deciding.frequency import BillingFrequency, Interval, IssuingFrequency
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
        roll_over, multi_use = draw(st.booleans()), draw(st.booleans())
        frequency = draw(st.sampled_from(IssuingFrequency))
        can_be_limited = roll_over and frequency is not IssuingFrequency.ONCE
        versions.append(
            version(
                place + 1,
                created_at,
                validity=draw(st.sampled_from([None, None, "P10D", "P1M", "P45D"])),
                membership_type_id=draw(st.sampled_from([GOLD, GOLD, GOLD, SILVER])),
                roll_over=roll_over,
                roll_over_limit=draw(st.sampled_from([None, 1, 2])) if can_be_limited else None,
                issue_on_signup=draw(st.booleans()),
                multi_use=multi_use,
                max_uses=draw(st.sampled_from([None, 2, 3])) if multi_use else None,
                for_lead_booker_only=draw(st.booleans()),
                frequency=frequency,
                include_upcoming=draw(st.booleans()) if upcoming else False,
            )
        )
    deleted_at = draw(st.one_of(st.none(), st.none(), st.integers(0, SPAN))) if upcoming else None
    made_at = draw(st.one_of(st.none(), st.none(), st.integers(-240, SPAN)))
    return rule(
        *versions,
        deleted_at=None if deleted_at is None else start + timedelta(hours=deleted_at),
        number=number,
        made_at=None if made_at is None else start + timedelta(hours=made_at),
    )


@st.composite
def tellings(draw: st.DrawFn, life: Life) -> tuple[datetime, str, dict[str, Any]]:
    """One more fact about a membership: when, of which type, and what it says. Many happen on the hour of another."""
    start = _start(life)
    hours = st.one_of(st.integers(-240, SPAN), st.sampled_from([0, 24 * 28, 24 * 28 + 9, 24 * 40]))
    time = start + timedelta(hours=draw(hours))
    kind = draw(st.sampled_from(["charge", "charge", "charge", "status", "guests", "move", "start", "type"]))
    if kind == "charge":
        return time, f"charge.{draw(st.sampled_from(STATES))}", draw(charges(life))
    if kind == "status":
        ends_on = st.integers(0, 200).map(lambda days: (life.starts_on + timedelta(days=days)).isoformat())
        said = draw(st.sampled_from(["nothing", "nothing", "date", "null"]))
        end = {} if said == "nothing" else {"ends_on": draw(ends_on) if said == "date" else None}
        return time, "membership.status_changed", {"status": draw(st.sampled_from(STATUSES)), **end}
    if kind == "guests":
        return time, "membership.guests_changed", draw(lists_of_guests())
    if kind == "start":
        starts_on = life.starts_on + timedelta(days=draw(st.integers(-15, 40)))
        later = draw(st.one_of(st.none(), st.integers(0, 20)))
        anchor = None if later is None else (starts_on + timedelta(days=later)).isoformat()
        return time, "membership.start_moved", {"starts_on": starts_on.isoformat(), "billing_anchor": anchor}
    if kind == "type":
        membership_type_id = str(draw(st.sampled_from([GOLD, SILVER])))
        current_period = draw(st.sampled_from(["keep", "switch"]))
        return (
            time,
            "membership.type_changed",
            {
                "membership_type_id": membership_type_id,
                "current_period": current_period,
            },
        )
    days = st.one_of(st.just((time - start).days), st.integers(-90, 200))
    anchor = (life.starts_on + timedelta(days=draw(days))).isoformat()
    frequency = draw(st.sampled_from([None, None, "P1M", "P2W", "P1Y"]))
    return time, "membership.billing_date_moved", {"billing_anchor": anchor, "billing_frequency": frequency}


@st.composite
def charges(draw: st.DrawFn, life: Life) -> dict[str, Any]:
    """What a fact says of a charge: often for one of the first periods, now and then some days off."""
    every = BillingFrequency.parse(life.billing_frequency).interval
    calendar = Calendar(life.zone, life.starts_on, life.billing_anchor or life.starts_on, every)
    boundaries = calendar.boundaries_past(None, life.starts_on)
    if draw(st.booleans()):
        boundaries = calendar.boundaries_past(Interval(1, 0), life.starts_on + timedelta(days=95))
    nth = draw(st.integers(0, min(3, len(boundaries) - 1)))
    first = boundaries[nth] + timedelta(days=draw(st.sampled_from([0, 0, 0, 0, 2, -1, 10])))
    length = draw(st.sampled_from([None, None, 30, 100]))
    end = None if length is None else (first + timedelta(days=length)).isoformat()
    sums = draw(st.sampled_from([{}, {}, {"amount": 10}, {"amount_refunded": 0}, {"amount": 10, "amount_refunded": 5}]))
    attempt = draw(st.sampled_from(["", "", "b"]))
    return {"charge_id": f"c{nth}{attempt}", "period_start": first.isoformat(), "period_end": end, **sums}


@st.composite
def lists_of_guests(draw: st.DrawFn) -> dict[str, Any]:
    """A party as a later list tells it: not everybody has an id there."""
    guests = draw(st.lists(st.sampled_from([ADA, BEN, EVE]), min_size=1, unique=True))
    said = party(*guests, lead=guests[0])
    for guest in said["guests"]:
        known_by = draw(st.sampled_from(["id", "id", "member", "email", "name"]))
        if known_by != "id":
            number = guest["guest_id"][-3:]
            guest["guest_id"] = None
            guest["external_user_id" if known_by == "member" else known_by] = f"of {number}"
    return said


@st.composite
def lives(draw: st.DrawFn, *, upcoming: bool = True, facts: int = 8) -> Life:
    """A membership with all its facts told, none of them settled."""
    life = Life(
        starts_on=draw(starts),
        billing_frequency=draw(st.sampled_from(["P1M", "P1M", "P3M", "P1Y", "P1W", "P2M", "P2Y"])),
        zone=draw(st.sampled_from(ZONES)),
        automatic=draw(st.booleans()),
        silver_automatic=draw(st.booleans()),
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
    life.returned_guests = draw(st.one_of(st.just({}), st.dictionaries(st.sampled_from([ADA, BEN]), nows(life))))
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
        silver_automatic=life.silver_automatic,
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
            data["guests"] = [{**guest, "guest_id": theirs.get(guest["guest_id"])} for guest in data["guests"]]
        other.tell(later, event.type, charge_id=charge_id, **data)
    return other


def other_ids(life: Life, number: int) -> tuple[UUID, ...]:
    """The guests of another membership, in the places of those of this one."""
    return tuple(UUID(int=number * 1000 + place) for place in range(len(life.everybody)))
