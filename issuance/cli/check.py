"""`issuance check`: the laws of SEMANTICS 14 on a live database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import text

from issuance import database
from issuance.cli import runs
from issuance.cli.connections import BrandOption, broker, engine, only_brand, transaction
from issuance.cli.output import JsonOption, as_cell, progress_bar, say, show_json
from issuance.errors import Invalid
from issuance.laws import LAWS, MOST_OFFENDERS, Law, Offender, look, steps, verdicts
from issuance.laws.repair import Repair

_BRANDS = text("SELECT brand_id FROM brands ORDER BY created_at")
# The laws are checked as of one instant. To read millions of credits takes long, and blocks nobody.
_AT_ONE_INSTANT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_TAKE_YOUR_TIME = text("SET LOCAL statement_timeout = '1h'; SET LOCAL idle_in_transaction_session_timeout = '1h'")


@dataclass(slots=True)
class Verdict:
    """The result of checking a law: how many offenders there are, and the first of them."""

    law: Law
    count: int = 0
    offenders: list[Offender] = field(default_factory=list)

    def add(self, brand_id: UUID, offenders: Sequence[Offender]) -> None:
        self.count += len(offenders)
        room = MOST_OFFENDERS - len(self.offenders)
        self.offenders += ({"brand_id": brand_id, **offender} for offender in offenders[:room])

    def shape(self) -> dict[str, Any]:
        law = self.law
        return {
            "law": law.number,
            "name": law.name,
            "sentence": law.sentence,
            "count": self.count,
            "offenders": self.offenders,
        }


def check(
    brand: BrandOption = None,
    number: Annotated[int | None, typer.Option("--law", metavar="N", help="Only this law.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Issue what is missing, as a run, and check again. Takes nothing away.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the laws of credits on what is there.

    On every brand, or one. Names the offenders and exits 1 if a law is broken.
    """
    laws = [law for law in LAWS if number in (None, law.number)]
    if not laws:
        raise Invalid(f"There is no check for law {number}. There are: {', '.join(str(law.number) for law in LAWS)}")
    brand_ids = _brands(brand)
    repairs = {brand_id: Repair() for brand_id in brand_ids}
    found = verdicts_of(laws, brand_ids, repairs)
    run_ids = _repair(repairs) if repair else []
    if run_ids:
        if not as_json:
            show_verdicts(found)
            say("")
        found = verdicts_of(laws, brand_ids)
    if as_json:
        document = {"holds": not is_broken(found), "laws": [verdict.shape() for verdict in found]}
        show_json({**document, "repairs": run_ids} if repair else document)
    else:
        show_verdicts(found)
    if is_broken(found):
        raise typer.Exit(1)


def _brands(brand_id: UUID | None) -> list[UUID]:
    if brand_id is not None:
        return [only_brand(brand_id)]
    with transaction() as connection:
        return list(connection.execute(_BRANDS).scalars())


def _repair(repairs: dict[UUID, Repair]) -> list[UUID]:
    """Start the repairs that are needed and wait until they are finished. Returns the ids of the runs."""
    started = []
    for brand_id, repair in repairs.items():
        with transaction(brand_id) as connection:
            run_id = repair.start(connection, brand_id)
        if run_id is not None:
            from issuance import hints  # late: it brings the queue

            hints.work_on_run(broker(), brand_id, run_id)
            runs.wait(brand_id, run_id)
            started.append(run_id)
    return started


def verdicts_of(
    laws: Sequence[Law], brand_ids: Sequence[UUID], repairs: dict[UUID, Repair] | None = None
) -> list[Verdict]:
    """Whether laws hold for some brands, and their offenders if not. The numbers are kept for the metrics."""
    total = {law.number: Verdict(law) for law in laws}
    at_one_instant = engine().execution_options(**_AT_ONE_INSTANT)
    with progress_bar() as progress:
        for nth, brand_id in enumerate(brand_ids, start=1):
            task = progress.add_task(f"brand {nth} of {len(brand_ids)}", total=None)
            counts = {law.number: 0 for law in laws}
            with database.transaction(at_one_instant, brand_id) as connection:
                connection.execute(_TAKE_YOUR_TIME)
                progress.update(task, total=steps(connection, brand_id, laws))
                for found in look(connection, brand_id, laws):
                    for number, offenders in found.items():
                        total[number].add(brand_id, offenders)
                        counts[number] += len(offenders)
                    if repairs is not None:
                        repairs[brand_id].note(found)
                    progress.advance(task)
            with transaction(brand_id) as connection:
                verdicts.keep(connection, brand_id, counts)
    return list(total.values())


def is_broken(found: Sequence[Verdict]) -> bool:
    """Whether any law is broken."""
    return any(verdict.count for verdict in found)


def show_verdicts(found: Sequence[Verdict]) -> None:
    """Verdicts for people: a line for each, and one for each offender."""
    for verdict in found:
        law = verdict.law
        say(f"{'broken' if verdict.count else 'holds '}  law {law.number} ({law.name}): {law.sentence}")
        for offender in verdict.offenders:
            facts = ", ".join(f"{name}={as_cell(value)}" for name, value in offender.items() if value is not None)
            say(f"        {facts}")
        if verdict.count > len(verdict.offenders):
            say(f"        … and {verdict.count - len(verdict.offenders)} more")
