"""`issuance forecast`: how many credits a rule will issue."""

from typing import Annotated
from uuid import UUID

import typer

from issuance.catalog import rules
from issuance.cli.connections import BrandOption, brand_of, transaction
from issuance.cli.output import JsonOption, show_json, show_table
from issuance.memberships import forecasts


def forecast(
    credit_rule_id: Annotated[UUID, typer.Argument(metavar="RULE")],
    months: Annotated[int, typer.Option(min=1, max=60, help="How many, from the present one on.")] = 12,
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how many credits a rule will issue, month by month.

    What then happens if every charge comes on its day: what is announced happens, no rule is changed, and who needs
    attention stays so.
    """
    brand_id = brand_of("credit rule", credit_rule_id, brand)
    with transaction(brand_id) as connection:
        rule = rules.get(connection, brand_id, credit_rule_id)
        ahead = forecasts.forecast(connection, brand_id, credit_rule_id, months)
    if as_json:
        show_json({"data": ahead})
    else:
        show_table(rule["coupon_name"], ahead, ("month", "credits"))
