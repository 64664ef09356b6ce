"""`issuance brands`: the tenants."""

from typing import Annotated

import typer

from issuance.cli.connections import NONE_YET, transaction
from issuance.cli.output import JsonOption, show_json, show_table
from issuance.tenancy import brands

app = typer.Typer(help="Brands: create one (with its first key), list them.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="What people call it.")],
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="IANA time zone, such as Europe/Lisbon.")],
    sandbox: Annotated[bool, typer.Option("--sandbox", help="A sandbox has a clock that you can move.")] = False,
    _: JsonOption = False,
) -> None:
    """Create a brand and its first key.

    The key has every scope and is shown only now. Prints JSON, asked or not.
    """
    with transaction() as connection:
        brand_id, key = brands.create(connection, name=name, timezone=timezone, sandbox=sandbox)
    show_json({"brand_id": brand_id, "key": key})


@app.command("list")
def list_brands(as_json: JsonOption = False) -> None:
    """List the brands."""
    with transaction() as connection:
        rows = brands.page(connection)
    if as_json:
        show_json({"data": rows})
    else:
        show_table("Brands", rows, ("brand_id", "name", "environment", "timezone", "created_at"), empty=NONE_YET)
