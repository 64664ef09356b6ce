"""Events as facts: what billers told, parsed once. Facts have no ids: guests go by their places, charges by their
numbers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.database.statements import Row
from issuance.deciding.archivings import Span
from issuance.deciding.facts import (
    BillingDateMoved,
    ChargeState,
    ChargeTold,
    Fact,
    Guest,
    GuestsChanged,
    MembershipFacts,
    Moment,
    SignedUp,
    StartMoved,
    StatusChanged,
    TypeChanged,
)
from issuance.deciding.frequency import BillingFrequency
from issuance.deciding.recognition import Entry, Listing, Recognised, recognised
from issuance.deciding.statuses import Status


def bytes_of(column: str) -> str:
    """In SQL, how many bytes a column of JSON has as text. Only what is compressed has to be unpacked for it."""
    return f"""(CASE WHEN pg_column_compression({column}) IS NULL THEN pg_column_size({column})
                     ELSE octet_length(CAST({column} AS text)) END)"""


SIGNED_UP, GUESTS_CHANGED = "membership.signed_up", "membership.guests_changed"
#: Events that change what earlier charges cover.
DATES_MOVED = frozenset({"membership.billing_date_moved", "membership.start_moved"})
#: The memberships of a brand that change type at some time: the rules of an earlier type may still owe them credits.
CHANGED_TYPES = """SELECT e.membership_id FROM billing_events e
                    WHERE e.brand_id = :brand_id AND e.type = 'membership.type_changed'"""
#: The order in which charges' events of one instant happened.
_OF_CHARGES = tuple(f"charge.{state}" for state in ChargeState)
#: The order in which a membership's events happened. Billers' clocks tick in seconds, so of one instant first all that
#: are no charge's, then charges' as they usually follow each other (SEMANTICS 7).
IN_ORDER = f"""
    time, array_position(CAST('{{{",".join(_OF_CHARGES)}}}' AS text[]), type) NULLS FIRST,
    source COLLATE "C", event_id COLLATE "C"
"""

#: The guests that an event names, by the event's place among the membership's.
Named = Mapping[int, Sequence[Recognised]]


def in_order(event: Any) -> tuple[object, ...]:
    """What `IN_ORDER` orders events by."""
    place = _OF_CHARGES.index(event.type) if event.type in _OF_CHARGES else -1
    return event.time, place, event.source, event.event_id


def named_by(membership_id: UUID, events: Sequence[Row]) -> Named:
    """Who the guests are that events name; the events are in order."""
    naming = [place for place, event in enumerate(events) if event.type in (SIGNED_UP, GUESTS_CHANGED)]
    if len(naming) == 1:  # a sign-up's guests all have ids
        (place,) = naming
        guests = events[place].data["guests"]
        return {place: [Recognised(UUID(guest["guest_id"]), guest.get("external_user_id")) for guest in guests]}
    # An import's lists may be earlier than its sign-up. The sign-up still names the first guests.
    naming.sort(key=lambda place: events[place].type != SIGNED_UP)
    listings = (Listing(events[place].source, events[place].event_id, _entries(events[place].data)) for place in naming)
    return dict(zip(naming, recognised(membership_id, listings), strict=True))


class GuestMember(NamedTuple):
    """Which member lists say a guest to be, by the brand's ids, and when."""

    guest_id: UUID
    external_user_id: str
    span: Span


def members_among(named: Named, told: Sequence[Fact]) -> Iterator[GuestMember]:
    """Which member a guest is, if any list says so. For each guest the latest list that does counts. `told`: the facts
    of the lists, by their places."""
    said: dict[UUID, list[tuple[datetime | None, str]]] = {}
    for place, listed in named.items():  # the sign-up's first, which counts from the start on
        since = None if isinstance(told[place], SignedUp) else told[place].moment.at
        for who in listed:
            if who.external_user_id is not None:
                said.setdefault(who.guest_id, []).append((since, who.external_user_id))
    for guest_id, names in said.items():
        ends = [since for since, _ in names[1:]]
        for (since, name), until in zip_longest(names, ends):
            yield GuestMember(guest_id, name, Span(since, until))


def numbers_of(events: Sequence[Row], order: Sequence[int] | None = None) -> dict[str, int]:
    """The number of each charge that events, which are in order, tell of: the place of the first of them among all of
    the membership's. `order`: these places; None: these are all."""
    numbers: dict[str, int] = {}
    for event, place in zip(events, order or range(len(events)), strict=True):
        if event.charge_id is not None:
            numbers.setdefault(event.charge_id, place)
    return numbers


def read_facts(
    events: Sequence[Row],
    named: Named,
    places: Mapping[UUID, int],
    zone: ZoneInfo,
    automatic: Collection[UUID],
    order: Sequence[int] | None = None,
) -> MembershipFacts:
    """The facts that a membership's events tell, in their order. `places`: of guests; `automatic`: the membership types
    with `billing: automatic`; `order`: the events' places among all of the membership's, None: these are all."""
    numbers = numbers_of(events, order)
    told = []
    for number, (event, place) in enumerate(zip(events, order or range(len(events)), strict=True)):
        listed = zip(named.get(number, ()), event.data.get("guests", ()), strict=True)
        guests = tuple(Guest(places[who.guest_id], guest["lead_booker"]) for who, guest in listed)
        told.append(_fact(event, Moment(event.time, place), guests, numbers, automatic))
    sign_up = next(event.data for event in events if event.type == SIGNED_UP)
    membership_type_id = UUID(sign_up["membership_type_id"])
    return MembershipFacts(
        membership_type_id=membership_type_id,
        zone=zone,
        automatic=membership_type_id in automatic,
        starts_on=date.fromisoformat(sign_up["starts_on"]),
        billing_anchor=date.fromisoformat(sign_up["billing_anchor"]),
        billing_frequency=BillingFrequency.parse(sign_up["billing_frequency"]),
        told=tuple(told),
    )


def _fact(
    event: Row,
    moment: Moment,
    guests: tuple[Guest, ...],
    numbers: Mapping[str, int],
    automatic: Collection[UUID],
) -> Fact:
    data = event.data
    match event.type:
        case "membership.signed_up":
            return SignedUp(moment, guests)
        case "membership.guests_changed":
            return GuestsChanged(moment, guests)
        case "membership.status_changed":
            ends_on = _date(data.get("ends_on"))
            return StatusChanged(moment, Status(data["status"]), ends_on, "ends_on" in data and ends_on is None)
        case "membership.billing_date_moved":
            frequency = data.get("billing_frequency")
            anchor = date.fromisoformat(data["billing_anchor"])
            return BillingDateMoved(moment, anchor, None if frequency is None else BillingFrequency.parse(frequency))
        case "membership.start_moved":
            starts_on = date.fromisoformat(data["starts_on"])
            return StartMoved(moment, starts_on, _date(data.get("billing_anchor")) or starts_on)
        case "membership.type_changed":
            membership_type_id = UUID(data["membership_type_id"])
            switches = data.get("current_period") == "switch"
            return TypeChanged(moment, membership_type_id, membership_type_id in automatic, switches)
    return ChargeTold(
        moment,
        numbers[event.charge_id],
        ChargeState(event.type.removeprefix("charge.")),
        date.fromisoformat(data["period_start"]),
        _date(data.get("period_end")),
        _decimal(data.get("amount")),
        _decimal(data.get("amount_refunded")),
    )


def _entries(data: Mapping[str, Any]) -> list[Entry]:
    return [
        Entry(
            None if guest.get("guest_id") is None else UUID(guest["guest_id"]),
            guest.get("external_user_id"),
            guest["name"],
            guest.get("email"),
            guest["lead_booker"],
            None if guest.get("known_as") is None else UUID(guest["known_as"]),
        )
        for guest in data["guests"]
    ]


def _date(said: str | None) -> date | None:
    return None if said is None else date.fromisoformat(said)


def _decimal(said: object) -> Decimal | None:
    return None if said is None else Decimal(str(said))
