"""`issuance audit`: who did what, when and why."""

from datetime import datetime
from typing import Annotated, Any, get_args
from uuid import UUID

import typer
from sqlalchemy import Connection

from issuance import audit as entries
from issuance.audit import Action
from issuance.cli.connections import BrandOption
from issuance.cli.dates import parse_instant
from issuance.cli.listing import PageOption, show_page
from issuance.cli.output import JsonOption, as_cell
from issuance.database import paging
from issuance.errors import Invalid


def audit(
    brand: BrandOption = None,
    subject_id: Annotated[
        str | None, typer.Option("--subject", metavar="ID", help="Only what was done to this.")
    ] = None,
    actor_id: Annotated[
        UUID | None, typer.Option("--actor", metavar="ID", help="Only what this key or member did.")
    ] = None,
    action: Annotated[str | None, typer.Option(help="Only one kind, such as credit.revoked.")] = None,
    first: Annotated[
        datetime | None, typer.Option("--from", metavar="INSTANT", parser=parse_instant, help="From this instant on.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", metavar="INSTANT", parser=parse_instant, help="Up to it, inclusive.")
    ] = None,
    page: PageOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Who changed what, the latest first."""
    if action is not None and action not in get_args(Action):
        raise Invalid(f"There is no action {action}. There are: {', '.join(get_args(Action))}")

    def paged(connection: Connection, brand_id: UUID, page: int, per_page: int) -> paging.Rows:
        rows, total = entries.page(
            connection,
            brand_id,
            page,
            per_page,
            most=paging.MOST_COUNTED,
            subject_id=subject_id,
            actor_id=actor_id,
            action=action,
            first=first,
            last=last,
        )
        return (rows if as_json else [_as_read(row) for row in rows]), total

    columns = ("at", "actor", "action", "subject", "reason", "change")
    show_page("Audit", paged, columns, brand, page, as_json=as_json, empty="Nothing.")


def _as_read(entry: dict[str, Any]) -> dict[str, Any]:
    actor = entry["actor"]
    return {
        **entry,
        "actor": " ".join(as_cell(actor[part]) for part in ("kind", "name", "id") if actor[part]),
        "subject": entry["subject"]["id"],
        "change": entry["after"] or entry["before"],
    }
