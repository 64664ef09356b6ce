"""`issuance audit`: who did what, when and why."""

from datetime import datetime
from typing import Annotated, get_args
from uuid import UUID

import typer

from issuance import audit as entries
from issuance.audit import Action
from issuance.cli.connections import BrandOption, only_brand, transaction
from issuance.cli.dates import parse_instant
from issuance.cli.output import JsonOption, as_cell, show_json, show_table
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
    page: Annotated[int, typer.Option(min=1, help="The page, from 1; 100 entries each.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Who changed what, the latest first."""
    if action is not None and action not in get_args(Action):
        raise Invalid(f"There is no action {action}. There are: {', '.join(get_args(Action))}")
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        rows, total = entries.page(
            connection,
            brand_id,
            page,
            100,
            subject_id=subject_id,
            actor_id=actor_id,
            action=action,
            first=first,
            last=last,
        )
    if as_json:
        show_json({"data": rows, "meta": {"page": page, "per_page": 100, "total": total}})
        return
    shown = [
        {
            **row,
            "actor": " ".join(as_cell(row["actor"][part]) for part in ("kind", "name", "id") if row["actor"][part]),
            "subject": row["subject"]["id"],
            "change": row["after"] or row["before"],
        }
        for row in rows
    ]
    show_table(f"Audit ({total})", shown, ("at", "actor", "action", "subject", "reason", "change"), empty="Nothing.")
