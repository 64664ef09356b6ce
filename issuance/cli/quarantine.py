"""`issuance quarantine`: memberships that could not be settled, and messages that could not be read."""

from typing import Annotated
from uuid import UUID

import typer

from issuance.cli.connections import BrandOption, brand_of, broker, only_brand, transaction
from issuance.cli.output import JsonOption, answer, show_json, show_table
from issuance.engine import quarantine

app = typer.Typer(help="What was set apart because it kept failing: list it, retry it.", no_args_is_help=True)


@app.command("list")
def list_quarantined(brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """List what is set apart, with its last error."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        rows, total = quarantine.page(connection, brand_id, 1, 100)
    if as_json:
        show_json({"data": rows, "meta": {"page": 1, "per_page": 100, "total": total}})
    else:
        columns = ("membership_id", "quarantined_at", "attempts", "last_error")
        show_table(f"Quarantine ({total})", rows, columns, empty="Nothing is set apart.")


@app.command("retry")
def retry(
    membership_id: Annotated[UUID, typer.Argument(metavar="MEMBERSHIP")],
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle a membership again, after the cause was fixed."""
    brand_id = brand_of("membership", membership_id, brand)
    with transaction(brand_id) as connection:
        quarantine.retry(connection, brand_id, membership_id)
    from issuance import hints  # late: it brings the queue

    hints.settle(broker(), brand_id, [membership_id])
    answer(f"Membership {membership_id} will be settled again.", {"membership_id": membership_id}, as_json=as_json)
