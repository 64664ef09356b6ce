"""`/quarantine`: memberships that were set apart because their settling failed again and again."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from issuance import hints
from issuance.api.callers import Reader, Writer
from issuance.api.lists import Page, PageMeta, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.engine import quarantine

router = APIRouter(
    prefix="/quarantine", tags=["quarantine"], route_class=KeyedRoute, responses=documented(401, 403, 422)
)


class QuarantinedMembership(BaseModel):
    membership_id: UUID
    attempts: int
    quarantined_at: datetime
    last_error: str | None


class QuarantineMeta(PageMeta):
    unreadable_messages: int = Field(description="Queue messages that nobody could read; they belong to no brand")


class QuarantinePage(PageOf[QuarantinedMembership]):
    """One page of the memberships that are set apart."""

    meta: QuarantineMeta


@router.get("", operation_id="listQuarantine", response_model=QuarantinePage)
def list_quarantine(caller: Reader, page: Page = 1, per_page: PerPage = 25) -> Any:
    """List the memberships that are set apart, the latest first."""
    with caller.transaction() as connection:
        found = listed(quarantine.page(connection, caller.brand_id, page, per_page), page, per_page, caller.url)
        found["meta"]["unreadable_messages"] = quarantine.unreadable_messages(connection)
    return found


@router.post("/{membership_id}/retry", operation_id="retryQuarantined", status_code=204, responses=documented(404))
def retry_quarantined(caller: Writer, membership_id: UUID) -> Response:
    """Take a membership out of quarantine: it is settled at once, with five new attempts."""
    with caller.transaction() as connection:
        quarantine.retry(connection, caller.brand_id, membership_id)
    hints.settle(caller.broker, caller.brand_id, [membership_id])
    return Response(status_code=204)
