"""`issuance webhooks`: which of a brand's servers are told, and the state of each webhook."""

import typer

from issuance.cli.connections import BrandOption, only_brand, transaction
from issuance.cli.listing import Listing
from issuance.cli.output import JsonOption, show_json, show_table
from issuance.webhooks import webhooks

app = typer.Typer(cls=Listing, help="Webhooks: list them.")


@app.command("list")
def list_webhooks(brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """List the webhooks, the oldest first. Their secrets are shown nowhere."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        rows = webhooks.all_of(connection, brand_id)
    if as_json:
        show_json({"data": rows})
    else:
        columns = ("id", "url", "events", "enabled", "disabled_reason", "failing_since")
        show_table(f"Webhooks ({len(rows)})", rows, columns, empty="No webhooks yet.")
