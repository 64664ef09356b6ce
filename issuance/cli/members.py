"""`issuance members`: archive people, forget them, and show what is held about them (SEMANTICS 12 and 20)."""

import json
from pathlib import Path
from typing import Annotated

import typer

from issuance import audit
from issuance.cli.connections import BrandOption, broker, only_brand, transaction
from issuance.cli.files import text_of
from issuance.cli.listing import PageOption, show_page
from issuance.cli.output import JsonOption, answer, show_json
from issuance.errors import Invalid, NotFound
from issuance.members import erased, members

app = typer.Typer(help="Members: list, archive, erase, export, and let one be known again.", no_args_is_help=True)

MemberArgument = Annotated[str, typer.Argument(metavar="MEMBER", help="The member, as the brand knows them.")]


@app.command("list")
def list_members(brand: BrandOption = None, page: PageOption = 1, as_json: JsonOption = False) -> None:
    """List the members, the latest first."""
    columns = ("external_user_id", "display_name", "tier", "email", "created_at", "archived_at")
    show_page("Members", members.page, columns, brand, page, as_json=as_json, empty="No members yet.")


@app.command("archive")
def archive(
    member: MemberArgument,
    brand: BrandOption = None,
    retain_balance: Annotated[bool, typer.Option("--retain-balance", help="Keep the points.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a member: their memberships end, their credits are revoked, their points forfeited."""
    from issuance.memberships import archiving  # late: it settles

    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        removed = archiving.archive(connection, brand_id, member, retain_balance=retain_balance)
    from issuance import hints  # late: it brings the queue

    hints.settle(broker(), brand_id, removed.membership_ids)
    told = {"externalUserID": member, "archived": True, "balanceRetained": removed.balance_retained}
    answer(f"Archived: {member}.", told, as_json=as_json)


@app.command("erase")
def erase(member: MemberArgument, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Forget an archived member: a random id stands in their place from now on."""
    from issuance.memberships import forgetting  # late: it reads all that is kept

    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        erasure = forgetting.erase(connection, brand_id, member)
    from issuance import hints  # late: it brings the queue

    hints.settle(broker(), brand_id, erasure.membership_ids)
    told = {"externalUserID": erasure.external_user_id, "erasedAt": erasure.erased_at}
    answer(f"Erased. What is left can be read under {erasure.external_user_id}.", told, as_json=as_json)


@app.command("export")
def export(member: MemberArgument, brand: BrandOption = None, _as_json: JsonOption = True) -> None:
    """Print all that is held about a member, as one JSON document."""
    from issuance.memberships import exporting  # late: it reads all that is kept

    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        show_json(exporting.export(connection, brand_id, member))


@app.command("lift")
def lift(
    called: Annotated[
        str, typer.Argument(metavar="MEMBER", help="An id or e-mail address that they had, or the random id.")
    ],
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let somebody who was erased be known again: from now on facts and calls may name them."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        member_id = erased.lift(connection, brand_id, called)
        if member_id is None:
            raise NotFound("Nobody who was erased was known by that.")
        audit.write(connection, brand_id, "member.lifted", member_id)
    answer("Lifted: they may be named again.", {"member_id": member_id, "lifted": True}, as_json=as_json)


@app.command("erased")
def show_erased(brand: BrandOption = None, _as_json: JsonOption = True) -> None:
    """Print who was erased, as one JSON document of keyed hashes and their key: keep it beside backups, as secret as
    they are."""
    with transaction(brand) as connection:
        show_json(erased.document(connection))


@app.command("erase-again")
def erase_again(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `members erased` printed; - reads stdin.")],
    as_json: JsonOption = False,
) -> None:
    """After a backup was restored: erase again the people of such a document, before anything else is loaded."""
    from issuance.memberships import restoring  # late: it reads all that is kept

    try:
        document = restoring.read(json.loads(text_of(file)))
    except ValueError:
        raise Invalid("This is no JSON document.") from None
    from issuance import hints  # late: it brings the queue

    number = 0
    for brand_id in sorted({one.brand_id for one in document.erased}, key=str):
        with transaction(brand_id) as connection:
            done, woken = restoring.apply(connection, document, brand_id)
        hints.settle(broker(), brand_id, woken)
        number += done
    answer(f"Erased again: {number}.", {"erased": number}, as_json=as_json)
