"""`issuance audit`: who did what, when and why; and which months of the audit are there."""

import time
from datetime import date, datetime
from typing import Annotated, Any, get_args
from uuid import UUID

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from issuance import audit as entries
from issuance import limits
from issuance.audit import Action, detaching
from issuance.cli.connections import BrandOption, transaction
from issuance.cli.dates import parse_instant, parse_month
from issuance.cli.listing import Listing, PageOption, show_page
from issuance.cli.output import JsonOption, as_cell, say, show_json, show_table
from issuance.database import months, paging
from issuance.database.months import Partition
from issuance.errors import Conflict, Invalid
from issuance.shown import number

app = typer.Typer(cls=Listing, help="The audit: who changed what, the latest first; its months, and detach old ones.")

#: How often a lock on the audit is tried for, for half a second each time, and the seconds between.
TURNS, REST = 40, 0.25


@app.command("list")
def list_entries(
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
            most=limits.current.database.counted,
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


@app.command("months")
def list_months(as_json: JsonOption = False) -> None:
    """List the months of the audit that are there, of all brands. Numbers of entries are estimates."""
    with transaction() as connection:
        rows = [_row(part) for part in detaching.parts(connection)]
    if as_json:
        show_json({"data": rows})
    else:
        show_table("Months of the audit", rows, ("table", "since", "until", "entries", "bytes"), empty="None.")


@app.command("detach")
def detach(
    before: Annotated[
        date, typer.Option(metavar="YYYY-MM", parser=parse_month, help="Only what is older than this month.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Make old months of the audit tables of their own, of all brands, to be dumped and dropped.

    The audit, exports of members, forgetting them and law 11 know nothing of these any more.
    """
    with transaction() as connection:
        found = detaching.before(connection, before)
    rows = []
    for part in found:
        detached = _detach_in_turns(part)
        rows.append(_row(part._replace(rows=detached)))
        if not as_json:
            told = f"{number(detached, 'entry', 'entries')} until {part.until}"
            say(f"{part.name} is a table of its own: {told}. pg_dump --table={part.name}, then drop it.")
    if as_json:
        show_json({"data": rows})
    elif not rows:
        say("There is no month that is older.")


def _detach_in_turns(part: Partition) -> int:
    """Detach a month as soon as nobody works on the audit for a moment."""
    for _ in range(TURNS):
        try:
            with transaction() as connection:
                return detaching.detach(connection, part)
        except DBAPIError as error:
            if not months.is_busy(error):
                raise
        time.sleep(REST)
    raise Conflict("Somebody is at work on the audit without a pause. Try again later.")


def _row(part: Partition) -> dict[str, str | int | date | None]:
    return {
        "table": part.name,
        "since": part.since,
        "until": part.until,
        "entries": part.rows,
        "bytes": part.bytes,
    }
