"""Approve: a run that does what a dry run's plan says, and nothing more (SEMANTICS 17)."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from issuance.catalog import rules
from issuance.catalog.rule_versions import CreditRuleChange
from issuance.database.connections import transaction
from issuance.engine import plans, run_work, runs
from issuance.errors import NotAPlan, NotFound, PlanCutOff
from tests.database.clubs import Club
from tests.limits import Limit

pytestmark = pytest.mark.usefixtures("small_batches")


def approve(club: Club, plan_id: UUID) -> dict[str, Any]:
    """The approval of a plan, done."""
    with transaction(club.engine, club.brand_id) as connection:
        run_id = plans.approve(connection, club.brand_id, plan_id, "looks right")
    club.work(run_id)
    return club.run(run_id)


def plan_issue(club: Club) -> dict[str, Any]:
    """The dry run of a manual issue, done."""
    with transaction(club.engine, club.brand_id) as connection:
        run_id = runs.start_issue(connection, club.brand_id, club.rule_id, include_upcoming=True, dry_run=True)
    club.work(run_id)
    return club.run(run_id)


def rows_of(club: Club, run: dict[str, Any]) -> list[dict[str, Any]]:
    with transaction(club.engine, club.brand_id) as connection:
        rows, total = plans.page(connection, club.brand_id, run["id"], 1, 100)
    assert len(rows) == total
    return rows


def test_a_replay_that_is_approved_issues_what_its_plan_says(club: Club) -> None:
    """A new run of the same kind, with the plan's id, the counts of the plan; approved again it is the same run."""
    club.sign_up(12)
    club.rows("DELETE FROM credits")
    plan = club.replay(dry_run=True)
    assert (plan["counts"], plan["plan_id"]) == ({"issued": 12}, None)
    assert {(row["guest"]["lead_booker"], row["outcome"]) for row in rows_of(club, plan)} == {(True, "issued")}
    done = approve(club, plan["id"])
    assert (done["kind"], done["dry_run"], done["plan_id"], done["counts"], done["total"]) == (
        "replay",
        False,
        plan["id"],
        {"issued": 12},
        12,
    )
    assert approve(club, plan["id"])["id"] == done["id"]
    assert club.value("SELECT count(*) FROM credits WHERE run_id = :run", run=done["id"]) == 12


def test_nothing_is_added_to_a_plan(club: Club) -> None:
    """Who joined since, and what fell due since, is not in it."""
    club.sign_up(3)
    club.rows("DELETE FROM credits")
    plan = club.replay(dry_run=True)
    club.sign_up(3)
    club.rows("DELETE FROM credits")
    assert approve(club, plan["id"])["counts"] == {"issued": 3}
    assert club.value("SELECT count(*) FROM credits") == 3


def test_what_facts_changed_since_is_left_out_under_its_reason(club: Club) -> None:
    """Issued meanwhile, ended before it, of a rule that is another by now or deleted: each is counted as what it is."""
    ended, missing, *_ = club.sign_up(4)
    club.rows("DELETE FROM credits")
    plan = club.replay(dry_run=True)
    club.tell("membership.status_changed", "2031-01-30T00:00", {"membership_id": str(ended), "status": "cancelled"})
    club.settle([ended])
    club.replay()
    club.rows("DELETE FROM credits WHERE membership_id = :id", id=missing)
    assert approve(club, plan["id"])["counts"] == {"issued": 1, "already_issued": 2, "membership_ended": 1}


def test_a_rule_that_was_deleted_since_gives_nothing(club: Club) -> None:
    """Nothing is issued under a deleted rule, whatever was planned."""
    club.sign_up(3)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    by_hand = plan_issue(club)
    club.rows("DELETE FROM credits")
    plan = club.replay(dry_run=True)
    assert by_hand["counts"] == plan["counts"] == {"issued": 3}
    with transaction(club.engine, club.brand_id) as connection:
        rules.delete(connection, club.brand_id, club.rule_id)
    assert approve(club, plan["id"])["counts"] == {"rule_deleted": 3}
    assert approve(club, by_hand["id"])["counts"] == {"rule_deleted": 3}


def test_a_manual_issue_on_paper_writes_nothing(club: Club) -> None:
    """It says what the issue would do, settling what waits too, on paper."""
    club.sign_up(6)
    club.move_clock("2031-02-28")
    before = (club.credits(), club.rows("SELECT * FROM schedules ORDER BY schedule_id"))
    plan = plan_issue(club)
    assert plan["counts"] == {"holds_live_credit": 6}
    assert (club.credits(), club.rows("SELECT * FROM schedules ORDER BY schedule_id")) == before
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    plan = plan_issue(club)
    assert plan["counts"] == {"holds_live_credit": 6}, "February's, which is due, would come first"


def test_a_manual_issue_that_is_approved_gives_each_promised_guest_one(club: Club) -> None:
    """Who holds one by now gets none; who was not in the plan gets none either."""
    first, *_ = club.sign_up(4)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    plan = plan_issue(club)
    assert plan["counts"] == {"issued": 4}
    club.sign_up(2)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from WHERE redeemed_at IS NULL")
    club.rows("UPDATE credits SET uses = 0, redeemed_at = NULL WHERE membership_id = :id", id=first)
    done = approve(club, plan["id"])
    assert (done["kind"], done["counts"]) == ("issue", {"issued": 3, "holds_live_credit": 1})
    assert club.value("SELECT count(*) FROM credits WHERE manual") == 3


def test_a_plan_promises_the_version_and_the_period_that_it_names(club: Club) -> None:
    """Under another version, or in another period, it would be another credit."""
    club.sign_up(2)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    plan, later = plan_issue(club), plan_issue(club)
    with transaction(club.engine, club.brand_id) as connection:
        rules.change(connection, club.brand_id, club.rule_id, CreditRuleChange(coupon_name="New"))
    assert approve(club, plan["id"])["counts"] == {"version_not_in_force": 2}
    club.move_clock("2031-02-28")
    club.sweep()
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from WHERE redeemed_at IS NULL")
    assert approve(club, later["id"])["counts"] == {"period_over": 2}


def test_only_a_finished_dry_run_is_a_plan(club: Club) -> None:
    """409 not_a_plan: of a run that issued, and of a dry run under way; an unknown one is not found."""
    club.sign_up(6)
    waiting = club.replay(dry_run=True, work=False)
    for run in (waiting, club.replay()):
        with transaction(club.engine, club.brand_id) as connection, pytest.raises(NotAPlan):
            plans.approve(connection, club.brand_id, run["id"], None)
    with transaction(club.engine, club.brand_id) as connection, pytest.raises(NotFound):
        plans.approve(connection, club.brand_id, uuid4(), None)


def test_a_dry_run_goes_by_smaller_batches(club: Club, limit: Limit) -> None:
    """Than the run that it is a plan of: what it says is kept."""
    limit("runs", looked_at=2)
    club.sign_up(5)
    sizes = "SELECT size FROM run_batches WHERE run_id = :run ORDER BY batch"
    cut = [[row.size for row in club.rows(sizes, run=club.replay(dry_run=dry)["id"])] for dry in (True, False)]
    assert cut == [[2, 2, 1], [5]]


def test_a_long_plan_is_read_in_pages(club: Club) -> None:
    """Each row once, in the order of the memberships, whatever the pages' size."""
    club.sign_up(23)
    plan = club.replay(dry_run=True)
    for per_page in (1, 4, 7, 50):
        read: list[str] = []
        with transaction(club.engine, club.brand_id) as connection:
            for number in range(1, -(-23 // per_page) + 1):
                rows, total = plans.page(connection, club.brand_id, plan["id"], number, per_page)
                assert total == 23
                read += [row["membership_id"] for row in rows]
        assert read == sorted(map(str, club.members))


@pytest.mark.parametrize("parts", [False, True], ids=["whole", "in parts"])
def test_a_plan_that_could_not_be_kept_whole_is_not_approved(
    club: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit, parts: bool
) -> None:
    """Its counts say more credits than its rows: fewer would be issued. Rows of other reasons may be missing."""
    club.sign_up(3)
    club.rows("DELETE FROM credits")
    limit("runs", plan_credits=2)
    if parts:
        monkeypatch.setattr(run_work, "work_on_range", lambda *_: 1 / 0)
        limit("settling", part=1)
    plan = club.replay(dry_run=True)
    assert plan["counts"] == {"issued": 3}
    with transaction(club.engine, club.brand_id) as connection, pytest.raises(PlanCutOff):
        plans.approve(connection, club.brand_id, plan["id"], None)
    club.replay()
    limit("runs", plan_rows=1)
    seen = club.replay(dry_run=True)
    assert approve(club, seen["id"])["counts"] == {}
