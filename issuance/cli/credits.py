"""`issuance credits` and `issuance grant`: credits corrected by people, one by one or many from a file."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Connection

from issuance import limits
from issuance.cli.connections import BrandOption, brand_of, broker, only_brand, transaction
from issuance.cli.dates import parse_instant
from issuance.cli.files import text_of
from issuance.cli.listing import MemberOption, PageOption, show_page
from issuance.cli.output import JsonOption, answer, say, show_json, show_table, warn
from issuance.cli.reasons import ReasonOption, parse_reason
from issuance.corrections.wanted import Correction, Extend, Grant, Reinstate, Revoke, Transfer
from issuance.credits import lists
from issuance.credits.credits import Status
from issuance.database import paging
from issuance.shown import number

app = typer.Typer(
    help="Credits: list, extend, transfer, revoke, reinstate one, or many from a file.", no_args_is_help=True
)

CodeArgument = Annotated[str, typer.Argument(metavar="CODE", help="Case, spaces and dashes do not matter.")]
ExpiresOption = Annotated[
    datetime, typer.Option("--expires-at", metavar="INSTANT", parser=parse_instant, help="2031-04-01T00:00:00Z")
]
Instants = Annotated[datetime | None, typer.Option(metavar="INSTANT", parser=parse_instant)]


@app.command("list")
def list_credits(
    member: MemberOption = None,
    membership_id: Annotated[
        UUID | None, typer.Option("--membership", metavar="ID", help="Only this membership's.")
    ] = None,
    credit_rule_id: Annotated[UUID | None, typer.Option("--rule", metavar="ID", help="Only this rule's.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only those that are so now.")] = None,
    brand: BrandOption = None,
    page: PageOption = 1,
    as_json: JsonOption = False,
) -> None:
    """List the credits, the latest issued first."""

    def paged(connection: Connection, brand_id: UUID, page: int, per_page: int) -> paging.Rows:
        rows, total = lists.page(
            connection,
            brand_id,
            page,
            per_page,
            most=limits.current.database.counted,
            external_user_id=member,
            membership_id=membership_id,
            credit_rule_id=credit_rule_id,
            status=status,
        )
        return (rows if as_json else [{**row, "holder": row["holder"]["name"]} for row in rows]), total

    columns = ("code", "coupon_name", "holder", "status", "valid_from", "expires_at", "membership_id")
    show_page("Credits", paged, columns, brand, page, as_json=as_json, empty="No such credits.")


@app.command("extend")
def extend(
    code: CodeArgument,
    expires_at: ExpiresOption,
    reason: ReasonOption,
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a credit expire later. One that has expired unused is live again."""
    _correct(only_brand(brand), Extend(code, expires_at, reason), as_json=as_json)


@app.command("transfer")
def transfer(
    code: CodeArgument,
    reason: ReasonOption,
    guest_id: Annotated[UUID | None, typer.Option("--guest", metavar="ID", help="To this guest of an order.")] = None,
    member: Annotated[
        str | None, typer.Option("--member", metavar="ID", help="To this member, by the brand's id.")
    ] = None,
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a live credit another holder, and a new code."""
    if (guest_id is None) == (member is None):
        raise typer.BadParameter("say to whom: --guest ID or --member ID")
    _correct(only_brand(brand), Transfer(code, reason, guest_id, member), as_json=as_json)


@app.command("revoke")
def revoke(code: CodeArgument, reason: ReasonOption, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Take a credit back. If the facts took it back already, they do not give it back any more."""
    _correct(only_brand(brand), Revoke(code, reason), as_json=as_json)


@app.command("reinstate")
def reinstate(code: CodeArgument, reason: ReasonOption, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Lift a revocation by hand. It is live again if its charge, its party and its expiry allow it."""
    _correct(only_brand(brand), Reinstate(code, reason), as_json=as_json)


@app.command("correct")
def correct(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV with a column action (grant, extend, transfer, revoke, reinstate) and those that it needs: code,"
            " expires_at, guest_id, external_user_id, membership_id, coupon_id, valid_from, multi_use, max_uses,"
            " reason. - reads stdin.",
        ),
    ],
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", parser=parse_reason, help="Of the rows that have none of their own."),
    ] = None,
    brand: BrandOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would come of the file; change nothing.")
    ] = False,
    from_line: Annotated[
        int, typer.Option("--from-line", min=1, metavar="N", help="Go on at this line: those before it were done.")
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Correct many credits from a file.

    A file with a bad line is refused as a whole. What can not be done is reported with its line, the rest is done,
    1000 a transaction; exits 1 if there was any. Where it breaks off, it says what is done, and where to go on.
    """
    from issuance.corrections import desk, rows  # late: it brings all that decides

    brand_id = only_brand(brand)
    read = [(line, row) for line, row in rows.read(text_of(file), reason) if line >= from_line]
    wanted = rows.corrections_of([row for _, row in read], reason)
    made: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    done, most = 0, limits.current.corrections.at_once
    try:
        for start in range(0, len(wanted), most):
            some = wanted[start : start + most]
            with transaction(brand_id) as connection:
                corrected = desk.correct_all(connection, brand_id, some, reason=reason, dry_run=dry_run)
            done = start + len(some)
            for place, credit in corrected.credits.items():
                line, row = read[start + place]
                made.append({"line": line, "action": row.action, "credit": credit})
            for place, refusal in corrected.refused.items():
                refused.append({"line": read[start + place][0], "code": refusal.code, "message": refusal.message})
            from issuance import hints  # late: it brings the queue

            hints.settle(broker(), brand_id, corrected.membership_ids)
    finally:  # also of what broke off: what is committed stays
        if as_json:
            show_json({"dry_run": dry_run, "data": made, "refused": refused})
        else:
            _tell(made, refused, dry_run=dry_run)
        if done < len(wanted) and not dry_run:
            _tell_where_to_go_on([line for line, _ in read], done, min(done + most, len(wanted)))
    if refused:
        raise typer.Exit(1)


def grant(
    membership_id: Annotated[UUID, typer.Argument(metavar="MEMBERSHIP")],
    coupon_id: Annotated[str, typer.Option("--coupon", metavar="ID", help="The coupon that it is one of.")],
    reason: ReasonOption,
    guest_id: Annotated[
        UUID | None, typer.Option("--guest", metavar="ID", help="A guest on the order, if not the lead booker.")
    ] = None,
    valid_from: Instants = None,
    expires_at: Instants = None,
    multi_use: Annotated[bool, typer.Option("--multi-use", help="It can be used more than once.")] = False,
    max_uses: Annotated[int | None, typer.Option(min=2, max=1000, help="With --multi-use: how often.")] = None,
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give one guest of a membership a credit, under no rule."""
    brand_id = brand_of("membership", membership_id, brand)
    given = Grant(membership_id, coupon_id, reason, guest_id, valid_from, expires_at, multi_use, max_uses)
    _correct(brand_id, given, as_json=as_json)


def _correct(brand_id: UUID, correction: Correction, *, as_json: bool) -> None:
    from issuance.corrections import desk  # late: it brings all that decides

    with transaction(brand_id) as connection:
        credit, membership_ids = desk.correct(connection, brand_id, correction)
    from issuance import hints  # late: it brings the queue

    hints.settle(broker(), brand_id, membership_ids)
    answer(_line(credit), credit, as_json=as_json)


def _line(credit: dict[str, Any]) -> str:
    until = "without end" if credit["expires_at"] is None else f"until {credit['expires_at'].isoformat()}"
    return f"Credit {credit['code']} of {credit['holder']['name']} is {credit['status']}, {until}."


def _tell_where_to_go_on(lines: list[int], done: int, under_way: int) -> None:
    """Say where it broke off: of `lines` the first `done` are done, and those up to `under_way` were under way."""
    warn(
        f"It broke off. Lines before {lines[done]} are done. Of lines {lines[done]} to {lines[under_way - 1]} all were"
        " made or none: where the connection to PostgreSQL broke, the audit says which. Go on with --from-line"
        f" {lines[done]}."
    )


def _tell(made: list[dict[str, Any]], refused: list[dict[str, Any]], *, dry_run: bool) -> None:
    for bad in refused:
        warn(f"line {bad['line']}: {bad['code']}: {bad['message']}")
    some = [
        {**one["credit"], "line": one["line"], "action": one["action"], "holder": one["credit"]["holder"]["name"]}
        for one in made
    ]
    if some:
        show_table("Credits", some[:100], ("line", "action", "code", "holder", "status", "expires_at"))
    done = "would be corrected" if dry_run else "corrected"
    say(f"{number(len(made), 'credit', 'credits')} {done}, {len(refused)} refused.")
