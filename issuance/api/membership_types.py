"""`/customers/membership-types`."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from issuance.api.callers import Reader, Writer
from issuance.api.lists import Page, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.catalog import membership_types
from issuance.catalog.membership_types import NewMembershipType

router = APIRouter(
    prefix="/customers/membership-types",
    tags=["membership types"],
    route_class=KeyedRoute,
    responses=documented(401, 403, 422),
)


class NamedMembershipType(BaseModel):
    """The membership type of something else."""

    id: UUID
    name: str


class MembershipType(BaseModel):
    """A tier that memberships are sold on."""

    id: UUID
    name: str
    billing: Literal["external", "automatic"]
    created_at: datetime


class MembershipTypePage(PageOf[MembershipType]):
    """One page of membership types."""


@router.get("", operation_id="listMembershipTypes", response_model=MembershipTypePage)
def list_membership_types(caller: Reader, page: Page = 1, per_page: PerPage = 25) -> Any:
    """List membership types, the oldest first."""
    with caller.transaction() as connection:
        return listed(membership_types.page(connection, caller.brand_id, page, per_page), page, per_page, caller.url)


@router.post("", operation_id="createMembershipType", status_code=201, response_model=MembershipType)
def create_membership_type(caller: Writer, body: NewMembershipType) -> Any:
    """Create a membership type."""
    with caller.transaction() as connection:
        return membership_types.create(connection, caller.brand_id, body)


@router.get(
    "/{membership_type_id}",
    operation_id="getMembershipType",
    response_model=MembershipType,
    responses=documented(404),
)
def get_membership_type(caller: Reader, membership_type_id: UUID) -> Any:
    """Get one membership type."""
    with caller.transaction() as connection:
        return membership_types.get(connection, caller.brand_id, membership_type_id)
