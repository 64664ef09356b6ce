"""Undoing what a run or a rule version issued, as tests do it."""

from typing import Any
from uuid import UUID

from issuance.database.connections import transaction
from issuance.engine import undos
from issuance.members.redemptions import Booking, redeem_credit
from tests.database.clubs import Club, at


def undo(club: Club, run_id: UUID) -> dict[str, Any]:
    """The undo of a run, done."""
    with transaction(club.engine, club.brand_id) as connection:
        undo_id = undos.start_of_run(connection, club.brand_id, run_id, "a mistake")
    club.work(undo_id)
    return club.run(undo_id)


def undo_version(club: Club, version: int, since: str) -> dict[str, Any]:
    """The undo of a version, done."""
    with transaction(club.engine, club.brand_id) as connection:
        undo_id = undos.start_of_version(connection, club.brand_id, club.rule_id, version, at(since), "a mistake")
    club.work(undo_id)
    return club.run(undo_id)


def redeem(club: Club, *, run_id: UUID | None = None, most: int = 1) -> list[str]:
    """Use credits once each, of a run if one is named; their codes."""
    codes = [
        row.code
        for row in club.rows(
            "SELECT code FROM credits WHERE CAST(:run AS uuid) IS NULL OR run_id = :run ORDER BY credit_id LIMIT :most",
            run=run_id,
            most=most,
        )
    ]
    for code in codes:
        with transaction(club.engine, club.brand_id) as connection:
            redeem_credit(connection, club.brand_id, code, Booking())
    return codes


def by_who(club: Club) -> dict[str | None, int]:
    """How many credits there are by who revoked them."""
    return {row.who: row.n for row in club.rows("SELECT revoked_by AS who, count(*) AS n FROM credits GROUP BY 1")}
