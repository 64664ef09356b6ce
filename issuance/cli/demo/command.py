"""The command `issuance demo`."""

import time

import typer

from issuance.cli.check import is_broken, show_verdicts, verdicts_of
from issuance.cli.connections import transaction
from issuance.cli.demo.narrator import Narrator
from issuance.cli.demo.sandbox import Sandbox, address_of_server
from issuance.cli.demo.story import Story
from issuance.cli.output import say
from issuance.laws import LAWS
from issuance.people import invitations, people, sign_ins
from issuance.tenancy import brands


def demo() -> None:
    """Play four billing cycles of a small spa club.

    On a fresh sandbox brand of the running server. Exits 1 if anything is not as it must be.
    """
    began = time.monotonic()
    address = address_of_server()
    with transaction() as connection:
        brand_id, key = brands.create(connection, name="Harbour Baths (demo)", timezone="Europe/Lisbon", sandbox=True)
        _, token = invitations.invite_by_command(connection, brand_id, people.OPERATOR, "admin")
        link = sign_ins.path_of(token, brand_id)
    Story(Sandbox(address, key), Narrator()).tell()

    say("The laws of credits, checked on what is now in the database:")
    verdicts = verdicts_of(LAWS, [brand_id])
    show_verdicts(verdicts)
    if is_broken(verdicts):
        raise typer.Exit(1)
    say("")
    say(f"Everything is as it must be ({time.monotonic() - began:.0f} s). While the server runs, look around:")
    say("")
    say(f"  {address}{link}   (lets you in once)")
    say(f"  curl -H 'Authorization: Bearer {key}' '{address}/customers/credits?status=live'")
    say(f"  issuance runs --brand {brand_id}")
