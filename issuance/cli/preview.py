"""`issuance preview`: what a rule that is not saved would change."""

import json
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError

from issuance.catalog import previews
from issuance.catalog.previews import PreviewBody
from issuance.cli import runs
from issuance.cli.connections import BrandOption, brand_of, broker, only_brand, transaction
from issuance.cli.output import JsonOption
from issuance.errors import Invalid
from issuance.fields import complaint


def preview(
    credit_rule_id: Annotated[UUID | None, typer.Argument(metavar="[RULE]", help="Without: a new rule.")] = None,
    says: Annotated[
        str | None, typer.Option("--says", metavar="JSON", help="What it would be, by the fields of the API.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="It would be deleted.")] = False,
    months: Annotated[int, typer.Option(min=1, max=60, help="How many, from the present one on.")] = 12,
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a rule would change if it were saved now: credits by month, and who gains or loses what.

    Works it out as a run, and waits for it; nothing else is written.
    """
    brand_id = only_brand(brand) if credit_rule_id is None else brand_of("credit rule", credit_rule_id, brand)
    try:
        body = PreviewBody(credit_rule_id=credit_rule_id, rule=_parsed(says), delete=delete, months=months)
    except ValidationError as error:
        raise Invalid("; ".join(complaint(one) for one in error.errors())) from None
    with transaction(brand_id) as connection:
        run_id = previews.start(connection, brand_id, body)
    from issuance import hints  # late: it brings the queue

    hints.work_on_run(broker(), brand_id, run_id, batches=1)
    runs.follow(brand_id, run_id, as_json=as_json)


def _parsed(says: str | None) -> Any:
    try:
        return None if says is None else json.loads(says)
    except ValueError:
        raise typer.BadParameter("--says is a JSON object") from None
