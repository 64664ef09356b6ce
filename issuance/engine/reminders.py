"""Reminders as settling finds them due: which webhooks ask for them, and telling them (SEMANTICS 19).

A lead is one more instant at which a membership falls due (docs/decisions/0042-reminders-fall-due.md).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.credits import credits
from issuance.deciding.frequency import parse_validity
from issuance.deciding.reminders import Lead, Listener, Reminder
from issuance.engine import schedules
from issuance.engine.rows import id_array
from issuance.engine.settled import Settled
from issuance.tenancy import clock as clocks
from issuance.webhooks import outbox
from issuance.webhooks.outbox import OutboxEvent

_LISTENERS = text("""
    SELECT webhook_id, leads, leads_since FROM webhooks
     WHERE brand_id = :brand_id AND disabled_at IS NULL AND leads IS NOT NULL ORDER BY webhook_id
""")
# Like expiring: the credits of a period, by the index of their key, for all memberships of a group; or of one guest of
# each, whenever they expire. A clock that is moved on may have made them expire since.
_STILL_OUT = text(f"""
    SELECT credit_id FROM credits
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND credit_rule_id = :credit_rule_id AND period_start = :period_start AND reissue = :reissue
       AND {credits.STILL_OUT}
       AND (CAST(:place AS integer) IS NULL AND expires_at = :expires_at
            OR (membership_id, guest_id) IN (SELECT membership_id, guest_id
                                               FROM guests_of(:brand_id, CAST(:ids AS uuid[])) WHERE place = :place))
       AND (expired_at IS NULL OR expired_at > :at)
""")


def listeners(connection: Connection, brand_id: UUID) -> tuple[Listener, ...]:
    """The webhooks of a brand that are told of credits that expire soon, and are not disabled."""
    return tuple(
        Listener(row.webhook_id, tuple(Lead(lead, parse_validity(lead)) for lead in row.leads), row.leads_since)
        for row in connection.execute(_LISTENERS, {"brand_id": brand_id})
    )


def begin(connection: Connection, brand_id: UUID, webhook: Mapping[str, Any]) -> None:
    """Settle every membership of the brand again if a webhook, which was just made or enabled, asks for reminders: none
    is scheduled yet."""
    if webhook["leads"] is not None and webhook["enabled"]:
        schedules.wake_all(connection, brand_id, clocks.read(connection, brand_id).now)


def tell(connection: Connection, brand_id: UUID, settled: Sequence[Settled]) -> None:
    """Write the reminders that settling found due to the outbox, of credits that are neither spent nor taken back.
    Costs nothing if there are none."""
    found: dict[Reminder, list[UUID]] = {}
    of_groups: dict[Reminder, list[str]] = {}
    of_new: dict[Reminder, list[str]] = {}
    for one in settled:
        for reminder in one.outcome.reminders:
            if not one.itself:
                of_groups.setdefault(reminder, []).extend(one.ids)
            elif reminder.key in one.membership.credit_ids:
                found.setdefault(reminder, []).append(one.membership.credit_ids[reminder.key])
            else:  # its lead came in the settling that issued it, while a clock was moved on
                of_new.setdefault(reminder, []).extend(one.ids)
    for reminder, ids in of_new.items():
        found.setdefault(reminder, []).extend(_still_out(connection, brand_id, reminder, ids, reminder.key.place))
    done: set[tuple[Any, ...]] = set()
    for reminder, ids in of_groups.items():
        # A statement finds those of all guests.
        same = (reminder._replace(key=reminder.key._replace(place=0)), tuple(ids))
        if same not in done:
            done.add(same)
            found.setdefault(reminder, []).extend(_still_out(connection, brand_id, reminder, ids))
    for reminder, credit_ids in found.items():
        shown = credits.by_id(connection, brand_id, credit_ids, reminder.at)
        news = (
            OutboxEvent("credit.expiring", reminder.at, {**credit, "lead": reminder.lead})
            for credit in shown.values()
            if credit["status"] not in ("redeemed", "revoked")  # expired: since, while a clock was moved on
        )
        outbox.add_all(connection, brand_id, news, only=reminder.webhook_ids)


def _still_out(
    connection: Connection, brand_id: UUID, reminder: Reminder, ids: Sequence[str], place: int | None = None
) -> Sequence[UUID]:
    """The credits of these memberships that a reminder is of and that are out at its instant: of the guest at a place,
    or of all guests."""
    key = reminder.key
    which = {"credit_rule_id": key.credit_rule_id, "period_start": key.period_start, "reissue": key.reissue}
    which |= {"expires_at": reminder.expires_at, "at": reminder.at, "place": place}
    return connection.scalars(_STILL_OUT, {"brand_id": brand_id, "ids": id_array(ids), **which}).all()
