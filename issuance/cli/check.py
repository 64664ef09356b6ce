"""`issuance check`: the laws of SEMANTICS 14 on a live database."""

from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import text

from issuance import database
from issuance.cli.connect import BrandOption, engine, only_brand, transaction
from issuance.cli.output import JsonOption, as_cell, progress_bar, say, show_json
from issuance.errors import Invalid
from issuance.laws import LAWS, MOST_OFFENDERS, Law

_BRANDS = text("SELECT brand_id FROM brands ORDER BY created_at")
# A law is looked at as of one instant. Looking through millions of credits takes its time, and disturbs nobody.
_AT_ONE_INSTANT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_TAKE_YOUR_TIME = text("SET LOCAL statement_timeout = '1h'; SET LOCAL idle_in_transaction_session_timeout = '1h'")


def check(
    brand: BrandOption = None,
    number: Annotated[int | None, typer.Option("--law", metavar="N", help="Only this law.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the laws of credits on what is there.

    On every brand, or one. Names the offenders and exits 1 if a law is broken.
    """
    laws = [law for law in LAWS if number in (None, law.number)]
    if not laws:
        raise Invalid(f"There is no check for law {number}. There are: {', '.join(str(law.number) for law in LAWS)}")
    verdicts = [verdict_of(law, _brands(brand)) for law in laws]
    broken = any(verdict["offenders"] for verdict in verdicts)
    if as_json:
        show_json({"holds": not broken, "laws": verdicts})
    else:
        for verdict in verdicts:
            show_verdict(verdict)
    if broken:
        raise typer.Exit(1)


def _brands(brand_id: UUID | None) -> list[UUID]:
    if brand_id is not None:
        return [only_brand(brand_id)]
    with transaction() as connection:
        return list(connection.execute(_BRANDS).scalars())


def verdict_of(law: Law, brand_ids: list[UUID]) -> dict[str, Any]:
    """Whether a law holds on some brands, and its offenders if not."""
    offenders: list[dict[str, Any]] = []
    at_one_instant = engine().execution_options(**_AT_ONE_INSTANT)
    with progress_bar() as progress:
        task = progress.add_task(f"law {law.number}: {law.name}", total=None)
        for brand_id in brand_ids:
            with database.transaction(at_one_instant, brand_id) as connection:
                connection.execute(_TAKE_YOUR_TIME)
                for found in law.find(connection, brand_id):
                    offenders += ({"brand_id": brand_id, **offender} for offender in found)
                    progress.advance(task)
                    if len(offenders) >= MOST_OFFENDERS:
                        break
    return {"law": law.number, "name": law.name, "sentence": law.sentence, "offenders": offenders[:MOST_OFFENDERS]}


def show_verdict(verdict: dict[str, Any]) -> None:
    """A verdict for people: a line, and one for each offender."""
    offenders = verdict["offenders"]
    say(f"{'broken' if offenders else 'holds '}  law {verdict['law']} ({verdict['name']}): {verdict['sentence']}")
    for offender in offenders:
        say("        " + ", ".join(f"{name}={as_cell(value)}" for name, value in offender.items() if value is not None))
