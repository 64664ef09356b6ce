"""Whether an undo takes back what a use that is cancelled gives back, and what that asks of the database
(SEMANTICS 17)."""

import json
from typing import Any

import pytest
from sqlalchemy import Connection, text

from issuance.corrections import desk
from issuance.corrections.wanted import Reinstate
from issuance.database import months
from issuance.database.connections import transaction
from issuance.engine import undos
from issuance.members import moves
from tests.database.clubs import Club
from tests.database.undoing import redeem, undo_version

pytestmark = pytest.mark.usefixtures("small_batches")

_OPEN = text("SELECT redemption_id FROM redemptions WHERE status <> 'CANCELED'")
_BY = text("SELECT revoked_by FROM credits")


def _cancel(connection: Connection, club: Club) -> str | None:
    """Cancel the one use that stands, and say who has revoked the credit then."""
    moves.move(connection, club.brand_id, connection.scalars(_OPEN).one(), "CANCELED")
    by: str | None = connection.scalars(_BY).one()
    return by


def _forget_until_now(connection: Connection) -> None:
    """Detach all that is in the audit."""
    connection.execute(text("RESET ROLE"))
    for part in months.parts(connection, "audit_entries")[:2]:
        months.detach(connection, "audit_entries", part.name)


@pytest.mark.parametrize("given_back", [True, False])
def test_who_may_have_been_given_it_back_keeps_it_where_the_audit_is_detached(club: Club, *, given_back: bool) -> None:
    """Of what was not out since the undo it is known that nobody was given it back."""
    club.sign_up(1)
    (code,) = redeem(club)
    undo_version(club, 1, "2031-01-01")
    if given_back:
        with transaction(club.engine, club.brand_id) as connection:
            assert _cancel(connection, club) == "operator"
        with transaction(club.engine, club.brand_id) as connection:
            desk.correct(connection, club.brand_id, Reinstate(code, "it was none"))
        redeem(club)
    with transaction(club.engine, club.brand_id) as connection:
        trial = connection.begin_nested()
        _forget_until_now(connection)
        assert _cancel(connection, club) == (None if given_back else "operator")
        trial.rollback()


def test_undos_are_found_by_an_index_and_the_audit_is_asked_of_what_was_out_since(club: Club) -> None:
    """However many sweeps there were, and however many entries: somebody waits at the desk."""
    club.sign_up(1)
    redeem(club)
    undo_version(club, 1, "2031-01-01")
    sweeps = """
        INSERT INTO runs (brand_id, run_id, kind, state, finished_at)
        SELECT :brand_id, gen_random_uuid(), 'sweep', 'finished', now() FROM generate_series(1, 2000)
    """
    club.rows(sweeps)
    with transaction(club.engine, club.brand_id) as connection:
        connection.execute(text("RESET ROLE"))
        connection.execute(text("ANALYZE runs"))
    plan = _plan(club)
    (runs,) = [node for node in _nodes(plan) if node.get("Relation Name") == "runs"]
    assert runs.get("Index Name") == "runs_undoing"
    audit = [node for node in _nodes(plan) if node.get("Relation Name", "").startswith("audit_entries")]
    assert audit
    assert sum(node["Actual Loops"] for node in audit) == 0


def _plan(club: Club) -> dict[str, Any]:
    """How the undo that found the one credit redeemed was looked for."""
    with transaction(club.engine, club.brand_id) as connection:
        credit_id = connection.scalars(text("SELECT credit_id FROM credits")).one()
        asked = text(f"EXPLAIN (ANALYZE, FORMAT json) {undos._FOUND_REDEEMED.text}")
        (plan,) = connection.execute(asked, {"brand_id": club.brand_id, "credit_id": credit_id}).scalars()
    (whole,) = json.loads(plan) if isinstance(plan, str) else plan
    return dict(whole["Plan"])


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for below in plan.get("Plans", ()) for node in _nodes(below))]
