"""Deliveries: each event has one for each webhook, with its attempts and their times.

Times are real time, for sandbox brands too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

from sqlalchemy import Connection, Row, Select, select, text

from issuance import audit
from issuance.database import cursors
from issuance.database.fragments import DELIVERY_DUE
from issuance.database.tables import deliveries, webhook_events
from issuance.errors import Conflict, NotFound
from issuance.tenancy.sealing import unseal
from issuance.webhooks import webhooks

State = Literal["pending", "delivered", "failed"]
STATES: tuple[State, ...] = get_args(State)

#: How long to wait after the first, second, … attempt: the schedule that Standard Webhooks recommends.
WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
#: A webhook is disabled if it has failed for this long when a delivery has used up its attempts,
WHOLE_SCHEDULE = sum(WAITS, timedelta())
#: and at any failure, if it has failed for this long.
LONGEST_FAILING = timedelta(days=5)
#: If nothing was attempted for longer than between two attempts, Issuance stood still or was restored: the next failure
#: counts as the first.
STOOD_STILL = WAITS[-1] + timedelta(hours=1)
#: Deliveries that are attempted at the same time.
MOST_AT_ONCE = 20
# Longer than a batch can take (client.PATIENCE). The claim of a worker that died ends after this.
_CLAIM_HOLDS = "25 seconds"
#: A webhook that failed is left alone for a while, so that one that never answers does not keep workers busy.
REST = timedelta(seconds=5)

#: Whether no worker has claimed a webhook `w`.
_IS_FREE = "(w.claimed_until IS NULL OR w.claimed_until <= clock_timestamp())"
# Webhooks that are not failing come before those that are; the first one of each brand, then the second …, by how long
# they have waited.
_DUE = text(f"""
    SELECT brand_id, webhook_id
      FROM (SELECT w.brand_id, w.webhook_id, w.failing_since IS NOT NULL AS failing, w.claimed_until,
                   row_number() OVER (PARTITION BY w.brand_id, w.failing_since IS NOT NULL
                                          ORDER BY w.claimed_until NULLS FIRST, w.webhook_id) AS place
              FROM webhooks w
             WHERE w.disabled_at IS NULL AND {_IS_FREE}
               AND EXISTS (SELECT FROM deliveries d WHERE d.brand_id = w.brand_id AND d.webhook_id = w.webhook_id
                              AND {DELIVERY_DUE})) due
     ORDER BY failing, place, claimed_until NULLS FIRST LIMIT :most
""")
_LOCK = text(f"""
    UPDATE webhooks w
       SET claimed_until = clock_timestamp() + interval '{_CLAIM_HOLDS}',
           failing_since = CASE WHEN w.claimed_until < clock_timestamp() - CAST(:stood_still AS interval)
                                     AND w.failing_since IS NOT NULL
                                THEN clock_timestamp() ELSE w.failing_since END
      FROM brands b
     WHERE w.brand_id = :brand_id AND w.webhook_id = :webhook_id AND b.brand_id = w.brand_id
       AND w.disabled_at IS NULL AND {_IS_FREE}
       AND (w.failing_since IS NOT NULL) = :failing
    RETURNING w.url, w.signing_secret,
              CASE WHEN w.former_until > clock_timestamp() THEN w.former_secret END AS former_secret,
              b.environment = 'sandbox' AS sandbox, clock_timestamp() AS at
""")
_CLAIM = text(f"""
    WITH next AS MATERIALIZED (
         SELECT delivery_id, event_id FROM deliveries d
          WHERE brand_id = :brand_id AND webhook_id = :webhook_id AND {DELIVERY_DUE}
          ORDER BY next_at, event_id LIMIT :most FOR UPDATE)
    UPDATE deliveries d
       SET attempts = d.attempts + 1, attempted_at = clock_timestamp(),
           next_at = clock_timestamp() + interval '{_CLAIM_HOLDS}'
      FROM next, webhook_events e
     WHERE d.brand_id = :brand_id AND d.delivery_id = next.delivery_id AND d.event_id = next.event_id
       AND e.brand_id = :brand_id AND e.event_id = next.event_id
    RETURNING d.delivery_id, d.event_id, d.attempts, e.type, e.occurred_at, e.data, e.request_id, e.traceparent
""")
_RECORD = text("""
    UPDATE deliveries
       SET state = :state, last_status = :status, last_error = :error,
           next_at = CASE WHEN :state = 'pending' THEN clock_timestamp() + CAST(:wait AS interval) END,
           delivered_at = CASE WHEN :state = 'delivered' THEN clock_timestamp() END
     WHERE brand_id = :brand_id AND delivery_id = :delivery_id AND event_id = :event_id
       AND state = 'pending' AND attempts = :attempts
""")
# Not if the claim ran out meanwhile and another worker has counted its own attempt.
_UNCOUNT = text("""
    UPDATE deliveries
       SET attempts = attempts - 1, attempted_at = CASE WHEN attempts > 1 THEN attempted_at END,
           next_at = clock_timestamp() + CAST(:rest AS interval)
     WHERE brand_id = :brand_id AND delivery_id = :delivery_id AND event_id = :event_id
       AND state = 'pending' AND attempts = :attempts
""")
_LET_GO = text("""
    UPDATE webhooks
       SET claimed_until = CASE WHEN :failed OR :asked THEN clock_timestamp() + CAST(:rest AS interval)
                                WHEN NOT :delivered AND failing_since IS NOT NULL THEN clock_timestamp() END,
           failing_since = CASE WHEN :failed THEN coalesce(failing_since, clock_timestamp())
                                WHEN NOT :delivered THEN failing_since END
     WHERE brand_id = :brand_id AND webhook_id = :webhook_id
    RETURNING clock_timestamp() - failing_since AS failing_for
""")
_DELIVER_AGAIN = text("""
    UPDATE deliveries SET state = 'pending', attempts = 0, next_at = clock_timestamp(), delivered_at = NULL
     WHERE brand_id = :brand_id AND webhook_id = :webhook_id AND delivery_id = :delivery_id
""")


@dataclass(frozen=True, slots=True)
class Claimed:
    """The deliveries that a worker has claimed, and what it needs to attempt them."""

    url: str
    #: The present secret, and the former one while it is rotated out.
    secrets: Sequence[bytes] = field(repr=False)
    sandbox: bool
    #: When, by PostgreSQL's clock.
    at: datetime
    deliveries: Sequence[Row[Any]]


class Attempted(NamedTuple):
    """The result of one attempt."""

    delivery_id: UUID
    #: The event's id says in which month's part the delivery is.
    event_id: UUID
    attempts: int
    status: int | None
    error: str | None
    delivered: bool
    #: How long the receiver asked to be left alone.
    retry_after: timedelta | None = None


def due(connection: Connection, *, most: int) -> list[Row[Any]]:
    """The webhooks of all brands that have deliveries due and are not claimed, with `brand_id` and `webhook_id`; brands
    take turns."""
    return list(connection.execute(_DUE, {"most": most}))


def claim(connection: Connection, brand_id: UUID, webhook_id: UUID, *, failing: bool = False) -> Claimed | None:
    """Claim a webhook and the deliveries that are due to it, and count their attempts. Commit before attempting them.

    `failing`: claim it only if it is failing: nothing was delivered since its last failure; otherwise, only if it is
    not failing. None if that does not fit, if nothing is due, if another worker has claimed the webhook, or if it is
    disabled.
    """
    parameters = {"brand_id": brand_id, "webhook_id": webhook_id}
    held = connection.execute(_LOCK, {**parameters, "failing": failing, "stood_still": STOOD_STILL}).one_or_none()
    if held is None:
        return None
    claimed = connection.execute(_CLAIM, {**parameters, "most": MOST_AT_ONCE}).all()
    if not claimed:
        connection.execute(_LET_GO, {**parameters, "failed": False, "delivered": False, "asked": False, "rest": REST})
        return None
    secrets = [unseal(bytes(one)) for one in (held.signing_secret, held.former_secret) if one is not None]
    return Claimed(held.url, secrets, held.sandbox, held.at, claimed)


def record(
    connection: Connection, brand_id: UUID, webhook_id: UUID, attempts: Sequence[Attempted], *, gone: bool
) -> str | None:
    """Record the results of attempts and release the webhook. Returns the reason if this disabled the webhook, else
    None.

    `gone`: the receiver answered 410.

    """
    connection.execute(_RECORD, [{"brand_id": brand_id, **_became(attempt)} for attempt in attempts])
    delivered = any(attempt.delivered for attempt in attempts)
    asked = max((attempt.retry_after for attempt in attempts if attempt.retry_after is not None), default=None)
    failing_for = connection.scalar(
        _LET_GO,
        {
            "brand_id": brand_id,
            "webhook_id": webhook_id,
            "failed": not delivered,
            "delivered": delivered,
            "rest": REST if asked is None else asked,
            "asked": asked is not None,
        },
    )
    reason = None
    if gone:
        reason = "The receiver answered 410 Gone."
    elif failing_for is not None:
        used_up = any(attempt.attempts > len(WAITS) for attempt in attempts)
        if failing_for >= (WHOLE_SCHEDULE if used_up else LONGEST_FAILING):
            reason = f"Nothing was delivered for {failing_for.days} days."
    if reason is not None and webhooks.disable(connection, brand_id, webhook_id, reason):
        return reason
    return None


def put_off(connection: Connection, brand_id: UUID, webhook_id: UUID, claimed: Claimed) -> None:
    """Release for REST what was claimed and not attempted: this is no attempt, and the webhook has not failed."""
    connection.execute(
        _UNCOUNT,
        [
            {
                "brand_id": brand_id,
                "delivery_id": row.delivery_id,
                "event_id": row.event_id,
                "attempts": row.attempts,
                "rest": REST,
            }
            for row in claimed.deliveries
        ],
    )
    parameters = {"brand_id": brand_id, "webhook_id": webhook_id, "rest": REST}
    connection.execute(_LET_GO, {**parameters, "failed": False, "delivered": False, "asked": True})


def _became(attempt: Attempted) -> dict[str, Any]:
    state: State = "pending"
    wait = timedelta()
    if attempt.delivered:
        state = "delivered"
    elif attempt.attempts > len(WAITS):
        state = "failed"
    else:
        wait = max(WAITS[attempt.attempts - 1], attempt.retry_after or timedelta())
    return {
        "delivery_id": attempt.delivery_id,
        "event_id": attempt.event_id,
        "attempts": attempt.attempts,
        "state": state,
        "wait": wait,
        "status": attempt.status,
        "error": attempt.error,
    }


def page(
    connection: Connection, brand_id: UUID, webhook_id: UUID, *, state: str | None, limit: int, cursor: str | None
) -> cursors.Rows:
    """A webhook's deliveries, the newest first. Raises NotFound."""
    webhooks.get(connection, brand_id, webhook_id)
    found = _of(brand_id, webhook_id)
    if state is not None:
        found = found.where(deliveries.c.state == state)
    return cursors.rows_of(connection, found, deliveries.c.created_at, deliveries.c.delivery_id, limit, cursor)


def deliver_again(connection: Connection, brand_id: UUID, webhook_id: UUID, delivery_id: UUID) -> dict[str, Any]:
    """Make a delivery due now, with a new set of attempts. Raises NotFound, and Conflict for a disabled webhook."""
    if not webhooks.get(connection, brand_id, webhook_id)["enabled"]:
        raise Conflict("The webhook is disabled. Enable it first.")
    parameters = {"brand_id": brand_id, "webhook_id": webhook_id, "delivery_id": delivery_id}
    if connection.execute(_DELIVER_AGAIN, parameters).rowcount == 0:
        raise NotFound("There is no such delivery.")
    audit.write(connection, brand_id, "delivery.replayed", delivery_id)
    one = _of(brand_id, webhook_id).where(deliveries.c.delivery_id == delivery_id)
    return dict(connection.execute(one).mappings().one())


def _of(brand_id: UUID, webhook_id: UUID) -> Select[Any]:
    columns = deliveries.c
    return (
        select(
            columns.delivery_id.label("id"),
            columns.event_id,
            webhook_events.c.type,
            columns.state,
            columns.attempts,
            columns.next_at,
            columns.attempted_at,
            columns.last_status,
            columns.last_error,
            columns.delivered_at,
            columns.created_at,
        )
        .join(
            webhook_events,
            (webhook_events.c.brand_id == columns.brand_id) & (webhook_events.c.event_id == columns.event_id),
        )
        .where(columns.brand_id == brand_id, columns.webhook_id == webhook_id)
    )
