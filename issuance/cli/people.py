"""`issuance people`: who signs in to the console, and with which role (INTERFACE 12)."""

from typing import Annotated
from uuid import UUID

import typer

from issuance import addresses
from issuance.cli.connections import BrandOption, only_brand, transaction
from issuance.cli.output import JsonOption, answer, say, show_json, show_table
from issuance.errors import NotFound
from issuance.people import invitations, people, sign_ins
from issuance.people.roles import MEANINGS
from issuance.settings import settings

app = typer.Typer(help="The console's people: add, list, remove, sign out.", no_args_is_help=True)

NOBODY = "Nobody is let in yet. issuance people add --email E --role R does it."

EmailOption = Annotated[str, typer.Option(help="Their e-mail address.")]


@app.command("add")
def add(
    email: EmailOption,
    role: Annotated[str, typer.Option(help=f"{'; '.join(f'{role}: {what}' for role, what in MEANINGS.items())}.")],
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a person a role in a brand, and print a link that lets them in once.

    Of somebody who is known already, it changes the role and makes a new link.
    """
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        person_id, token = invitations.invite_by_command(connection, brand_id, email, role)
    link = f"{public_address()}{sign_ins.path_of(token, brand_id)}"
    if as_json:
        show_json({"person_id": person_id, "email": people.read_email(email), "role": role, "link": link})
    else:
        say(f"{people.read_email(email)} is {role}. This link lets them in once, within a day:")
        say(f"  {link}")


@app.command("list")
def list_people(brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """List the people of a brand."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        rows = people.all_of(connection, brand_id)
    if as_json:
        show_json({"data": rows})
    else:
        show_table("People", rows, ("email", "role", "has_password", "created_at", "signed_in_at"), empty=NOBODY)


@app.command("remove")
def remove(email: EmailOption, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Take a person's role in a brand: from now on it is closed to them."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        person_id = _person(people.all_of(connection, brand_id), email)
        people.remove(connection, brand_id, person_id)
    answer(f"{email} has no role here any more.", {"person_id": person_id, "removed": True}, as_json=as_json)


@app.command("sign-out")
def sign_out(email: EmailOption, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Sign a person out of every browser."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        person_id = _person(people.all_of(connection, brand_id), email)
        people.sign_out(connection, brand_id, person_id)
    answer(f"{email} is signed out everywhere.", {"person_id": person_id, "signed_out": True}, as_json=as_json)


def server_address() -> str:
    """Where the web process with these settings answers on this machine."""
    return addresses.here(settings().host, settings().port)


def public_address() -> str:
    """Where people and billers reach the web process: the operator's own address, or this machine's."""
    return settings().public_url or server_address()


def _person(rows: list[dict[str, object]], email: str) -> UUID:
    address = people.read_email(email)
    for row in rows:
        if row["email"] == address:
            assert isinstance(row["id"], UUID), "it is a person's"
            return row["id"]
    raise NotFound("There is no such person in this brand.")
