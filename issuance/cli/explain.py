"""`issuance explain`: why a membership got its credits, and why it did not."""

from typing import Annotated
from uuid import UUID

import typer

from issuance.cli.connect import BrandOption, brand_of, transaction
from issuance.cli.dates import FromOption, ToOption
from issuance.cli.output import JsonOption, show_json, show_table
from issuance.settling import explaining


def explain(
    membership_id: Annotated[UUID, typer.Argument(metavar="MEMBERSHIP")],
    credit_rule_id: Annotated[UUID | None, typer.Option("--rule", metavar="ID", help="Only this credit rule.")] = None,
    first: FromOption = None,
    last: ToOption = None,
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what became of each turn of each rule for a membership's guests, in sentences."""
    brand_id = brand_of("membership", membership_id, brand)
    with transaction(brand_id) as connection:
        rows = explaining.explain(
            connection, brand_id, membership_id, credit_rule_id=credit_rule_id, first=first, last=last
        )
    if as_json:
        show_json({"data": rows})
        return
    people = [{**row, "guest": row["guest"]["name"] if row["guest"] else None, "why": row["text"]} for row in rows]
    show_table("Turns", people, ("period_start", "guest", "outcome", "reason", "why"), empty="No turns in this span.")
