"""From the id that a brand knows a person by to Issuance's own, inside a statement."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, select

from issuance.database.tables import members


def member_id_of(brand_id: UUID | ColumnElement[Any], external_user_id: str | ColumnElement[Any]) -> ScalarSelect[UUID]:
    """The `member_id` of a person, NULL of one who was never named; found once, by its key, before anything is read."""
    found = select(members.c.member_id)
    found = found.where(members.c.brand_id == brand_id, members.c.external_user_id == external_user_id)
    return found.correlate(None).scalar_subquery()
