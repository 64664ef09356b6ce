"""`issuance quarantine`: memberships that could not be settled, and messages that could not be read."""

from typing import Annotated
from uuid import UUID

import typer

from issuance.cli.connections import BrandOption, brand_of, broker, transaction
from issuance.cli.listing import PageOption, show_page
from issuance.cli.output import JsonOption, answer
from issuance.engine import quarantine

app = typer.Typer(help="What was set apart because it kept failing: list it, retry it.", no_args_is_help=True)


@app.command("list")
def list_quarantined(brand: BrandOption = None, page: PageOption = 1, as_json: JsonOption = False) -> None:
    """List what is set apart, with its last error."""
    columns = ("membership_id", "quarantined_at", "attempts", "last_error")
    show_page("Quarantine", quarantine.page, columns, brand, page, as_json=as_json, empty="Nothing is set apart.")


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
