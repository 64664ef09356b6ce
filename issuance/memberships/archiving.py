"""Archiving: a member is removed, and what was theirs ends with it (SEMANTICS 12). History stays readable."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, text
from uuid_utils.compat import uuid7

from issuance import audit, limits
from issuance.billing import events
from issuance.credits import credits, holders
from issuance.database.fragments import ENDED
from issuance.database.tables import credits as credits_table
from issuance.engine import schedules
from issuance.engine.facts import FactLimit, load
from issuance.engine.read_models import write_parties
from issuance.errors import Invalid
from issuance.members import members, wallets
from issuance.tenancy import clock as clocks
from issuance.webhooks import outbox

#: The source of the facts that end an archived member's memberships.
SOURCE = "issuance:members"

_REASON = credits.ARCHIVED


class TooMuchToArchive(Invalid):
    """This member is on more than 1,000 orders, or has more than 2,000 credits that are out: the command line has no
    limit."""

    code = "too_much_to_archive"


class Removed(NamedTuple):
    """A member who is removed: their memberships, which are to be settled, and whether their points were kept."""

    membership_ids: list[UUID]
    balance_retained: bool


# A party that was told and is not settled yet stands only in the inbox.
_ON_ORDERS = text(f"""
    SELECT m.membership_id, m.member_id = :member_id AS own,
           m.status IN {ENDED} AND NOT EXISTS (
               SELECT FROM billing_events e
                WHERE (e.brand_id, e.membership_id) = (:brand_id, m.membership_id)
                  AND (e.settled_at IS NULL OR e.time > :now)) AS ended,
           EXISTS (
               SELECT FROM billing_events e
                WHERE (e.brand_id, e.membership_id) = (:brand_id, m.membership_id)
                  AND e.type = 'membership.guests_changed' AND e.time <= :now
                  AND (e.settled_at IS NULL OR e.time > s.settled_at)) AS has_news_of_guests
      FROM memberships m JOIN schedules s ON (s.brand_id, s.schedule_id) = (m.brand_id, m.membership_id)
     WHERE m.brand_id = :brand_id
       AND m.membership_id = ANY(ARRAY(
           SELECT membership_id FROM memberships WHERE brand_id = :brand_id AND member_id = :member_id
            UNION
           SELECT membership_id FROM guests WHERE brand_id = :brand_id AND member_id = :member_id
            UNION
           SELECT membership_id FROM credits WHERE brand_id = :brand_id AND credit_id IN ({holders.RECEIVED})
            UNION
           SELECT membership_id FROM billing_events
            WHERE brand_id = :brand_id AND settled_at IS NULL
              AND type = 'membership.guests_changed' AND data @> CAST(:party AS jsonb)))
     ORDER BY m.membership_id LIMIT :most
""")


def archive(
    connection: Connection, brand_id: UUID, external_user_id: str, *, retain_balance: bool, bounded: bool = False
) -> Removed:
    """Remove a member, now on the brand's clock. A second time changes one thing at most: points that were kept are
    forfeited if it does not retain them. Points that were forfeited do not come back.

    Their memberships end, by facts of our own; all credits of those and all that they hold as a guest
    elsewhere are revoked; the balance is forfeited unless it is to be retained. Raises MemberNotFound; `bounded`:
    TooMuchToArchive.

    """
    clock = clocks.read(connection, brand_id, lock=True)
    member_id, is_news, is_changed, retained = members.archive(
        connection, brand_id, external_user_id, retain_balance=retain_balance
    )
    who = {"brand_id": brand_id, "member_id": member_id}
    party = json.dumps({"guests": [{"external_user_id": external_user_id}]})
    most = limits.current.members.archived_orders + 1 if bounded else None
    parameters = {**who, "now": clock.now, "party": party, "most": most}
    orders = connection.execute(_ON_ORDERS, parameters).all()
    if bounded:
        _refuse_many(connection, parameters, orders)
    # Waits for settling under way and keeps more of it out, so that nothing is issued until the credits that are out
    # are revoked.
    schedules.wake(connection, brand_id, [row.membership_id for row in orders], clock.now)
    now = clocks.once_locked(connection, brand_id, clock).now
    locked = connection.execute(_ON_ORDERS, {**parameters, "now": now}).all()
    for row in locked:
        if row.has_news_of_guests:
            _list_guests(connection, brand_id, clock.zone, row.membership_id, now)
    own = [row.membership_id for row in locked if row.own]
    ending = [row.membership_id for row in locked if row.own and not row.ended]
    told = events.accept(connection, brand_id, [_end(membership_id, now.isoformat()) for membership_id in ending])
    assert not told.rejected, "our own facts are well-formed"
    lost = credits.revoke_archived(connection, brand_id, _theirs(brand_id, member_id, own))
    forfeited = 0 if retain_balance else wallets.forfeit(connection, brand_id, member_id, _REASON)
    if is_changed or ending or lost or forfeited:
        kept = {"balance_retained": retain_balance} if is_changed else {}
        audit.write(connection, brand_id, "member.archived", member_id, after={"forfeited": forfeited, **kept})
    if is_news:
        member = members.get(connection, brand_id, external_user_id)
        removed = {"externalUserID": external_user_id, "archived": True, "archivedAt": member["archived_at"]}
        removed |= {"revision": member["revision"], "balanceRetained": retain_balance}
        outbox.add(connection, brand_id, "member.archived", removed)
    if retained is None:
        retained = wallets.read(connection, brand_id, external_user_id)["balance"] > 0
    return Removed(told.membership_ids, retained)


def _list_guests(connection: Connection, brand_id: UUID, zone: ZoneInfo, membership_id: UUID, now: datetime) -> None:
    """Bring the guests of an order up to date, as its settling will do: who they are decides who loses what is out."""
    with suppress(FactLimit):  # no settling will ever do it
        (membership,) = load(connection, brand_id, zone, [membership_id], with_credits=False)
        write_parties(connection, brand_id, [(membership, now)])


def _theirs(brand_id: UUID, member_id: UUID, own: list[UUID]) -> ColumnElement[bool]:
    """The credits of their own memberships, and those that they hold elsewhere."""
    return or_(credits_table.c.membership_id.in_(own), holders.held_by(brand_id, member_id))


def _refuse_many(connection: Connection, which: Mapping[str, Any], orders: Sequence[Row[Any]]) -> None:
    """Raises TooMuchToArchive if the member has too much: archiving is done as a whole or not at all."""
    brand_id, member_id, now = which["brand_id"], which["member_id"], which["now"]
    bounds = limits.current.members
    if len(orders) > bounds.archived_orders:
        raise TooMuchToArchive
    theirs = _theirs(brand_id, member_id, [row.membership_id for row in orders if row.own])
    out = select(credits_table.c.credit_id).where(
        credits_table.c.brand_id == brand_id, theirs, credits.taken_by_archiving(now)
    )
    counted = select(func.count()).select_from(out.limit(bounds.archived_credits + 1).subquery())
    if connection.execute(counted).scalar_one() > bounds.archived_credits:
        raise TooMuchToArchive


def _end(membership_id: UUID, time: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{_REASON} {uuid7()}",
        "source": SOURCE,
        "type": "membership.status_changed",
        "time": time,
        "data": {"membership_id": str(membership_id), "status": "cancelled"},
    }
