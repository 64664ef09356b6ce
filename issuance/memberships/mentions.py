"""Mentions: where facts speak of somebody, what they call them, and those facts without it (SEMANTICS 20)."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection, Row, text

from issuance.billing import forgotten
from issuance.billing.cloud_events import meaning
from issuance.deciding.recognition import Recognised
from issuance.engine.event_facts import GUESTS_CHANGED, IN_ORDER, SIGNED_UP, Named, named_by
from issuance.members import erased
from issuance.members.names import Names
from issuance.memberships.entries import NOBODY, Entry, Theirs

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
_SHARED = text("""
    SELECT DISTINCT guest_id FROM guests
     WHERE brand_id = :brand_id AND guest_id = ANY(:guest_ids)
       AND (membership_id, guest_id) NOT IN (
           SELECT * FROM unnest(CAST(:membership_ids AS uuid[]), CAST(:guest_ids AS uuid[])))
""")


@dataclass(slots=True)
class _Order:
    """A membership whose events name them, and who its guests are."""

    own: bool
    events: list[Row[Any]] = field(default_factory=list)
    named: Named = field(default_factory=dict)
    #: Its sign-up has not come yet, so nobody is recognised.
    waits: bool = False


class Mentions:
    """What the facts of some orders say of a member, and those facts without it."""

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
        self._theirs = Theirs(external_user_id, emails)
        self._orders: dict[UUID, _Order] = {}
        self._shared: Collection[UUID] = ()

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
        self._theirs.learn(list(self._entries()))
        self._shared = shared_ids(self._connection, self._brand_id, self._theirs)

    @property
    def emails(self) -> set[str]:
        """Their addresses, folded."""
        return self._theirs.emails

    def _entries(self) -> Iterator[Entry]:
        for membership_id, order in self._orders.items():
            for place, listed in order.named.items():
                for who, guest in zip(listed, order.events[place].data["guests"], strict=True):
                    yield membership_id, who, guest

    def names(self, *called: str | None) -> Names:
        """All that they are called by."""
        return self._theirs.names(self._place, *called, shared=self._shared)

    def rewrite(self) -> None:
        """Take their names out of the facts, and out of the table of guests."""
        rows: list[dict[str, Any]] = []
        last: dict[tuple[UUID, UUID], bool] = defaultdict(bool)
        for membership_id, order in self._orders.items():
            changes = not order.waits and any(event.type == GUESTS_CHANGED for event in order.events)
            for place, event in enumerate(order.events):
                data, theirs = self._data(membership_id, place, changes=changes)
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

    def _data(
        self, membership_id: UUID, place: int, *, changes: bool
    ) -> tuple[dict[str, Any], list[tuple[UUID, bool]]]:
        """A fact's `data` without their names, and for each guest that it names whether that is them."""
        order = self._orders[membership_id]
        event = order.events[place]
        data = dict(event.data)
        if data.get("external_user_id") == self._id:
            data["external_user_id"] = self._place
        if place not in order.named:
            return data, []
        guests, theirs = [], []
        for who, guest in zip(order.named[place], data["guests"], strict=True):
            is_theirs = self._theirs.include(membership_id, who, guest)
            theirs.append((who.guest_id, is_theirs))
            if is_theirs:
                guest = forgotten.without_names(guest, self._place)
                if self._theirs.by_id(membership_id, who, guest):
                    guest["external_user_id"] = self._place
            if changes and event.type == GUESTS_CHANGED:
                # A guest who was recognised by a name is still recognised.
                guest = {**guest, "known_as": str(who.guest_id)}
            guests.append(guest)
        data["guests"] = guests
        return data, theirs


def shared_ids(connection: Connection, brand_id: UUID, theirs: Theirs) -> set[UUID]:
    """Of the guests that a member was found to be: the ids that guests of other orders have too."""
    guests = sorted(theirs.guests)
    which = {"membership_ids": [order for order, _ in guests], "guest_ids": [guest_id for _, guest_id in guests]}
    return set(connection.scalars(_SHARED, {"brand_id": brand_id, **which}))


def _as_told(events: Sequence[Row[Any]]) -> Named:
    """The guests of an order whose sign-up has not come: as each entry names them."""
    return {
        place: [
            Recognised(UUID(guest.get("guest_id") or str(NOBODY)), guest.get("external_user_id")) for guest in guests
        ]
        for place, event in enumerate(events)
        if (guests := event.data.get("guests")) is not None
    }
