"""Quarantine: memberships whose settling failed again and again, and queue messages that nobody could read.

Their neighbours go on; they wait here for the operator.
"""

from uuid import UUID

from sqlalchemy import Connection, func, select, update

from issuance import audit
from issuance.database import paging
from issuance.database.tables import quarantined_messages, schedules
from issuance.errors import NotFound
from issuance.tenancy import clock


def page(connection: Connection, brand_id: UUID, page: int, per_page: int) -> paging.Rows:
    """A page of the brand's quarantined memberships, the latest first."""
    columns = schedules.c
    found = (
        select(columns.schedule_id.label("membership_id"), columns.attempts, columns.quarantined_at, columns.last_error)
        .where(columns.brand_id == brand_id, columns.quarantined_at.is_not(None))
        .order_by(columns.quarantined_at.desc(), columns.schedule_id)
    )
    return paging.rows_of(connection, found, page, per_page)


def unreadable_messages(connection: Connection) -> int:
    """How many queue messages could not be read. Of no known brand, as they are unreadable."""
    return connection.execute(select(func.count()).select_from(quarantined_messages)).scalar_one()


def retry(connection: Connection, brand_id: UUID, membership_id: UUID) -> None:
    """Let a membership out, due at once. Call `hints.settle` after the commit. Raises NotFound."""
    now = clock.read(connection, brand_id).now
    columns = schedules.c
    freed = connection.execute(
        update(schedules)
        .where(
            columns.brand_id == brand_id,
            columns.schedule_id == membership_id,
            columns.quarantined_at.is_not(None),
        )
        .values(
            attempts=0, retry_at=None, quarantined_at=None, due_at=func.least(func.coalesce(columns.due_at, now), now)
        )
    )
    if freed.rowcount == 0:
        raise NotFound("This membership is not in quarantine.")
    audit.write(connection, brand_id, "membership.retried", membership_id)
