"""`issuance explain`: why a membership got its credits, and why it did not."""

from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Connection, text

from issuance.cli.connections import BrandOption, brand_of, transaction
from issuance.cli.dates import FromOption, ToOption
from issuance.cli.output import JsonOption, show_json, show_table
from issuance.memberships import explanations

_RULE_NAMES = text("""
    SELECT DISTINCT ON (credit_rule_id) credit_rule_id, coupon_name
      FROM rule_versions
     WHERE brand_id = :brand_id
     ORDER BY credit_rule_id, version DESC
""")


def explain(
    membership_id: Annotated[UUID, typer.Argument(metavar="MEMBERSHIP")],
    credit_rule_id: Annotated[UUID | None, typer.Option("--rule", metavar="ID", help="Only this credit rule.")] = None,
    first: FromOption = None,
    last: ToOption = None,
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why credits were issued, or why not.

    A row for each period of each rule and each guest, in sentences. Without dates: from the sign-up to today.
    """
    brand_id = brand_of("membership", membership_id, brand)
    with transaction(brand_id) as connection:
        explained = explanations.explain(
            connection, brand_id, membership_id, credit_rule_id=credit_rule_id, first=first, last=last
        )
        names = _rule_names(connection, brand_id)
    rows, idle = explained.rows, explained.charges_for_nothing
    if as_json:
        show_json({"data": rows, "charges_for_nothing": idle})
        return
    people = [
        {
            **row,
            "rule": names.get(UUID(str(row["credit_rule_id"]))),
            "guest": row["guest"]["name"],
            "why": row["text"],
        }
        for row in sorted(rows, key=lambda row: str(row["period_start"]))
    ]
    columns = ("period_start", "rule", "guest", "outcome", "reason", "why")
    show_table("Occurrences", people, columns, empty="No occurrences in this span.")
    if idle:
        show_table("Charges that pay for nothing", idle, tuple(idle[0]))


def _rule_names(connection: Connection, brand_id: UUID) -> dict[UUID, Any]:
    """The rules' ids with the name that their latest version gives the credit."""
    rows = connection.execute(_RULE_NAMES, {"brand_id": brand_id})
    return {row.credit_rule_id: row.coupon_name for row in rows}
