"""`issuance memberships`: who has signed up, and where their memberships stand."""

from functools import partial
from typing import Annotated

import typer

from issuance import limits
from issuance.cli.connections import BrandOption
from issuance.cli.listing import Listing, MemberOption, PageOption, TypeOption, show_page
from issuance.cli.output import JsonOption
from issuance.memberships import memberships
from issuance.memberships.memberships import Status

app = typer.Typer(cls=Listing, help="Memberships: list them.")


@app.command("list")
def list_memberships(
    member: MemberOption = None,
    membership_type_id: TypeOption = None,
    status: Annotated[Status | None, typer.Option(help="Only those that stand so.")] = None,
    brand: BrandOption = None,
    page: PageOption = 1,
    as_json: JsonOption = False,
) -> None:
    """List the memberships, by id."""
    columns = ("id", "external_user_id", "status", "starts_on", "ends_on", "billing_anchor", "billing_frequency")
    paged = partial(
        memberships.page,
        most=limits.current.database.counted,
        external_user_id=member,
        membership_type_id=membership_type_id,
        status=status,
    )
    show_page("Memberships", paged, columns, brand, page, as_json=as_json, empty="No such memberships.")
