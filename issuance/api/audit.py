"""`/audit`: who did what, when and why (SEMANTICS 16)."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from issuance import audit
from issuance.api.callers import Administrator
from issuance.api.lists import Cursor, Page, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.audit import Action
from issuance.audit.actors import ActorKind
from issuance.fields import Identifier, Instant

router = APIRouter(tags=["audit"], route_class=KeyedRoute, responses=documented(401, 403, 422))


class Actor(BaseModel):
    """Who did it. A member has Issuance's own id and no name."""

    kind: ActorKind
    id: UUID | None
    name: str | None


class Subject(BaseModel):
    """What it was done to."""

    kind: str
    id: str


class AuditEntry(BaseModel):
    """One change: it is written in the transaction that made it, and never changed."""

    id: UUID
    at: datetime = Field(description="Real time")
    brand_time: datetime
    actor: Actor
    action: Action
    subject: Subject
    reason: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None


class AuditPage(PageOf[AuditEntry]):
    """One page of the audit."""


@router.get("/audit", operation_id="listAuditEntries", response_model=AuditPage)
def list_audit_entries(
    caller: Administrator,
    subject_id: Identifier | None = None,
    actor_id: UUID | None = None,
    action: Action | None = None,
    first: Annotated[Instant | None, Query(alias="from", description="An instant of real time, inclusive")] = None,
    last: Annotated[Instant | None, Query(alias="to", description="An instant of real time, inclusive")] = None,
    page: Page = 1,
    per_page: PerPage = 25,
    cursor: Cursor = None,
) -> Any:
    """List who changed what, the latest first."""
    with caller.transaction() as connection:
        found = audit.part(
            connection,
            caller.brand_id,
            page,
            per_page,
            cursor,
            subject_id=subject_id,
            actor_id=actor_id,
            action=action,
            first=first,
            last=last,
        )
    return listed(found, page, per_page, caller.url)
