"""Forgetting: an archived member's names and ids are taken out of everything that is kept (SEMANTICS 20).

Credits, periods, amounts and decisions stay as they were: who is who on each list of guests is found once more before
the names go, and written beside them. What was told is still known, by a hash of what it said.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from pydantic_core import to_json
from sqlalchemy import Connection, Row, text

from issuance import audit
from issuance.billing import forgotten
from issuance.billing.cloud_events import meaning
from issuance.credits import holders
from issuance.credits.credits import STILL_OUT
from issuance.deciding.recognition import Recognised
from issuance.engine import schedules
from issuance.engine.event_facts import GUESTS_CHANGED, IN_ORDER, SIGNED_UP, Named, bytes_of, named_by
from issuance.errors import Invalid
from issuance.members import erased, members, words
from issuance.members.members import Forgotten
from issuance.members.names import Names, folded
from issuance.memberships import scrubbing
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock

# One translates a biller's webhooks at a time (billers/deliveries.py): what it holds is changed here.
_HOLD_BILLERS = text("""
    SELECT pg_advisory_xact_lock(hashtextextended('billers ' || CAST(biller_id AS text), 0))
      FROM billers WHERE brand_id = :brand_id ORDER BY biller_id
""")
_HOLD_REDEMPTIONS = text("""
    SELECT FROM redemptions WHERE brand_id = :brand_id AND member_id = :member_id ORDER BY redemption_id FOR UPDATE
""")
_CALLED = text("""
    SELECT external_user_id, display_name, email FROM members WHERE brand_id = :brand_id AND member_id = :member_id
""")
# Those that name them, settled or not. Addresses are among the words that people are found by, as they are called now;
# what they were called before stands on lists that others have come after.
_ORDERS = text(f"""
      WITH changed AS MATERIALIZED (
           SELECT DISTINCT membership_id FROM billing_events
            WHERE brand_id = :brand_id AND type = 'membership.guests_changed' AND settled_at IS NOT NULL)
    SELECT membership_id FROM memberships WHERE brand_id = :brand_id AND member_id = :member_id
     UNION
    SELECT membership_id FROM guests WHERE brand_id = :brand_id AND member_id = :member_id
     UNION
    SELECT subject_id FROM search_words WHERE brand_id = :brand_id AND word = ANY(:words) AND NOT of_member
     UNION
    SELECT membership_id
      FROM (SELECT membership_id, data FROM billing_events
             WHERE brand_id = :brand_id AND settled_at IS NULL
               AND type IN ('membership.signed_up', 'membership.guests_changed')
             UNION ALL
            SELECT membership_id, data FROM billing_events JOIN changed USING (membership_id)
             WHERE brand_id = :brand_id AND settled_at IS NOT NULL
               AND type IN ('membership.signed_up', 'membership.guests_changed')) naming
     WHERE data @> CAST(:as_guest AS jsonb) OR data @> CAST(:as_member AS jsonb)
           OR EXISTS (SELECT FROM unnest(CAST(:words AS text[])) AS word WHERE position(word IN lower(data::text)) > 0)
     UNION
    SELECT membership_id FROM credits WHERE brand_id = :brand_id AND credit_id IN ({holders.RECEIVED})
     ORDER BY 1
""")
# Using one writes down whom it names.
_HOLD_CREDITS = text(f"""
    SELECT FROM credits WHERE brand_id = :brand_id AND membership_id = ANY(:membership_ids) AND {STILL_OUT}
     ORDER BY credit_id FOR NO KEY UPDATE
""")
_EVENTS = text(f"""
    SELECT e.membership_id, e.source, e.event_id, e.type, e.time, e.charge_id, e.data, e.unknown_fields, e.said_hash,
           m.member_id
      FROM billing_events e LEFT JOIN memberships m USING (brand_id, membership_id)
     WHERE e.brand_id = :brand_id AND e.membership_id = ANY(:membership_ids)
     ORDER BY e.membership_id, {IN_ORDER}
""")
_REWRITE = text("""
    UPDATE billing_events e
       SET data = new.data, unknown_fields = new.unknown_fields, said_hash = coalesce(e.said_hash, new.said_hash)
      FROM json_to_recordset(CAST(:rows AS json))
           AS new (source text, event_id text, data jsonb, unknown_fields jsonb, said_hash bytea)
     WHERE e.brand_id = :brand_id AND e.source = new.source AND e.event_id = new.event_id
""")
_GUESTS = text("""
    UPDATE guests SET name = :place, email = NULL
     WHERE brand_id = :brand_id AND membership_id = ANY(:membership_ids)
       AND (member_id = :member_id OR (member_id IS NULL AND (membership_id, guest_id) IN (
            SELECT new.membership_id, new.guest_id
              FROM json_to_recordset(CAST(:rows AS json)) AS new (membership_id uuid, guest_id uuid))))
""")
#: Facts of all the orders that name a member who is forgotten, and their bytes as JSON, if it is bounded.
MOST_FACTS, MOST_BYTES = 10_000, 20_000_000
_HOW_MUCH = text(f"""
    SELECT count(*) AS facts, sum({bytes_of("data")} + coalesce({bytes_of("unknown_fields")}, 0)) AS bytes
      FROM billing_events WHERE brand_id = :brand_id AND membership_id = ANY(:membership_ids)
""")
#: Of whom an order's sign-up has not told yet.
_NOBODY = UUID(int=0)


class TooMuchToErase(Invalid):
    """More was told of the orders that name this member than is read at once: use the command line, which has no
    limit."""

    code = "too_much_to_erase"


class Erasure(NamedTuple):
    """What became of a member who was forgotten, and the memberships to settle after the commit."""

    external_user_id: str
    erased_at: datetime
    membership_ids: list[UUID]


@dataclass(slots=True)
class _Order:
    """A membership whose events name them: who its guests are."""

    own: bool
    events: list[Row[Any]] = field(default_factory=list)
    named: Named = field(default_factory=dict)
    #: Its sign-up has not come yet, so nobody is recognised.
    waits: bool = False


def erase(
    connection: Connection,
    brand_id: UUID,
    external_user_id: str,
    *,
    place: str | None = None,
    addresses: Iterable[str] = (),
    bounded: bool = False,
) -> Erasure:
    """Forget an archived member; doing it again changes nothing. The random id is `place`, if it was given before;
    `addresses` are e-mail addresses of theirs that are known from elsewhere.

    Waits for intake under way and keeps it out until the transaction ends. Raises MemberNotFound, MemberNotArchived;
    `bounded`: TooMuchToErase.
    """
    clock = hold(connection, brand_id)
    held = members.hold_to_erase(connection, brand_id, external_user_id)
    if isinstance(held, Forgotten):
        return Erasure(held.external_user_id, held.erased_at, [])
    place = place or str(uuid4())
    parameters = {"brand_id": brand_id, "member_id": held}
    connection.execute(_HOLD_REDEMPTIONS, parameters)
    called = connection.execute(_CALLED, parameters).one()
    emails = {folded(one) for one in (called.email, *addresses) if one}
    words.write_all(connection, brand_id)  # by which orders are found that have nothing of theirs but the address
    orders = _orders(connection, parameters, external_user_id, emails)
    if bounded:
        told = connection.execute(_HOW_MUCH, {"brand_id": brand_id, "membership_ids": orders}).one()
        if told.facts > MOST_FACTS or (told.bytes or 0) > MOST_BYTES:
            raise TooMuchToErase
    # What is being settled is told by name: it is waited for, and begins anew without.
    schedules.wake(connection, brand_id, orders, clock.now)
    theirs = _Theirs(connection, brand_id, held, external_user_id, place, emails)
    theirs.read(orders)
    if theirs.emails != emails:
        orders = _orders(connection, parameters, external_user_id, theirs.emails)
        schedules.wake(connection, brand_id, orders, clock.now)
        theirs.read(orders)
    connection.execute(_HOLD_CREDITS, {"brand_id": brand_id, "membership_ids": orders})
    now = clocks.once_locked(connection, brand_id, clock).now
    words.write_all(connection, brand_id)  # nobody writes old ones any more
    erased.note(connection, brand_id, held, [external_user_id], theirs.emails)
    theirs.rewrite()
    members.erase(connection, brand_id, Forgotten(held, place, now))
    scrubbing.scrub(connection, brand_id, theirs.names(called.display_name), orders)
    audit.write(connection, brand_id, "member.erased", held, after={"external_user_id": place})
    return Erasure(place, now, orders)


def hold(connection: Connection, brand_id: UUID) -> BrandClock:
    """Wait for translating and intake, and keep more of it out until the transaction ends: the brand's clock."""
    clock = clocks.read(connection, brand_id, lock=True)
    connection.execute(_HOLD_BILLERS, {"brand_id": brand_id})
    erased.alone(connection, brand_id)
    return clock


def _orders(connection: Connection, which: dict[str, UUID], external_user_id: str, emails: Iterable[str]) -> list[UUID]:
    named = {
        "as_guest": to_json({"guests": [{"external_user_id": external_user_id}]}).decode(),
        "as_member": to_json({"external_user_id": external_user_id}).decode(),
    }
    return list(connection.scalars(_ORDERS, {**which, **named, "words": [email[:100] for email in emails]}))


class _Theirs:
    """What facts say of somebody, and those facts without it."""

    def __init__(
        self,
        connection: Connection,
        brand_id: UUID,
        member_id: UUID,
        external_user_id: str,
        place: str,
        emails: set[str],
    ) -> None:
        self._connection, self._brand_id, self._member_id = connection, brand_id, member_id
        self._id, self._place = external_user_id, place
        self.emails = set(emails)
        self._called: set[str] = set()
        self._guest_ids: set[str] = set()
        self._orders: dict[UUID, _Order] = {}

    def read(self, membership_ids: Sequence[UUID]) -> None:
        """Find out who is who on these orders, and what else they are called."""
        self._orders = {}
        parameters = {"brand_id": self._brand_id, "membership_ids": list(membership_ids)}
        for event in self._connection.execute(_EVENTS, parameters):
            order = self._orders.setdefault(event.membership_id, _Order(event.member_id == self._member_id))
            order.events.append(event)
        for membership_id, order in self._orders.items():
            order.waits = all(event.type != SIGNED_UP for event in order.events)
            order.named = _as_told(order.events) if order.waits else named_by(membership_id, order.events)
        # By the id first, which says what else they are called; then by any of their addresses; then who was found so.
        for is_theirs in (self._has_the_id, self._is_theirs, self._is_theirs):
            for who, guest in self._entries():
                if is_theirs(who, guest):
                    self._hear(who, guest)

    def _entries(self) -> Iterator[tuple[Recognised, dict[str, Any]]]:
        for order in self._orders.values():
            for place, listed in order.named.items():
                yield from zip(listed, order.events[place].data["guests"], strict=True)

    def _has_the_id(self, who: Recognised, guest: dict[str, Any]) -> bool:
        return self._id in (guest.get("external_user_id"), who.external_user_id)

    def _is_theirs(self, who: Recognised, guest: dict[str, Any]) -> bool:
        """Whether an entry is of them: by their id, or where it has no other by their address, or where it has neither
        as a guest who was found to be they."""
        if guest.get("external_user_id") is not None:
            return bool(guest["external_user_id"] == self._id)
        if self._has_the_id(who, guest):
            return True
        if guest.get("email"):
            return folded(guest["email"]) in self.emails
        return who.external_user_id is None and str(who.guest_id) in self._guest_ids

    def _hear(self, who: Recognised, guest: dict[str, Any]) -> None:
        if guest.get("external_user_id") not in (None, self._id):
            return
        self._called.add(guest["name"])
        if who.guest_id != _NOBODY:
            self._guest_ids.add(str(who.guest_id))
        if guest.get("email"):
            self.emails.add(folded(guest["email"]))

    def names(self, *called: str | None) -> Names:
        """All that they are called by."""
        everything = {one for one in (*called, *self._called) if one} - {self._id, self._place}
        return Names(
            ids={self._id: self._place},
            emails=dict.fromkeys(self.emails, self._place),
            called=dict.fromkeys(everything, self._place),
            guest_ids=dict.fromkeys(self._guest_ids, self._place),
        )

    def rewrite(self) -> None:
        """Take what they are called out of facts, and of guests as they are listed."""
        rows: list[dict[str, Any]] = []
        last: dict[tuple[UUID, UUID], bool] = defaultdict(bool)
        for membership_id, order in self._orders.items():
            changes = not order.waits and any(event.type == GUESTS_CHANGED for event in order.events)
            for place, event in enumerate(order.events):
                data, theirs = self._data(order, place, changes=changes)
                for guest_id, is_theirs in theirs:
                    last[membership_id, guest_id] = is_theirs
                places = {index: self._place for index, (_, is_theirs) in enumerate(theirs) if is_theirs}
                unknown = event.unknown_fields and (
                    forgotten.unknown_without(event.unknown_fields, self.names(), places, is_own=order.own) or None
                )
                if (data, unknown) != (event.data, event.unknown_fields):
                    said = meaning(event.type, event.time, event.membership_id, event.charge_id, event.data)
                    kept = erased.said_hashes(self._connection, self._brand_id, said)[0]
                    rows.append({
                        "source": event.source, "event_id": event.event_id, "data": data, "unknown_fields": unknown,
                        "said_hash": f"\\x{kept.hex()}",
                    })  # fmt: skip
        if rows:
            self._connection.execute(_REWRITE, {"brand_id": self._brand_id, "rows": to_json(rows).decode()})
        listed = [{"membership_id": one, "guest_id": guest} for (one, guest), is_theirs in last.items() if is_theirs]
        parameters = {"brand_id": self._brand_id, "member_id": self._member_id, "place": self._place}
        parameters |= {"membership_ids": list(self._orders), "rows": to_json(listed).decode()}
        self._connection.execute(_GUESTS, parameters)

    def _data(self, order: _Order, place: int, *, changes: bool) -> tuple[dict[str, Any], list[tuple[UUID, bool]]]:
        """What a fact understands, without them; and of each guest that it names whether it is they."""
        event = order.events[place]
        data = dict(event.data)
        if data.get("external_user_id") == self._id:
            data["external_user_id"] = self._place
        if place not in order.named:
            return data, []
        guests, theirs = [], []
        for who, guest in zip(order.named[place], data["guests"], strict=True):
            is_theirs = self._is_theirs(who, guest)
            theirs.append((who.guest_id, is_theirs))
            if is_theirs:
                guest = forgotten.without_names(guest, self._place)
                if self._has_the_id(who, guest):
                    guest["external_user_id"] = self._place
            if changes and event.type == GUESTS_CHANGED:
                # Whoever was told from others by a name stays who they are.
                guest = {**guest, "known_as": str(who.guest_id)}
            guests.append(guest)
        data["guests"] = guests
        return data, theirs


def _as_told(events: Sequence[Row[Any]]) -> Named:
    """Who the guests are of an order whose sign-up has not come: whom each entry names itself."""
    return {
        place: [
            Recognised(UUID(guest.get("guest_id") or str(_NOBODY)), guest.get("external_user_id")) for guest in guests
        ]
        for place, event in enumerate(events)
        if (guests := event.data.get("guests")) is not None
    }
