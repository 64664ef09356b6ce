"""Memberships' facts from PostgreSQL, in a handful of set-based queries, whatever the size of the batch.

Events are parsed here, once. Decisions read facts without ids; writing finds the ids again by the guest's place, the
charge's number and the credit's key.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import accumulate
from operator import attrgetter
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from issuance import limits
from issuance.database.statements import Row, Statement
from issuance.deciding.facts import NO_PERIOD, NO_RULE, Credit, CreditKey, Held, HeldState
from issuance.engine.archivings import Archiving, archivings_of, with_archivings
from issuance.engine.event_facts import (
    GUESTS_CHANGED,
    IN_ORDER,
    Named,
    bytes_of,
    named_by,
    numbers_of,
    read_facts,
)
from issuance.engine.membership import Listed, Membership
from issuance.engine.rows import id_array
from issuance.engine.states import State
from issuance.errors import IssuanceError

_BYTES = bytes_of("data")
#: The columns of a credit that its key does not hold, by the names of `Credit`.
_OF_CREDIT = [column.name for column in fields(Credit) if column.name != "key"]
_of_credit = attrgetter(*_OF_CREDIT)

# Each table is read by its own key, so that the planner has no choice: right after an import it knows no sizes.
_EACH = """
    SELECT m.membership_id, m.membership_type_id, m.member_id, m.starts_on, m.billing_anchor, m.billing_frequency,
           m.status, m.ends_on,
           s.due_at, s.settled_at, s.fingerprint,
           EXISTS (SELECT FROM held_credits h
                    WHERE h.brand_id = :brand_id AND h.membership_id = m.membership_id) AS has_held,
           ARRAY(SELECT t.membership_type_id FROM membership_types t
                  WHERE t.brand_id = :brand_id AND t.billing = 'automatic') AS automatic_types,
           (SELECT sum({bytes}) FROM billing_events e
             WHERE (e.brand_id, e.membership_id) = (:brand_id, m.membership_id)) AS bytes,
           {more}
      FROM memberships m,
           LATERAL (SELECT s.due_at, s.settled_at, s.fingerprint
                      FROM membership_schedules p JOIN schedules s USING (brand_id, schedule_id)
                     WHERE (p.brand_id, p.membership_id) = (:brand_id, m.membership_id) OFFSET 0) s
     WHERE m.brand_id = :brand_id AND m.membership_id = ANY(CAST(:ids AS uuid[]))
     ORDER BY m.membership_id
"""
_MEMBERSHIPS = Statement(_EACH.format(bytes=_BYTES, more="false AS is_long"))
#: Also whether they have more credits than a short life: then what can't change any more is not loaded, if it is known.
_MEMBERSHIPS_BY_LENGTH = Statement(
    _EACH.format(
        bytes=_BYTES,
        more="""(SELECT count(*) FROM (SELECT FROM credits c
                   WHERE c.brand_id = :brand_id AND c.membership_id = m.membership_id LIMIT :short + 1) AS few
                ) > :short AS is_long""",
    )
)
_EVENTS = Statement(f"""
    SELECT membership_id, source, event_id, type, time, charge_id, data, settled_at IS NULL AS is_news,
           CAST(NULL AS integer) AS place
      FROM billing_events
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
     ORDER BY membership_id, {IN_ORDER} LIMIT :most
""")
_GUESTS = Statement("""
    SELECT membership_id, guest_id FROM guests
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[])) ORDER BY membership_id, place
""")
#: The columns of a credit as `assembled` reads them.
CREDIT_COLUMNS = ", ".join(
    ["membership_id", "credit_id", "credit_rule_id", "guest_id", "period_start", "reissue", *_OF_CREDIT]
)
_CREDITS = Statement(f"""
    SELECT {CREDIT_COLUMNS}
      FROM credits
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
     ORDER BY membership_id, credit_id
""")
_NUMBERS = Statement(f"""
    SELECT membership_id, max(credits) AS credits, max(facts) AS facts, max(bytes) AS bytes
      FROM (SELECT membership_id, count(*) AS credits, 0 AS facts, 0 AS bytes FROM credits
             WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[])) GROUP BY membership_id
             UNION ALL
            SELECT membership_id, 0, count(*), sum({_BYTES}) FROM billing_events
             WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[])) GROUP BY membership_id) AS counted
     GROUP BY membership_id
""")
_HELD = Statement("""
    SELECT membership_id, credit_rule_id, guest_id, period_start, reissue, held_at, state, manual, run_id
      FROM held_credits
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
""")


class FactLimit(IssuanceError):
    """More facts are known of this than are read at once: ask for less at a time. Of one membership 10,000 are read, of
    20 MB together."""

    code = "too_many_facts"
    status = 422


def together(connection: Connection, brand_id: UUID, ids: Sequence[str], most: int, most_credits: int) -> int:
    """How many of the first memberships may be loaded together: at most `most`, with at most `most_credits` credits,
    `loaded_facts` facts and `loaded_bytes` bytes of these between them. At least one."""
    first = ids[:most]
    if len(first) < 2:
        return len(first)
    parameters = {"brand_id": brand_id, "ids": id_array(first)}
    numbers = {str(row.membership_id): row for row in _NUMBERS.found(connection, parameters)}
    credits = facts = size = 0
    bounds = limits.current.settling
    for place, membership_id in enumerate(first):
        if membership_id in numbers:
            credits += numbers[membership_id].credits
            facts += numbers[membership_id].facts
            size += numbers[membership_id].bytes
        most_facts = min(bounds.loaded_facts, _most_facts(place + 1))
        if credits > most_credits or facts > most_facts or size > bounds.loaded_bytes:
            return max(place, 1)
    return len(first)


def loaded(
    connection: Connection, brand_id: UUID, zone: ZoneInfo, ids: Iterable[object], *, with_credits: bool = True
) -> Iterator[list[Membership]]:
    """Memberships, as many at once as may be in memory. `with_credits=False` leaves their credits out. Raises
    FactLimit."""
    left, bounds = [str(one) for one in ids], limits.current.settling
    while left:
        number = together(connection, brand_id, left, bounds.loaded, bounds.loaded_credits)
        yield load(connection, brand_id, zone, left[:number], with_credits=with_credits)
        left = left[number:]


def load(
    connection: Connection,
    brand_id: UUID,
    zone: ZoneInfo,
    ids: Iterable[object],
    *,
    with_credits: bool = True,
    as_fit: bool = False,
) -> list[Membership]:
    """Memberships with all that is known of them, ordered by id. `with_credits=False` leaves their credits out.
    `as_fit`: only the first of them, as many as fit into memory together. Unknown ids are ignored. Raises FactLimit.

    Lock their schedules first if the answer must stay true until the transaction ends.
    """
    rows = _MEMBERSHIPS.found(connection, {"brand_id": brand_id, "ids": id_array(ids)})
    if as_fit:
        sizes = accumulate(row.bytes or 0 for row in rows)
        most = limits.current.settling.loaded_bytes
        fits = sum(size <= most for size in sizes)
        rows = rows[: max(fits, 1)]
    return load_rows(connection, brand_id, zone, rows, with_credits=with_credits)


def _most_facts(memberships: int) -> int:
    """The most facts that are read of so many memberships."""
    bounds = limits.current.settling
    return bounds.facts + (memberships - 1) * bounds.facts_each


def weigh(rows: Iterable[Row]) -> None:
    """Raises FactLimit where the facts of memberships have more bytes than are in memory at once."""
    if sum(row.bytes or 0 for row in rows) > limits.current.settling.loaded_bytes:
        raise FactLimit


def load_rows(
    connection: Connection, brand_id: UUID, zone: ZoneInfo, rows: Sequence[Row], *, with_credits: bool = True
) -> list[Membership]:
    """`load`, of memberships that were looked up."""
    if not rows:
        return []
    weigh(rows)
    parameters = {"brand_id": brand_id, "ids": id_array(row.membership_id for row in rows)}
    most = _most_facts(len(rows))
    told = _EVENTS.found(connection, {**parameters, "most": most + 1})
    if len(told) > most:
        raise FactLimit
    out = _CREDITS.found(connection, parameters) if with_credits else ()
    return assembled(connection, brand_id, zone, rows, told, out)


def look_up(connection: Connection, brand_id: UUID, ids: Iterable[object]) -> list[Row]:
    """The rows that `load_rows` asks for, and whether each membership has more credits than a short life."""
    parameters = {"brand_id": brand_id, "ids": id_array(ids), "short": limits.current.settling.short}
    return _MEMBERSHIPS_BY_LENGTH.found(connection, parameters)


def assembled(
    connection: Connection,
    brand_id: UUID,
    zone: ZoneInfo,
    rows: Sequence[Row],
    told: Iterable[Row],
    out: Iterable[Row],
) -> list[Membership]:
    """Memberships of their rows, their events in order and their credits by id."""
    events: dict[UUID, list[Row]] = {row.membership_id: [] for row in rows}
    for event in told:
        events[event.membership_id].append(event)
    named = {membership_id: named_by(membership_id, about) for membership_id, about in events.items()}
    guests = _guests(connection, brand_id, events, named)
    archivings = archivings_of(connection, brand_id, rows, named)
    loaded = {}
    for row in rows:
        one = row.membership_id
        loaded[one] = _membership(row, zone, events[one], named[one], guests[one], archivings)
    has_held = [row.membership_id for row in rows if row.has_held]
    if has_held:
        _add_held(connection, brand_id, loaded, has_held)
    for row in out:
        membership = loaded[row.membership_id]
        said = dict(zip(_OF_CREDIT, _of_credit(row), strict=True))
        key = CreditKey(row.credit_rule_id, membership.places[row.guest_id], row.period_start, row.reissue)
        if row.credit_rule_id is None:
            # Numbered as they were given: their ids grow with time.
            number = sum(credit.is_grant for credit in membership.credits)
            key, said["rule_version"] = CreditKey(NO_RULE, key.place, NO_PERIOD, number), 0
        membership.credits.append(Credit(key, **said))
        membership.credit_ids[key] = row.credit_id
    return list(loaded.values())


def _add_held(
    connection: Connection, brand_id: UUID, loaded: dict[UUID, Membership], has_held: Collection[UUID]
) -> None:
    """Add what a guard held back to the facts. `has_held`: the memberships of which it held something."""
    found: dict[UUID, list[Held]] = {}
    for row in _HELD.found(connection, {"brand_id": brand_id, "ids": id_array(has_held)}):
        place = loaded[row.membership_id].places[row.guest_id]
        key = CreditKey(row.credit_rule_id, place, row.period_start, row.reissue)
        found.setdefault(row.membership_id, []).append(Held(key, row.held_at, HeldState(row.state), row.manual))
        if row.run_id is not None:
            loaded[row.membership_id].asked_by[key] = row.run_id
    for membership_id, held in found.items():
        membership = loaded[membership_id]
        membership.facts = replace(membership.facts, held=tuple(sorted(held)))


def _guests(
    connection: Connection, brand_id: UUID, events: dict[UUID, list[Row]], named: dict[UUID, Named]
) -> dict[UUID, list[UUID]]:
    """The guests of each order, in the order in which they were first named. Where a later list names others, guests
    who were settled keep their places, and new ones come after them."""
    changed = [one for one, about in events.items() if any(event.type == GUESTS_CHANGED for event in about)]
    known: dict[UUID, list[UUID]] = {}
    if changed:
        for row in _GUESTS.found(connection, {"brand_id": brand_id, "ids": id_array(changed)}):
            known.setdefault(row.membership_id, []).append(row.guest_id)
    guests = {}
    for one, lists in named.items():
        new = (who.guest_id for place in sorted(lists) for who in lists[place])
        guests[one] = list(dict.fromkeys([*known.get(one, ()), *new]))
    return guests


def _membership(
    row: Row,
    zone: ZoneInfo,
    events: list[Row],
    named: Named,
    guest_ids: list[UUID],
    archivings: dict[UUID | str, Archiving],
) -> Membership:
    places = {guest_id: place for place, guest_id in enumerate(guest_ids)}
    order = [event.place for event in events] if events and events[0].place is not None else None
    facts = read_facts(events, named, places, zone, row.automatic_types, order)
    if archivings:
        facts = with_archivings(facts, row.member_id, named, places, archivings)
    return Membership(
        row.membership_id,
        facts,
        State(row.due_at, row.settled_at, row.fingerprint),
        Listed(*(getattr(row, name) for name in Listed._fields)),
        events=events,
        named=named,
        guest_ids=guest_ids,
        charge_ids={number: charge_id for charge_id, number in numbers_of(events, order).items()},
        places=places,
    )
