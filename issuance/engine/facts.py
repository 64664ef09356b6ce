"""Memberships' facts from PostgreSQL, in a handful of set-based queries, whatever the size of the batch.

Events are parsed here, once. Decisions read facts without ids; writing finds the ids again by the guest's place, the
charge's number and the credit's key.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from issuance.deciding.facts import (
    BillingDateMoved,
    ChargeState,
    ChargeTold,
    Credit,
    CreditKey,
    Fact,
    Guest,
    GuestsChanged,
    MembershipFacts,
    Moment,
    SignedUp,
    Status,
    StatusChanged,
)
from issuance.deciding.frequency import BillingFrequency
from issuance.deciding.history import History
from issuance.engine.rows import id_array
from issuance.engine.schedules import State

SIGNED_UP, GUESTS_CHANGED = "membership.signed_up", "membership.guests_changed"
#: The columns of a credit that its key does not hold, by the names of `Credit`.
_OF_CREDIT = [column.name for column in fields(Credit) if column.name != "key"]

# Each table is read by its own key, so that the planner has no choice: right after an import it knows no sizes.
_MEMBERSHIPS = text("""
    SELECT m.membership_id, m.membership_type_id, m.member_id, m.starts_on, m.billing_anchor,
           m.billing_frequency, m.status, m.ends_on, s.due_at, s.settled_at, s.fingerprint,
           (SELECT t.billing = 'automatic' FROM membership_types t
             WHERE (t.brand_id, t.membership_type_id) = (m.brand_id, m.membership_type_id)) AS automatic
      FROM memberships m,
           LATERAL (SELECT s.due_at, s.settled_at, s.fingerprint
                      FROM membership_schedules p JOIN schedules s USING (brand_id, schedule_id)
                     WHERE (p.brand_id, p.membership_id) = (m.brand_id, m.membership_id) OFFSET 0) s
     WHERE m.brand_id = :brand_id AND m.membership_id = ANY(CAST(:ids AS uuid[]))
     ORDER BY m.membership_id
""")
# Facts name guests by the brand's ids.
_ARCHIVED = text("""
    SELECT member_id, external_user_id, archived_at FROM members
     WHERE brand_id = :brand_id AND archived_at IS NOT NULL
       AND (member_id = ANY(:members) OR external_user_id = ANY(:named))
""")
_EVENTS = text("""
    SELECT membership_id, source, event_id, type, time, charge_id, data, settled_at IS NULL AS is_news
      FROM billing_events
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
     ORDER BY membership_id, time, source COLLATE "C", event_id COLLATE "C"
""")
_GUESTS = text("""
    SELECT membership_id, guest_id FROM guests
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[])) ORDER BY membership_id, place
""")
_CREDITS = text(f"""
    SELECT membership_id, credit_id, credit_rule_id, guest_id, period_start, reissue, {", ".join(_OF_CREDIT)}
      FROM credits
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
     ORDER BY membership_id, credit_id
""")


@dataclass(slots=True)
class Membership:
    """A membership as it was loaded: its facts and credits, and the ids that they leave out."""

    membership_id: UUID
    facts: MembershipFacts
    #: How its last settling left it.
    state: State
    #: What lists have shown since then.
    status: str
    ends_on: date | None
    credits: list[Credit] = field(default_factory=list)
    #: The events behind `facts.told`, in the same order.
    events: list[Row[Any]] = field(default_factory=list)
    #: By place.
    guest_ids: list[UUID] = field(default_factory=list)
    #: By number.
    charge_ids: list[str] = field(default_factory=list)
    credit_ids: dict[CreditKey, UUID] = field(default_factory=dict)
    #: The place of each guest.
    places: dict[UUID, int] = field(default_factory=dict)

    @property
    def news(self) -> list[Row[Any]]:
        """The accepted events that no settling has seen yet."""
        return [event for event in self.events if event.is_news]

    def has_news(self, now: datetime) -> bool:
        """Whether a fact arrived, or one that was announced happened, since the last settling."""
        settled_at = self.state.settled_at
        return settled_at is None or any(event.is_news or settled_at < event.time <= now for event in self.events)

    def history(self, now: datetime) -> History:
        """What had happened by an instant, with the credits as they were loaded."""
        return History(self.facts, self.credits, now)


def load(connection: Connection, brand_id: UUID, zone: ZoneInfo, ids: Iterable[object]) -> list[Membership]:
    """Memberships with all that is known of them, ordered by id. Unknown ids are ignored.

    Lock their schedules first if the answer must stay true until the transaction ends.
    """
    which = {"brand_id": brand_id, "ids": id_array(ids)}
    rows = connection.execute(_MEMBERSHIPS, which).all()
    if not rows:
        return []
    events: dict[UUID, list[Row[Any]]] = {row.membership_id: [] for row in rows}
    for event in connection.execute(_EVENTS, which):
        events[event.membership_id].append(event)
    guests = _guests(connection, brand_id, events)
    archived = _archived(connection, brand_id, rows, events)
    loaded = {
        row.membership_id: _membership(row, zone, events[row.membership_id], guests[row.membership_id], archived)
        for row in rows
    }
    for row in connection.execute(_CREDITS, which):
        membership = loaded[row.membership_id]
        said = row._mapping
        key = CreditKey(row.credit_rule_id, membership.places[row.guest_id], row.period_start, row.reissue)
        membership.credits.append(Credit(key, **{name: said[name] for name in _OF_CREDIT}))
        membership.credit_ids[key] = row.credit_id
    return list(loaded.values())


def _guests(connection: Connection, brand_id: UUID, events: dict[UUID, list[Row[Any]]]) -> dict[UUID, list[UUID]]:
    """The guests of each order, in the order in which they were first named. Where a later list names others, guests
    who were settled keep their places, and new ones come after them."""
    changed = [one for one, about in events.items() if any(event.type == GUESTS_CHANGED for event in about)]
    known: dict[UUID, list[UUID]] = {}
    if changed:
        for row in connection.execute(_GUESTS, {"brand_id": brand_id, "ids": id_array(changed)}):
            known.setdefault(row.membership_id, []).append(row.guest_id)
    guests = {}
    for membership_id, about in events.items():
        named = (UUID(guest["guest_id"]) for event in about for guest in event.data.get("guests", ()))
        guests[membership_id] = list(dict.fromkeys([*known.get(membership_id, ()), *named]))
    return guests


def _archived(
    connection: Connection, brand_id: UUID, rows: Collection[Row[Any]], events: dict[UUID, list[Row[Any]]]
) -> dict[UUID | str, datetime]:
    """Since when members are archived, of all that these memberships, their guests and their news name; by their own
    ids and by the brand's."""
    named = {
        guest["external_user_id"]
        for about in events.values()
        for event in about
        for guest in event.data.get("guests", ())
        if guest.get("external_user_id")
    }
    members = {row.member_id for row in rows}
    found = connection.execute(_ARCHIVED, {"brand_id": brand_id, "members": list(members), "named": list(named)})
    return {known_by: row.archived_at for row in found for known_by in (row.member_id, row.external_user_id)}


def _membership(
    row: Row[Any], zone: ZoneInfo, events: list[Row[Any]], guest_ids: list[UUID], archived: dict[UUID | str, datetime]
) -> Membership:
    charge_ids = list(dict.fromkeys(event.charge_id for event in events if event.charge_id is not None))
    places = {str(guest_id): place for place, guest_id in enumerate(guest_ids)}
    numbers = {charge_id: number for number, charge_id in enumerate(charge_ids)}
    facts = MembershipFacts(
        membership_type_id=row.membership_type_id,
        zone=zone,
        automatic=row.automatic,
        starts_on=row.starts_on,
        billing_anchor=row.billing_anchor,
        billing_frequency=BillingFrequency(row.billing_frequency),
        told=tuple(read_fact(event, place, places, numbers) for place, event in enumerate(events)),
        archived_at=archived.get(row.member_id),
        archived_guests=_archived_guests(events, places, archived) if archived else (),
    )
    state = State(row.due_at, row.settled_at, row.fingerprint)
    return Membership(
        row.membership_id,
        facts,
        state,
        row.status,
        row.ends_on,
        events=events,
        guest_ids=guest_ids,
        charge_ids=charge_ids,
        places={guest_id: place for place, guest_id in enumerate(guest_ids)},
    )


def _archived_guests(
    events: list[Row[Any]], places: dict[str, int], archived: dict[UUID | str, datetime]
) -> tuple[tuple[int, datetime], ...]:
    """The places of archived guests, and since when. The latest fact says which member a guest is."""
    names = {
        guest["guest_id"]: guest["external_user_id"]
        for event in events
        for guest in event.data.get("guests", ())
        if guest.get("external_user_id")
    }
    return tuple(sorted((places[guest_id], archived[name]) for guest_id, name in names.items() if name in archived))


def read_fact(event: Row[Any], place: int, places: dict[str, int], numbers: dict[str, int]) -> Fact:
    """The fact that an event tells. `places`: of guests, by id; `numbers`: of charges, by id."""
    moment = Moment(event.time, place)
    data = event.data
    match event.type:
        case "membership.signed_up":
            return SignedUp(moment, _party(data, places))
        case "membership.status_changed":
            return StatusChanged(moment, Status(data["status"]), _date(data.get("ends_on")))
        case "membership.billing_date_moved":
            return BillingDateMoved(moment, date.fromisoformat(data["billing_anchor"]))
        case "membership.guests_changed":
            return GuestsChanged(moment, _party(data, places))
    return ChargeTold(
        moment,
        numbers[event.charge_id],
        ChargeState(event.type.removeprefix("charge.")),
        date.fromisoformat(data["period_start"]),
        _date(data.get("period_end")),
        _decimal(data.get("amount")),
        _decimal(data.get("amount_refunded")),
    )


def _party(data: dict[str, Any], places: dict[str, int]) -> tuple[Guest, ...]:
    return tuple(Guest(places[guest["guest_id"]], guest["lead_booker"]) for guest in data["guests"])


def _date(said: str | None) -> date | None:
    return None if said is None else date.fromisoformat(said)


def _decimal(said: object) -> Decimal | None:
    return None if said is None else Decimal(str(said))
