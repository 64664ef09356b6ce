"""The outbox: what a brand's webhooks are told, written in the same transaction as the change itself.

An event is written once, with a delivery to each webhook that listens to its type. Without such a webhook nothing is
written.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection, bindparam, func, literal_column, select, text
from uuid_utils.compat import uuid7

from issuance import origins, tracing
from issuance.database.statements import Statement
from issuance.database.tables import webhooks
from issuance.origins import NOWHERE, Origin
from issuance.tenancy import clock

EventType = Literal[
    "credit.issued",
    "credit.expired",
    "credit.redeemed",
    "credit.revoked",
    "credit.restored",
    "credit.skipped",
    "credit.extended",
    "credit.transferred",
    "credit.updated",
    "credit.expiring",
    "redemption.created",
    "redemption.updated",
    "wallet.credited",
    "member.archived",
    "rule.held",
    "run.finished",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)

#: A webhook that listens to all of these follows credits. It is also told changes that have no type of their own: as
#: `credit.updated` if it listens to that, else under the nearest of these.
FOLLOWING: tuple[EventType, ...] = (
    "credit.issued",
    "credit.expired",
    "credit.redeemed",
    "credit.revoked",
    "credit.restored",
    "credit.extended",
    "credit.transferred",
)
_ITS_OWN: EventType = "credit.updated"
_NEAREST: Mapping[str, EventType] = {
    "upcoming": "credit.extended",
    "live": "credit.extended",
    "redeemed": "credit.redeemed",
    "expired": "credit.expired",
    "revoked": "credit.revoked",
}

_FOLLOWS = f"events @> CAST('{{{','.join(FOLLOWING)}}}' AS text[])"
_TOLD = f"CASE WHEN {_FOLLOWS} THEN events || CAST('{_ITS_OWN}' AS text) ELSE events END"
_LISTENED_TO = (
    select(func.unnest(literal_column(_TOLD, webhooks.c.events.type)))
    .where(webhooks.c.brand_id == bindparam("brand_id"), webhooks.c.disabled_at.is_(None))
    .distinct()
)
#: What `listened_to` gives, as a part of a statement with a parameter `brand_id`: an array.
LISTENED_TO = func.array(_LISTENED_TO.scalar_subquery())
_LISTENED_TO_NOW = Statement(_LISTENED_TO)
# A webhook that is being deleted at this moment is told nothing more, and the writer does not wait for it. `nearest`:
# this type takes the place of one that the webhook does not listen to.
_ADD = text(f"""
    WITH listening AS (SELECT webhook_id, events, {_FOLLOWS} AND NOT '{_ITS_OWN}' = ANY(events) AS follows
                         FROM webhooks WHERE brand_id = :brand_id AND disabled_at IS NULL
                          AND (CAST(:only AS uuid[]) IS NULL OR webhook_id = ANY(:only))
                          AND events && CAST(:types AS text[]) FOR KEY SHARE SKIP LOCKED),
         news AS (
             SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:nearest AS boolean[]),
                                  CAST(:instants AS timestamptz[]), CAST(:data AS jsonb[]),
                                  CAST(:requests AS text[]), CAST(:traces AS text[]))
                           AS new (event_id, type, nearest, occurred_at, data, request_id, traceparent)),
         telling AS (
             SELECT webhook_id, event_id FROM news
               JOIN listening ON news.type = ANY(listening.events) AND (listening.follows OR NOT news.nearest)),
         added AS (
             INSERT INTO webhook_events (brand_id, event_id, type, occurred_at, data, request_id, traceparent)
             SELECT :brand_id, event_id, type, occurred_at, data, request_id, traceparent
               FROM news WHERE event_id IN (SELECT event_id FROM telling))
    INSERT INTO deliveries (brand_id, delivery_id, webhook_id, event_id)
    SELECT :brand_id, gen_random_uuid(), webhook_id, event_id FROM telling
""")


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """Something that webhooks are told. `data` is the object to which it happened, as the API shows it."""

    type: EventType
    occurred_at: datetime
    data: Mapping[str, Any]


def listened_to(connection: Connection, brand_id: UUID) -> frozenset[str]:
    """The types of events that at least one webhook of the brand is told, under their own or another type. Often there
    are none: ask before you prepare events."""
    return frozenset(_LISTENED_TO_NOW.column(connection, {"brand_id": brand_id}))


def add(
    connection: Connection,
    brand_id: UUID,
    type: EventType,  # noqa: A002 - the word is the field's
    data: Mapping[str, Any],
    *,
    occurred_at: datetime | None = None,
) -> None:
    """Tell the webhooks that listen to `type` once this transaction commits. `occurred_at` is by default the brand's
    now."""
    add_all(connection, brand_id, [OutboxEvent(type, occurred_at or clock.read(connection, brand_id).now, data)])


def add_all(
    connection: Connection, brand_id: UUID, news: Iterable[OutboxEvent], *, only: Collection[UUID] | None = None
) -> None:
    """`add` for many events, in the order in which they happened. `only`: of the webhooks that listen, tell these."""
    told = [one for new in news for one in _as_told(new)]
    if told:
        due_to = [_origin_of(one) for one, _ in told]
        connection.execute(
            _ADD,
            {
                "brand_id": brand_id,
                "ids": [uuid7() for _ in told],
                "types": [one.type for one, _ in told],
                "nearest": [is_nearest for _, is_nearest in told],
                "instants": [one.occurred_at for one, _ in told],
                "data": [to_json(one.data).decode() for one, _ in told],
                "requests": [origin.request_id for origin in due_to],
                "traces": [origin.traceparent for origin in due_to] if tracing.is_on() else None,
                "only": None if only is None else list(only),
            },
        )


def _as_told(news: OutboxEvent) -> Iterator[tuple[OutboxEvent, bool]]:
    """The event under its own type, and under the nearest one for webhooks that follow credits and do not listen to its
    own."""
    yield news, False
    if news.type == _ITS_OWN:
        yield replace(news, type=_NEAREST[news.data["status"]]), True


def _origin_of(news: OutboxEvent) -> Origin:
    """The request and the trace that the event is due to: its own membership's, if several are settled together."""
    of_membership = origins.of(news.data.get("membership_id"))
    return origins.here() if of_membership == NOWHERE else of_membership
