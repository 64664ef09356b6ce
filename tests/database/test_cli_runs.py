"""Bulk work from the command line."""

from uuid import UUID

import pytest
from sqlalchemy import text

from issuance.database.connections import engine_for, transaction
from issuance.engine import batches
from tests.database.cli import Brand, Cli


@pytest.mark.usefixtures("membership_id")
def test_a_manual_issue_is_a_run(cli: Cli, brand: Brand, database_url: str) -> None:
    """issue starts a run; it can be paused, resumed, listed, watched to its end, and cancelled no more."""
    run_id = cli("issue", brand.credit_rule_id, "--include-upcoming", "--json").json["id"]
    assert cli("runs", "pause", run_id).code == 0
    assert cli("runs", "watch", run_id, "--json").json["state"] == "paused"
    assert cli("runs", "resume", run_id).code == 0
    batches.work_on_run(engine_for(database_url), brand.brand_id, UUID(run_id))
    assert cli("runs", "watch", run_id, "--json").json["counts"] == {"holds_live_credit": 1}
    assert "holds_live_credit" in cli("runs", "show", run_id).out
    assert [row["id"] for row in cli("runs", "--brand", brand.brand_id, "--json").json["data"]] == [run_id]
    assert cli("runs", "cancel", run_id).code == 1


def test_a_dry_run_shows_its_plan_and_issues_nothing(
    cli: Cli, brand: Brand, database_url: str, membership_id: UUID
) -> None:
    """replay --dry-run plans; the rows of the plan come with the run."""
    span = ("--from", "2090-01-01", "--to", "2090-01-31")
    run_id = cli("replay", "--membership", membership_id, *span, "--dry-run", "--json").json["id"]
    batches.work_on_run(engine_for(database_url), brand.brand_id, UUID(run_id))
    run = cli("runs", "show", run_id, "--json").json
    assert run["dry_run"] is True
    assert run["counts"] == {"already_issued": 1}
    assert len(run["plan"]) == 1
    assert "dry run" in cli("runs", "show", run_id).out
    with transaction(engine_for(database_url), brand.brand_id) as connection:  # as tidying forgets it
        connection.execute(text("UPDATE run_batches SET plan = NULL"))
    assert "not kept any more" in cli("runs", "show", run_id).out
    later = cli("runs", "show", run_id, "--json").json
    assert (later["counts"], "plan" in later) == ({"already_issued": 1}, False)
