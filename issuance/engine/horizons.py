"""Load of long memberships only what can still change, to settle them by the clock or by charges that come in on time.

`deciding.horizon` says when the rest stays as it was settled. The membership's row, its schedule and its news say
whether it was in order then, and whether nothing happened since. If that is not certain, it is loaded whole
(docs/decisions/0054).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from issuance import limits
from issuance.credits.credits import STILL_OUT
from issuance.database.statements import Row, Statement
from issuance.deciding.calendar import midnight
from issuance.deciding.history import Horizon
from issuance.deciding.horizon import ONGOING, first_day, holds
from issuance.engine.event_facts import GUESTS_CHANGED, IN_ORDER, SIGNED_UP
from issuance.engine.facts import CREDIT_COLUMNS, assembled, load_rows, look_up, weigh
from issuance.engine.fingerprint import is_a_sum, is_apart
from issuance.engine.membership import Membership
from issuance.engine.news import ADDS
from issuance.engine.rows import columns_of, id_array, unnest
from issuance.engine.rules import RuleBook
from issuance.tenancy.clock import BrandClock

_ADDING = ", ".join(f"'{kind}'" for kind in sorted(ADDS))
#: What is asked of memberships, to know whether their news is only of charges that come in on time.
_TOLD = Statement(f"""
    WITH told AS (
         SELECT membership_id, type, time, settled_at IS NULL AS is_news,
                CAST(data ->> 'period_start' AS date) AS starts,
                charge_id IS NOT NULL AND bool_or(settled_at IS NULL) OVER (PARTITION BY membership_id, charge_id)
                    AS of_charge_with_news
           FROM billing_events
          WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[])))
    SELECT membership_id, count(*) AS facts, bool_or(is_news AND type NOT IN ({_ADDING})) AS is_else,
           min(time) FILTER (WHERE is_news) AS news_from,
           array_agg(DISTINCT starts) FILTER (WHERE of_charge_with_news) AS news_for,
           bool_and(type IN ({_ADDING}, '{SIGNED_UP}', '{GUESTS_CHANGED}')) AS is_plain,
           ARRAY(SELECT c.charge_id FROM charges c
                  WHERE (c.brand_id, c.membership_id) = (:brand_id, told.membership_id)
                    AND c.state = 'initiated') AS initiated,
           (SELECT count(*) FROM credits c
             WHERE (c.brand_id, c.membership_id) = (:brand_id, told.membership_id)) AS credits
      FROM told GROUP BY membership_id
""")
_SINCE = unnest(
    "since", membership_id="uuid", day="date", at="timestamptz", settled_at="timestamptz", billing="interval"
)
# Charges whole or not at all. One without an end covers at most a billing period; billers are some days off.
_EVENTS = Statement(f"""
    WITH placed AS (
         SELECT e.membership_id, e.source, e.event_id, e.type, e.time, e.charge_id, e.data,
                e.settled_at IS NULL AS is_news,
                CAST(row_number() OVER (PARTITION BY e.membership_id ORDER BY {IN_ORDER}) AS integer) - 1 AS place,
                bool_or(e.settled_at IS NULL OR e.time >= since.at
                        OR greatest(CAST(e.data ->> 'period_end' AS date),
                                    CAST(e.data ->> 'period_start' AS date) + since.billing) > since.day - 7)
                    OVER (PARTITION BY e.membership_id, e.charge_id) AS is_late
           FROM billing_events e JOIN {_SINCE} USING (membership_id)
          WHERE e.brand_id = :brand_id AND e.membership_id = ANY(CAST(:ids AS uuid[])))
    SELECT membership_id, source, event_id, type, time, charge_id, data, is_news, place
      FROM placed WHERE charge_id IS NULL OR is_late
     ORDER BY membership_id, place
""")
# Also credits that were spent before their expiry: a lead comes for these too.
_CREDITS = Statement(f"""
    SELECT {CREDIT_COLUMNS}
      FROM credits JOIN {_SINCE} USING (membership_id)
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND (period_start >= since.day OR period_end IS NULL OR (expired_at IS NULL AND {STILL_OUT})
            OR expires_at > since.settled_at OR redeemed_at >= since.settled_at OR revoked_at >= since.settled_at)
     ORDER BY membership_id, credit_id
""")


class _Horizon(NamedTuple):
    """The first day that is decided again of a membership, and the instant at which it begins."""

    row: Row
    told: Row
    day: date
    at: datetime


def load(
    connection: Connection,
    brand_id: UUID,
    clock: BrandClock,
    ids: Iterable[object],
    rules: RuleBook,
    whole: Collection[str] = (),
) -> list[Membership]:
    """Memberships as `facts.load` gives them. Long ones have only what can still change, if that is known and they are
    not wanted `whole`. Raises FactLimit."""
    rows = look_up(connection, brand_id, ids)
    weigh(rows)
    long = [row for row in rows if row.is_long and _was_in_order(row) and str(row.membership_id) not in whole]
    late = _from_horizons(connection, brand_id, clock, long, rules) if long else []
    known = {one.membership_id for one in late}
    others = load_rows(connection, brand_id, clock.zone, [row for row in rows if row.membership_id not in known])
    return sorted([*others, *late], key=lambda one: one.membership_id) if late else others


def _was_in_order(row: Row) -> bool:
    """Whether a membership was in order when it was settled, and nothing but its news, the use of credits and time
    has touched it since: whatever else does takes its fingerprint away."""
    return (
        row.fingerprint is not None
        and is_a_sum(row.fingerprint)
        and row.settled_at is not None
        and row.due_at != row.settled_at
        and row.status in ONGOING
        and row.ends_on is None
        and not row.has_held
    )


def _from_horizons(
    connection: Connection, brand_id: UUID, clock: BrandClock, rows: Sequence[Row], rules: RuleBook
) -> list[Membership]:
    """Those of the memberships of which it is known what stays; that is not loaded."""
    since = {one.row.membership_id: one for one in _since(connection, brand_id, clock, rows)}
    loaded = _loaded(connection, brand_id, clock, since) if since else []
    rules.open(type_id for one in loaded for type_id in one.facts.types)
    return [one for one in loaded if _stays(one, since[one.membership_id].told.facts, rules, clock)]


def _since(connection: Connection, brand_id: UUID, clock: BrandClock, rows: Sequence[Row]) -> list[_Horizon]:
    """The horizons of these memberships, without those whose news is more than charges that pay."""
    by_id = {row.membership_id: row for row in rows}
    since = []
    most = limits.current.settling.facts
    for told in _TOLD.found(connection, {"brand_id": brand_id, "ids": id_array(by_id)}):
        row = by_id[told.membership_id]
        day = first_day(row.settled_at, clock.zone, told.news_for or ())
        at = midnight(day, clock.zone)
        is_late = told.news_from is None or told.news_from >= at
        if is_late and not told.is_else and told.facts <= most:
            since.append(_Horizon(row, told, day, at))
    return since


def _loaded(
    connection: Connection, brand_id: UUID, clock: BrandClock, since: Mapping[UUID, _Horizon]
) -> list[Membership]:
    said = [
        (str(one.row.membership_id), one.day, one.at, one.row.settled_at, one.row.billing_frequency)
        for one in since.values()
    ]
    parameters = {
        "brand_id": brand_id,
        "ids": id_array(since),
        **columns_of("since", ("membership_id", "day", "at", "settled_at", "billing"), said),
    }
    events, out = _EVENTS.found(connection, parameters), _CREDITS.found(connection, parameters)
    loaded = assembled(connection, brand_id, clock.zone, [one.row for one in since.values()], events, out)
    for membership in loaded:
        of = since[membership.membership_id]
        in_progress = not set(membership.charge_ids.values()).issuperset(of.told.initiated)
        before = of.told.credits - len(membership.credits)
        membership.horizon = Horizon(of.day, in_progress, before, of.told.is_plain)
    return loaded


def _stays(membership: Membership, facts: int, rules: RuleBook, clock: BrandClock) -> bool:
    """Whether what was left out stays as it is, and whether it is known what is new: then the fingerprint can be
    carried on. `facts`: how many facts the membership has."""
    settled_at = membership.state.settled_at
    news = membership.news
    return (
        holds(membership.history(clock.now), rules.of(membership.facts.types))
        and all(event.place >= facts - len(news) for event in news)
        and not any(is_apart(credit) for credit in membership.credits)
        and all(settled_at not in (credit.redeemed_at, credit.revoked_at) for credit in membership.credits)
    )
