"""What arrived about memberships since they were settled, and which of them have the same news.

After a billing run thousands of memberships have news, and most of it says the same. So news is compared as it came,
without loading a membership. Where that is not enough (a late fact, a failed charge, a changed party), each is loaded.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from issuance import limits
from issuance.database.statements import Row, Statement
from issuance.engine.archivings import EVER_ARCHIVED
from issuance.engine.event_facts import IN_ORDER, SIGNED_UP
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.rows import id_array
from issuance.engine.states import State

#: News that only adds and never takes anything back, so it has the same effect on all memberships of a fingerprint.
ADDS = frozenset({"charge.initiated", "charge.succeeded"})

# What was compressed is long. For a known charge: its state, and how many charges of the membership look the same. The
# state identifies the charge only if it is the only one.
_NEWS = Statement(f"""
    SELECT CAST(e.membership_id AS text) AS id, e.source, e.event_id, e.type, e.time, e.charge_id,
           CASE WHEN pg_column_compression(e.data) IS NULL AND pg_column_size(e.data) <= :most_bytes THEN e.data
           END AS data,
           (SELECT m.membership_type_id FROM memberships m
             WHERE (m.brand_id, m.membership_id) = (:brand_id, e.membership_id)) AS membership_type_id,
           known.charge IS NOT NULL AS charge_is_known, known.charge, known.alike
      FROM billing_events e
      LEFT JOIN LATERAL (
           SELECT concat_ws(' ', c.state, c.period_start, c.period_end, c.amount, c.amount_refunded) AS charge,
                  (SELECT count(*) FROM charges o
                    WHERE (o.brand_id, o.membership_id) = (:brand_id, c.membership_id)
                      AND (o.state, o.period_start, o.period_end, o.amount, o.amount_refunded)
                          IS NOT DISTINCT FROM (c.state, c.period_start, c.period_end, c.amount, c.amount_refunded)
                  ) AS alike
             FROM charges c
            WHERE (c.brand_id, c.membership_id, c.charge_id) = (:brand_id, e.membership_id, e.charge_id)
           ) known ON true
     WHERE e.brand_id = :brand_id AND e.membership_id = ANY(CAST(:ids AS uuid[])) AND e.settled_at IS NULL
     ORDER BY e.membership_id, {IN_ORDER} LIMIT :most + 1
""")
_HEARD_OF = Statement("""
    SELECT DISTINCT k.charge_id
      FROM billing_events k
     WHERE k.brand_id = :brand_id AND k.charge_id = ANY(:charge_ids) AND k.settled_at IS NOT NULL
       AND k.membership_id = ANY(CAST(:ids AS uuid[]))
""")
# The latest fact or P0D credit of each: a late event must come after it to be grouped.
_KNOWN_UNTIL = Statement("""
    SELECT CAST(one AS text) AS id,
           greatest((SELECT max(e.time) FROM billing_events e
                      WHERE e.brand_id = :brand_id AND e.membership_id = one AND e.settled_at IS NOT NULL),
                    (SELECT max(c.issued_at) FROM credits c
                      WHERE c.brand_id = :brand_id AND c.membership_id = one AND c.period_end IS NULL)) AS until
      FROM unnest(CAST(:ids AS uuid[])) AS late (one)
""")
_ARCHIVED = Statement(f"""
    SELECT CAST(m.membership_id AS text)
      FROM members p JOIN memberships m USING (brand_id, member_id)
     WHERE p.brand_id = :brand_id AND {EVER_ARCHIVED}
       AND m.membership_id = ANY(CAST(:ids AS uuid[]))
     UNION
    SELECT CAST(g.membership_id AS text)
      FROM members p JOIN guests g USING (brand_id, member_id)
     WHERE p.brand_id = :brand_id AND {EVER_ARCHIVED}
       AND g.membership_id = ANY(CAST(:ids AS uuid[]))
""")


@dataclass(slots=True)
class News:
    """What arrived about one membership, in the order in which it happened."""

    events: list[Row] = field(default_factory=list)
    #: What it says, without ids. None: the membership must be loaded to know what it means.
    said: Hashable | None = None

    @property
    def charge_ids(self) -> list[str]:
        """The charges that it names, in the order in which they are first named."""
        return list(dict.fromkeys(event.charge_id for event in self.events if event.charge_id is not None))


def news_of(
    connection: Connection,
    brand_id: UUID,
    states: Mapping[str, State],
    fingerprints: Fingerprints,
) -> dict[str, News]:
    """The news of memberships by id. `states`: those of their schedules, which are locked."""
    news = {membership_id: News() for membership_id in states}
    bounds = limits.current.settling
    most, most_bytes = bounds.news, bounds.news_bytes
    asked = {"brand_id": brand_id, "ids": id_array(states), "most": most, "most_bytes": most_bytes}
    heard_of = _NEWS.found(connection, asked)
    for event in heard_of:
        news[event.id].events.append(event)
    unheard = {one for one in news if one >= heard_of[-1].id} if len(heard_of) > most else set()
    for one in unheard:
        news[one].events.clear()
    apart = unheard | _apart(connection, brand_id, news)
    known_until = _known_until(connection, brand_id, news, states)
    for membership_id, heard in news.items():
        if heard.events and membership_id not in apart:
            state = states[membership_id]
            heard.said = _said(heard.events, state, known_until.get(membership_id, state.settled_at), fingerprints)
    return news


def _known_until(
    connection: Connection, brand_id: UUID, news: Mapping[str, News], states: Mapping[str, State]
) -> dict[str, datetime]:
    """For memberships whose news happened before they were last settled: the time of their latest earlier fact."""
    late = []
    for membership_id, heard in news.items():
        settled_at = states[membership_id].settled_at
        if settled_at is not None and heard.events and heard.events[0].time <= settled_at:
            late.append(membership_id)
    if not late:
        return {}
    found = _KNOWN_UNTIL.found(connection, {"brand_id": brand_id, "ids": id_array(late)})
    return {row.id: row.until for row in found}


def _apart(connection: Connection, brand_id: UUID, news: dict[str, News]) -> set[str]:
    """Memberships that must be loaded whatever their news says: sign-ups with a member or guest who is or was archived,
    and those with news of a charge that earlier facts told of but that is not in `charges`."""
    charge_ids = [
        event.charge_id
        for heard in news.values()
        for event in heard.events
        if event.charge_id is not None and not event.charge_is_known
    ]
    apart: set[str] = set()
    if charge_ids:
        parameters = {"brand_id": brand_id, "charge_ids": charge_ids, "ids": id_array(news)}
        strange = set(_HEARD_OF.column(connection, parameters))
        if strange:
            apart |= {one for one, heard in news.items() if strange.intersection(heard.charge_ids)}
    signed_up = [one for one, heard in news.items() if heard.events and heard.events[0].type == SIGNED_UP]
    if signed_up:
        apart |= set(_ARCHIVED.column(connection, {"brand_id": brand_id, "ids": id_array(signed_up)}))
    return apart


def _said(
    events: Sequence[Row], state: State, known_until: datetime | None, fingerprints: Fingerprints
) -> Hashable | None:
    """What news says, without ids. None unless all of it is short, has happened, is later than all that is known, and
    only adds."""
    begins = state.settled_at is None
    if any(event.data is None for event in events):
        return None
    if events[-1].time > fingerprints.clock.now or (known_until is not None and events[0].time <= known_until):
        return None
    tell, exact_after = fingerprints.teller(events[0].membership_type_id), fingerprints.exact_after(state)
    numbers: dict[str, int] = {}
    said: list[Hashable] = []
    before: datetime | None = None
    for place, event in enumerate(events):
        if not (event.type in ADDS or (begins and place == 0 and event.type == SIGNED_UP)):
            return None
        if event.charge_is_known and event.alike != 1:
            return None
        data = dict(event.data)
        if event.type == SIGNED_UP:
            data.pop("external_user_id")
            data["guests"] = tuple(guest["lead_booker"] for guest in data["guests"])
        exact = exact_after is not None and event.time > exact_after
        number = None if event.charge_id is None else numbers.setdefault(event.charge_id, len(numbers))
        said.append(
            (
                event.type,
                event.time if exact else tell(event.time),
                event.time == before,
                number,
                event.charge,
                tuple(data.items()),
            )
        )
        before = event.time
    if begins and events[0].type != SIGNED_UP:
        return None
    return tuple(said)
