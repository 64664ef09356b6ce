"""Undo: of a run, or of a rule version from an instant on (SEMANTICS 17)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from issuance.catalog import rules
from issuance.catalog.rule_versions import CreditRuleChange
from issuance.corrections import desk
from issuance.corrections.wanted import Extend, Reinstate
from issuance.database.connections import transaction
from issuance.engine import plans, undos
from issuance.errors import Conflict, Invalid, NotFound
from issuance.members import moves
from issuance.webhooks import webhooks
from tests.database.clubs import Club, at
from tests.database.undoing import by_who, redeem, undo, undo_version

pytestmark = pytest.mark.usefixtures("small_batches")

#: How a person gives a credit back that an undo took.
GIVEN_BACK = ["reinstated", "reinstated in bulk", "extended"]


def test_what_a_run_issued_is_taken_back_for_good(club: Club) -> None:
    """Its unredeemed credits are revoked by the operator; other runs' stay; redeemed ones are listed."""
    club.sign_up(12)
    run = club.issue()
    assert run["counts"] == {"holds_live_credit": 12}
    club.move_clock("2031-02-28")
    sweep = club.sweep()
    assert sweep is not None
    assert sweep["counts"] == {"issued": 12}
    (code,) = redeem(club, run_id=sweep["id"])
    undone = undo(club, sweep["id"])
    assert (undone["kind"], undone["state"], undone["counts"]) == (
        "undo",
        "finished",
        {"revoked": 11, "already_redeemed": 1},
    )
    assert by_who(club) == {None: 13, "operator": 11}
    with transaction(club.engine, club.brand_id) as connection:
        rows, total = plans.page(connection, club.brand_id, undone["id"], 1, 25)
    assert (total, [row["code"] for row in rows], rows[0]["status"]) == (1, [code], "redeemed")


def test_nothing_issues_it_again(club: Club) -> None:
    """No sweep, no replay; a further manual issue is the operator's word and gives another, numbered one."""
    club.sign_up(3)
    club.move_clock("2031-02-28")
    sweep = club.sweep()
    assert sweep is not None
    undo(club, sweep["id"])
    assert club.replay()["counts"] == {"already_issued": 6}
    assert by_who(club) == {None: 3, "operator": 3}
    club.move_clock("2031-03-31")
    again = club.sweep()
    assert again is not None
    assert again["counts"] == {"issued": 3}


def test_undoing_twice_counts_nothing(club: Club) -> None:
    """The second is a run that counts 0; a use that was cancelled meanwhile gave nothing back."""
    club.sign_up(3)
    club.move_clock("2031-02-28")
    sweep = club.sweep()
    assert sweep is not None
    redeem(club, run_id=sweep["id"])
    assert undo(club, sweep["id"])["counts"] == {"revoked": 2, "already_redeemed": 1}
    assert undo(club, sweep["id"])["counts"] == {}
    ((redemption_id,),) = club.rows("SELECT redemption_id FROM redemptions")
    with transaction(club.engine, club.brand_id) as connection:
        moves.move(connection, club.brand_id, redemption_id, "CANCELED")
    assert by_who(club) == {None: 3, "operator": 3}
    assert undo(club, sweep["id"])["counts"] == {}


@pytest.mark.parametrize("of", ["run", "version"])
@pytest.mark.parametrize("then", ["nothing", "a hundred days", "expired", "taken by facts", *GIVEN_BACK])
def test_a_use_that_is_cancelled_after_an_undo_gives_nothing_back(
    new_club: Callable[..., Club], of: str, then: str
) -> None:
    """It is revoked by the operator, with the undo's reason, unless it is over, and told so once. Who is given it back
    by a person keeps it, though a later use is cancelled too."""
    club = new_club(roll_over=then not in ("expired", "extended"), issue_on_signup=False, billing="external")
    (member,) = club.accept()
    says = {"membership_id": str(member), "charge_id": "feb", "period_start": "2031-02-28"}
    club.tell("charge.succeeded", "2031-02-28", says)
    club.settle([member])
    club.move_clock("2031-02-28T10:00")
    sweep = club.sweep()
    assert sweep is not None
    (code,) = redeem(club)
    if of == "run":
        undo(club, sweep["id"])
    else:
        undo_version(club, 1, "2031-02-01")

    def cancel() -> Any:
        (redemption_id,) = (
            row[0] for row in club.rows("SELECT redemption_id FROM redemptions WHERE status <> 'CANCELED'")
        )
        with transaction(club.engine, club.brand_id) as connection:
            woken = moves.move(connection, club.brand_id, redemption_id, "CANCELED")[1]
        club.settle(woken)
        return club.rows("SELECT revoked_by, revoked_reason, redeemed_at, expired_at = valid_from AS over FROM credits")

    if then in ("expired", "extended"):
        club.move_clock("2031-04-10")
        assert cancel() == [(None, None, None, True)]
        if then == "extended":
            with transaction(club.engine, club.brand_id) as connection:
                desk.correct(connection, club.brand_id, Extend(code, at("2031-05-10"), "after all"))
            redeem(club)
            assert cancel() == [(None, None, None, None)]
        return
    if then == "a hundred days":
        club.rows("UPDATE runs SET finished_at = finished_at - interval '100 days'")
        with transaction(club.engine) as connection:
            plans.forget(connection, timedelta(days=90), 5000)
    if then == "taken by facts":
        club.tell("charge.refunded", "2031-02-28T10:00", says)
        club.settle([member])
    with transaction(club.engine, club.brand_id) as connection:
        webhooks.create(connection, club.brand_id, "https://example.com/", ["credit.revoked"])
    assert cancel() == [("operator", "a mistake", None, None)]
    assert club.rows("SELECT type FROM webhook_events") == [("credit.revoked",)]
    if then in GIVEN_BACK:
        reinstate = Reinstate(code, "it was none")
        with transaction(club.engine, club.brand_id) as connection:
            if then == "reinstated":
                desk.correct(connection, club.brand_id, reinstate)
            else:
                desk.correct_all(connection, club.brand_id, [reinstate], reason="as many were", dry_run=False)
        redeem(club)
        assert cancel() == [(None, None, None, None)]


def test_one_with_uses_left_is_unredeemed(new_club: Callable[..., Club]) -> None:
    """A multi-use credit that was used and is not used up is taken back; used up it is listed."""
    club = new_club(multi_use=True, max_uses=2)
    club.sign_up(3)
    redeem(club, most=2)
    redeem(club, most=1)
    counts = undo_version(club, 1, "2031-01-31T12:00")["counts"]
    assert counts == {"revoked": 2, "already_redeemed": 1}
    club.engine.dispose()


def test_what_is_gone_is_counted_and_what_facts_took_back_never_comes_again(new_club: Callable[..., Club]) -> None:
    """Expired and revoked credits are `already_gone`; a charge that succeeds again brings none of them back."""
    club = new_club("external", roll_over=False)
    (member, other) = club.sign_up(2)
    charge = {"charge_id": "c", "period_start": "2031-02-28", "membership_id": str(member)}
    club.move_clock("2031-02-28")
    club.tell("charge.succeeded", "2031-02-28T00:00", charge)
    club.settle([member])
    club.tell("charge.failed", "2031-02-28T01:00", charge)
    club.settle([member])
    club.rows("UPDATE brands SET clock_now = '2031-02-28T02:00Z'")
    club.settle([member, other])
    assert by_who(club) == {None: 2, "facts": 1}
    assert undo_version(club, 1, "2031-01-01")["counts"] == {"already_gone": 3}
    assert by_who(club) == {None: 2, "operator": 1}
    club.tell("charge.succeeded", "2031-02-28T03:00", charge)
    club.settle([member])
    assert by_who(club) == {None: 2, "operator": 1}
    club.engine.dispose()


@pytest.mark.parametrize("swept", [True, False])
@pytest.mark.parametrize("anew", [False, True])
def test_what_had_expired_stays_so(new_club: Callable[..., Club], swept: bool, anew: bool) -> None:
    """A billing date that is moved late gives no time back to what was undone; a person may, by extending it."""
    club = new_club(roll_over=False)
    ada, bea = club.sign_up(2)
    club.move_clock("2031-03-01")
    if swept:
        club.sweep()
    with transaction(club.engine, club.brand_id) as connection:
        undo_id = undos.start_of_version(connection, club.brand_id, club.rule_id, 1, at("2031-01-01"), "a mistake")
    club.work(undo_id)
    counts = club.run(undo_id)["counts"]
    if anew:
        code = club.value("SELECT min(code) FROM credits WHERE expires_at <= '2031-03-01'")
        extend = Extend(code, at("2031-03-05"), "after all")
        with transaction(club.engine, club.brand_id) as connection:
            desk.correct(connection, club.brand_id, extend)
    moved = [{"membership_id": str(one), "billing_anchor": "2031-03-15"} for one in (ada, bea)]
    club.settle(club.tell("membership.billing_date_moved", "2031-02-10", *moved))
    out = "SELECT count(*) FROM credits WHERE redeemed_at IS NULL AND revoked_at IS NULL AND expires_at > '2031-03-01'"
    assert counts["already_gone"] == 2
    assert club.value(out) == anew


def test_of_a_version_only_what_was_issued_from_the_instant_on(club: Club) -> None:
    """Credits stamped with that version and issued at or after it; the version stays, and so does what others gave."""
    club.sign_up(2)
    club.move_clock("2031-02-10")
    with transaction(club.engine, club.brand_id) as connection:
        change = CreditRuleChange(coupon_name="Tripled", include_upcoming=True)
        rules.change(connection, club.brand_id, club.rule_id, change)
    for month in ("2031-02-28", "2031-03-31"):
        club.move_clock(month)
        club.sweep()
    assert undo_version(club, 1, "2031-02-01")["counts"] == {}
    assert undo_version(club, 2, "2031-03-31")["counts"] == {"revoked": 2}
    assert undo_version(club, 2, "2031-02-28")["counts"] == {"revoked": 2, "already_gone": 2}
    assert by_who(club) == {None: 2, "operator": 4}
    club.move_clock("2031-04-30")
    sweep = club.sweep()
    assert sweep is not None
    assert sweep["counts"] == {"issued": 2}


def test_only_runs_that_issue_and_are_over_are_undone(club: Club) -> None:
    """409 of a dry run and of an undo, and of a run that is under way; unknown ones are not found."""
    club.sign_up(6)
    dry = club.replay(dry_run=True)
    real = club.replay()
    undone = undo(club, real["id"])
    waiting = club.replay(work=False)
    with transaction(club.engine, club.brand_id) as connection:
        for run_id in (dry["id"], undone["id"], waiting["id"]):
            with pytest.raises(Conflict):
                undos.start_of_run(connection, club.brand_id, run_id, "x")
        with pytest.raises(NotFound):
            undos.start_of_run(connection, club.brand_id, uuid4(), "x")
        with pytest.raises(NotFound):
            undos.start_of_version(connection, club.brand_id, uuid4(), 1, at("2031-01-01"), "x")
        with pytest.raises(Invalid):
            undos.start_of_version(connection, club.brand_id, club.rule_id, 2, at("2031-01-01"), "x")


def test_undo_works_for_deleted_rules(club: Club) -> None:
    """A deleted rule is not there any more, but undo still knows it."""
    club.sign_up(2)
    with transaction(club.engine, club.brand_id) as connection:
        rules.delete(connection, club.brand_id, club.rule_id)
    assert undo_version(club, 1, "2031-01-01")["counts"] == {"revoked": 2}
