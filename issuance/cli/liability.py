"""`issuance liability`: what a brand owes in credits, month by month."""

import sys
from datetime import date
from typing import Annotated

import typer

from issuance.cli.connections import BrandOption, only_brand, transaction
from issuance.cli.dates import parse_month
from issuance.cli.output import JsonOption, show_json, show_table
from issuance.credits import liability as liabilities


def liability(
    first: Annotated[
        date | None,
        typer.Option(
            "--from", parser=parse_month, metavar="YYYY-MM", help="The first month; else that of the first credit."
        ),
    ] = None,
    last: Annotated[
        date | None,
        typer.Option("--to", parser=parse_month, metavar="YYYY-MM", help="The last month; else the present one."),
    ] = None,
    brand: BrandOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Say what a brand owes in credits: opening, issued, redeemed, expired, revoked, restored and closing by month.

    By number, and by value where a coupon has an amount in a currency. A month that is over does not change any more:
    what becomes known later counts when it becomes known.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv do not go together")
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        rows = liabilities.read(connection, brand_id, first, last)
    if as_json:
        show_json({"data": rows})
    elif as_csv:
        sys.stdout.write(liabilities.as_csv(rows))
    else:
        columns = ("month", "coupon_id", *liabilities.AMOUNTS, "currency", "closing_value")
        show_table("Liability", liabilities.flat(rows), columns, empty="No credit was issued up to then.")
