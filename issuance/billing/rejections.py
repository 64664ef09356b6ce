"""Refused events: kept with their reason until the operator retries or dismisses them."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select

from issuance.billing import cloud_events, events
from issuance.billing.cloud_events import Refused
from issuance.billing.events import Intake
from issuance.billing.inbox import LONGEST_BODY
from issuance.database import paging
from issuance.database.tables import rejected_events
from issuance.errors import Conflict, NotFound


class NotKeptWhole(Conflict):
    """The event was too long to be kept whole: send it again."""

    code = "not_kept_whole"


def page(connection: Connection, brand_id: UUID, page: int, per_page: int, *, code: str | None = None) -> paging.Rows:
    """A page of what was refused, the latest first. `event` is the JSON text as it came."""
    columns = rejected_events.c
    found = (
        select(
            columns.rejected_id.label("id"),
            columns.received_at,
            columns.code,
            columns.message,
            columns.body.label("event"),
        )
        .where(columns.brand_id == brand_id)
        .order_by(columns.received_at.desc(), columns.rejected_id.desc())
    )
    if code is not None:
        found = found.where(columns.code == code)
    return paging.rows_of(connection, found, page, per_page)


def retry(connection: Connection, brand_id: UUID, rejected_id: UUID) -> Intake:
    """Take in the event once more, now that its cause is mended; refused again, it is kept under a new id.

    Call `hints.settle` with the intake's `membership_ids` after the commit. Raises NotFound, NotKeptWhole.
    """
    body = _take_out(connection, brand_id, rejected_id)
    if len(body) >= LONGEST_BODY:
        raise NotKeptWhole
    try:
        return events.accept(connection, brand_id, [cloud_events.read_json(body)])
    except Refused as refusal:
        raise Conflict(refusal.message) from None


def dismiss(connection: Connection, brand_id: UUID, rejected_id: UUID) -> None:
    """Forget a refused event. Raises NotFound."""
    _take_out(connection, brand_id, rejected_id)


def _take_out(connection: Connection, brand_id: UUID, rejected_id: UUID) -> str:
    columns = rejected_events.c
    taken: Any = connection.execute(
        delete(rejected_events)
        .where(columns.brand_id == brand_id, columns.rejected_id == rejected_id)
        .returning(columns.body)
    ).scalar()
    if taken is None:
        raise NotFound("There is no such rejected event.")
    return str(taken)
