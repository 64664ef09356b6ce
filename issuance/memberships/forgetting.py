"""Forgetting: an archived member's names and ids are taken out of everything that is kept (SEMANTICS 20).

Credits, periods, amounts and decisions stay as they were: before the names go, it is found once more who is who on each
list of guests, and written beside them. An event that comes again is still recognised, by a hash of what it said.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from pydantic_core import to_json
from sqlalchemy import Connection, text

from issuance import audit, limits
from issuance.credits import holders
from issuance.credits.credits import STILL_OUT
from issuance.database.fragments import translating
from issuance.engine import schedules
from issuance.engine.event_facts import bytes_of
from issuance.errors import Invalid
from issuance.members import erased, members, words
from issuance.members.members import Forgotten
from issuance.members.names import folded
from issuance.memberships import scrubbing
from issuance.memberships.mentions import Mentions
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock

# Keeps translating out, because what that works on is changed here.
_HOLD_BILLERS = text(f"""
    SELECT pg_advisory_xact_lock({translating("biller_id")})
      FROM billers WHERE brand_id = :brand_id ORDER BY biller_id
""")
_HOLD_REDEMPTIONS = text("""
    SELECT FROM redemptions WHERE brand_id = :brand_id AND member_id = :member_id ORDER BY redemption_id FOR UPDATE
""")
_CALLED = text("""
    SELECT external_user_id, display_name, email FROM members WHERE brand_id = :brand_id AND member_id = :member_id
""")
# The orders that name them, settled or not. The words by which people are found have the addresses of today; former
# ones stand on lists of guests that later lists have replaced.
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
# Using a credit writes down whom it names.
_HOLD_CREDITS = text(f"""
    SELECT FROM credits WHERE brand_id = :brand_id AND membership_id = ANY(:membership_ids) AND {STILL_OUT}
     ORDER BY credit_id FOR NO KEY UPDATE
""")
_HOW_MUCH = text(f"""
    SELECT count(*) AS facts, sum({bytes_of("data")} + coalesce({bytes_of("unknown_fields")}, 0)) AS bytes
      FROM billing_events WHERE brand_id = :brand_id AND membership_id = ANY(:membership_ids)
""")


class TooMuchToErase(Invalid):
    """More was told of the orders that name this member than is read at once: use the command line, which has no
    limit."""

    code = "too_much_to_erase"


class Erasure(NamedTuple):
    """What became of a member who was forgotten, and the memberships to settle after the commit."""

    external_user_id: str
    erased_at: datetime
    membership_ids: list[UUID]


def erase(
    connection: Connection,
    brand_id: UUID,
    external_user_id: str,
    *,
    place: str | None = None,
    addresses: Iterable[str] = (),
    bounded: bool = False,
) -> Erasure:
    """Forget an archived member; a second time changes nothing. `place` is the random id, if it was chosen before;
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
    words.write_all(connection, brand_id)  # they find orders that have only their address
    orders = _orders(connection, parameters, external_user_id, emails)
    if bounded:
        told = connection.execute(_HOW_MUCH, {"brand_id": brand_id, "membership_ids": orders}).one()
        most = limits.current.members
        if told.facts > most.erased_facts or (told.bytes or 0) > most.erased_bytes:
            raise TooMuchToErase
    # Settling that is under way tells webhooks the names: this waits for it, and later settling finds them gone.
    schedules.wake(connection, brand_id, orders, clock.now)
    theirs = Mentions(connection, brand_id, held, external_user_id, place, emails)
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
    """Wait for translating and intake, and keep more of them out until the transaction ends. Returns the brand's
    clock."""
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
