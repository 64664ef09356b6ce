"""`issuance rules`, `types` and `coupons`: what is promised, listed."""

from uuid import UUID

import typer
from sqlalchemy import Connection

from issuance.catalog import coupons as coupon_room
from issuance.catalog import membership_types
from issuance.catalog import rules as rule_room
from issuance.cli.connections import BrandOption
from issuance.cli.listing import Listing, PageOption, TypeOption, show_page
from issuance.cli.output import JsonOption
from issuance.database import paging

rules = typer.Typer(cls=Listing, help="Credit rules: list them.")
types = typer.Typer(cls=Listing, help="Membership types: list them.")
coupons = typer.Typer(cls=Listing, help="Coupons: list them.")


@rules.command("list")
def list_rules(
    membership_type_id: TypeOption = None,
    brand: BrandOption = None,
    page: PageOption = 1,
    as_json: JsonOption = False,
) -> None:
    """List the credit rules, the oldest first."""

    def paged(connection: Connection, brand_id: UUID, page: int, per_page: int) -> paging.Rows:
        rows, total = rule_room.page(connection, brand_id, page, per_page, membership_type_id=membership_type_id)
        return (rows if as_json else [{**row, "of": row["membership_type"]["name"]} for row in rows]), total

    columns = ("id", "coupon_name", "of", "coupon_id", "issuing_frequency", "version")
    show_page("Credit rules", paged, columns, brand, page, as_json=as_json, empty="No credit rules yet.")


@types.command("list")
def list_types(brand: BrandOption = None, page: PageOption = 1, as_json: JsonOption = False) -> None:
    """List the membership types, the oldest first."""
    columns = ("id", "name", "billing", "created_at")
    empty = "No membership types yet."
    show_page("Membership types", membership_types.page, columns, brand, page, as_json=as_json, empty=empty)


@coupons.command("list")
def list_coupons(brand: BrandOption = None, page: PageOption = 1, as_json: JsonOption = False) -> None:
    """List the coupons, by id."""
    columns = ("id", "name", "discount", "validity", "offerings")
    show_page("Coupons", coupon_room.page, columns, brand, page, as_json=as_json, empty="No coupons yet.")
