"""Lists in pages: `?page=1&per_page=25` → {"data", "meta"} (INTERFACE 4)."""

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from issuance.database import paging

Item = TypeVar("Item")

Page = Annotated[int, Query(ge=1, le=paging.LAST_PAGE, description="The page, from 1")]
PerPage = Annotated[int, Query(ge=1, le=paging.LONGEST_PAGE, description="How many a page")]


class PageMeta(BaseModel):
    page: int
    per_page: int
    total: int


class PageOf(BaseModel, Generic[Item]):
    """One page of a list. Each list has a subclass of its own, whose name the API document shows."""

    data: list[Item]
    meta: PageMeta


def listed(found: paging.Rows, page: int, per_page: int) -> dict[str, Any]:
    """A page of rows in the form that is sent."""
    rows, total = found
    return {"data": rows, "meta": {"page": page, "per_page": per_page, "total": total}}
