"""`issuance keys`: the keys that programs authenticate with."""

import math
from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

import typer

from issuance.cli.connections import BrandOption, brand_of, only_brand, transaction
from issuance.cli.dates import parse_date
from issuance.cli.output import JsonOption, answer, show_json, show_table
from issuance.tenancy import keys

#: How long a rotated key stays valid at most: a year.
_MOST_HOURS = 8784


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 <= hours <= _MOST_HOURS:
        raise typer.BadParameter(f"{text!r} is not a number of hours from 0 to {_MOST_HOURS}, a year")
    return hours


app = typer.Typer(help="A brand's keys: create, list, rotate, revoke.", no_args_is_help=True)


@app.command("create")
def create(
    brand: BrandOption = None,
    scopes: Annotated[str, typer.Option(help="Any of read,write,issue,tokens,admin.")] = "read",
    prefix: Annotated[str, typer.Option(help="What the key begins with, for clients that insist on it.")] = "iss",
    name: Annotated[str | None, typer.Option(help="What it is for; the audit names it so.")] = None,
    expires: Annotated[
        date | None,
        typer.Option(metavar="DATE", parser=parse_date, help="The first day on which it is refused, YYYY-MM-DD."),
    ] = None,
    _: JsonOption = False,
) -> None:
    """Create a key.

    It is shown only now. Prints JSON, asked or not.
    """
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        wanted = [scope.strip() for scope in scopes.split(",")]
        key_id, key = keys.create(connection, brand_id, wanted, name, prefix=prefix, expires_on=expires)
    show_json({"key_id": key_id, "key": key})


@app.command("list")
def list_keys(brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """List a brand's keys. The keys themselves are kept nowhere."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        rows = keys.all_of(connection, brand_id)
    if as_json:
        show_json({"data": rows})
    else:
        show_table("Keys", rows, ("key_id", "name", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at"))


@app.command("rotate")
def rotate(
    key_id: Annotated[UUID, typer.Argument(metavar="KEY_ID")],
    hours: Annotated[
        float, typer.Option("--overlap-hours", metavar="N", parser=_hours, help="How long the old one goes on.")
    ] = 24,
    _: JsonOption = False,
) -> None:
    """Create a key in another's place, with its scopes, name, prefix and last day; the other goes on for a while.

    It is shown only now. Prints JSON, asked or not.
    """
    brand_id = brand_of("key", key_id)
    with transaction(brand_id) as connection:
        new_id, key = keys.rotate(connection, brand_id, key_id, overlap=timedelta(hours=hours))
    show_json({"key_id": new_id, "key": key})


@app.command("rotate-tokens")
def rotate_tokens(as_json: JsonOption = False) -> None:
    """Sign members' tokens with a new secret; those that are out go on until they expire."""
    from issuance.tenancy import tokens  # late: it brings signatures

    with transaction() as connection:
        tokens.rotate(connection)
    answer("Members' tokens are signed with a new secret.", {"rotated": True}, as_json=as_json)


@app.command("revoke")
def revoke(key_id: Annotated[UUID, typer.Argument(metavar="KEY_ID")], as_json: JsonOption = False) -> None:
    """Revoke a key: from now on it is refused."""
    brand_id = brand_of("key", key_id)
    with transaction(brand_id) as connection:
        keys.revoke(connection, brand_id, key_id)
    answer(f"Key {key_id} is revoked.", {"key_id": key_id, "revoked": True}, as_json=as_json)
