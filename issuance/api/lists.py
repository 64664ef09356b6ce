"""Lists in pages: `?page=1&per_page=25` → {"data", "meta", "links"} (INTERFACE 4)."""

from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.datastructures import URL

from issuance import limits
from issuance.database import paging
from issuance.fields import IN_DIGITS

Item = TypeVar("Item")

Page = Annotated[int, Field(ge=1, le=paging.LAST_PAGE), IN_DIGITS, Query(description="The page, from 1")]
#: A parameter of links to next pages: the page follows the row with this id, whatever `page` says.
Cursor = Annotated[
    UUID | None,
    Query(description="From `links.next`: the page after a row, as quick as the first however far on"),
]
PerPage = Annotated[int, Field(ge=1, le=paging.LONGEST_PAGE), IN_DIGITS, Query(description="How many a page")]


class PageMeta(BaseModel):
    """Where a page lies in its list. `current_page` is `page` by the name that the reference's neighbours have."""

    page: int
    per_page: int
    total: int | None = Field(description="null of a list that is too long to be counted")
    total_at_least: int | None = Field(description="Where `total` is null: there are so many, or more")
    current_page: int
    last_page: int | None = Field(description="1 of a list that is empty; null where `total` is")
    first: int | None = Field(alias="from", description="The number of the page's first item in the list, from 1")
    last: int | None = Field(alias="to", description="The number of its last; null where the page is empty")


class PageLinks(BaseModel):
    """The addresses of other pages, with the filters of this one."""

    first: str
    last: str | None
    prev: str | None
    next: str | None = Field(description="null on the last page")


class PageOf(BaseModel, Generic[Item]):
    """One page of a list. Each list has a subclass of its own, whose name the API document shows."""

    data: list[Item]
    meta: PageMeta
    links: PageLinks


def listed(found: paging.Rows | paging.Part, page: int, per_page: int, url: URL) -> dict[str, Any]:
    """A page of rows in the form that is sent. `url` is the one that asked for it."""
    rows, total, *last = found
    last_page = None if total is None else max(1, -(-total // per_page))
    url = url.remove_query_params("cursor")

    def at(number: int, **more: str) -> str:
        return str(url.include_query_params(page=number, per_page=per_page, **more))

    if last:
        following = None if last[0] is None else at(min(page + 1, paging.LAST_PAGE), cursor=str(last[0]))
    else:
        following = at(page + 1) if last_page is not None and page < last_page else None

    before = (page - 1) * per_page
    return {
        "data": rows,
        "meta": {
            "page": page,
            "per_page": per_page,
            "total": total,
            "total_at_least": limits.current.database.counted + 1 if total is None else None,
            "current_page": page,
            "last_page": last_page,
            "from": before + 1 if rows else None,
            "to": before + len(rows) if rows else None,
        },
        "links": {
            "first": at(1),
            "last": None if last_page is None else at(last_page),
            "prev": at(page - 1) if page > 1 else None,
            "next": following,
        },
    }
