"""How lists are asked for and shown: with the command `list` in every group, in pages, for people or for programs."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Connection
from typer.core import TyperGroup

from issuance import limits
from issuance.cli.connections import only_brand, transaction
from issuance.cli.output import show_json, show_table
from issuance.database import paging

PER_PAGE = 100

PageOption = Annotated[int, typer.Option("--page", min=1, max=paging.LAST_PAGE, help=f"From 1; {PER_PAGE} rows each.")]
MemberOption = Annotated[
    str | None, typer.Option("--member", metavar="ID", help="Only this member's, by the brand's id.")
]
TypeOption = Annotated[UUID | None, typer.Option("--type", metavar="ID", help="Only this membership type's.")]

#: Reads a page of what a brand has, from the connection, the brand, the page's number and its size.
Paged = Callable[[Connection, UUID, int, int], paging.Rows]


class Listing(TyperGroup):
    """A group that lists if no command is named. Options may stand before the command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command first."""
        named = next((one for one in args if one in self.commands), None)
        if named is not None:
            args.remove(named)
            args.insert(0, named)
        elif not args or (args[0].startswith("-") and "--help" not in args):
            args.insert(0, "list")
        return super().parse_args(ctx, args)


def show_page(
    title: str,
    paged: Paged,
    columns: Sequence[str],
    brand: UUID | None,
    page: int,
    *,
    as_json: bool,
    empty: str,
    per_page: int = PER_PAGE,
) -> None:
    """Show one page of what a brand has. `paged` counts rows that may be many up to a bound, and one
    more."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        rows, counted = paged(connection, brand_id, page, per_page)
    most = limits.current.database.counted
    many = counted > most
    if as_json:
        meta: dict[str, int | None] = {"page": page, "per_page": per_page, "total": None if many else counted}
        if many:
            meta["total_at_least"] = most
        show_json({"data": rows, "meta": meta})
        return
    number = f"more than {most}" if many else str(counted)
    which = f", page {page}" if counted > per_page else ""
    show_table(f"{title} ({number}{which})", rows, columns, empty=f"Page {page} has none." if counted else empty)
