"""Undo: of a run, or of a rule version from an instant on (SEMANTICS 17)."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest

from campaigns.limited import limited
from issuance.catalog import rules
from issuance.catalog.rule_versions import CreditRuleChange
from issuance.corrections import desk
from issuance.corrections.wanted import Extend, Reinstate, Revoke
from issuance.database.connections import transaction
from issuance.engine import batches, plans, run_work, runs, undos
from issuance.errors import Conflict, Invalid, IssuanceError, NotFound
from issuance.members import moves
from issuance.members.redemptions import Booking, redeem_credit
from issuance.webhooks import webhooks
from tests.database.clubs import Club, at
from tests.limits import Limit

#: How a person gives a credit back that an undo took.
GIVEN_BACK = ["reinstated", "reinstated in bulk", "extended"]


@pytest.fixture(autouse=True)
def small_batches(limit: Limit) -> None:
    """Five memberships a batch."""
    limit("settling", batch=5)


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


class WorkerDied(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.mark.parametrize("first", ["planned", "running", "paused", "cancelled", "taken apart", "at once"])
@pytest.mark.parametrize("of", ["run", "version"])
def test_an_undo_beside_another_counts_nothing_twice(
    club: Club, monkeypatch: pytest.MonkeyPatch, first: str, of: str
) -> None:
    """However far the one has come that was asked for before: each credit is counted by one of the two."""
    club.sign_up(12)
    club.move_clock("2031-02-28")
    sweep = club.sweep()
    assert sweep is not None
    redeem(club, run_id=sweep["id"], most=4)
    live = "SELECT code FROM credits WHERE redeemed_at IS NULL AND run_id = :id LIMIT 4"
    for (code,) in club.rows(live, id=sweep["id"]):
        with transaction(club.engine, club.brand_id) as connection:
            desk.correct(connection, club.brand_id, Revoke(code, "by hand"))

    def start() -> UUID:
        with transaction(club.engine, club.brand_id) as connection:
            if of == "run":
                return undos.start_of_run(connection, club.brand_id, sweep["id"], "a mistake")
            since = at("2031-02-28")
            return undos.start_of_version(connection, club.brand_id, club.rule_id, 1, since, "a mistake")

    def die(*_: object) -> None:
        raise WorkerDied

    one = start()
    if first == "taken apart":
        parts: Iterator[Callable[..., Any]] = iter([run_work.work_on, die])
        with monkeypatch.context() as patch, limited("settling", part=2):
            patch.setattr(run_work, "work_on_range", lambda *_: 1 / 0)
            patch.setattr(run_work, "work_on", lambda *asked: next(parts)(*asked))
            with pytest.raises(WorkerDied):
                club.work(one, 1)
    elif first not in ("planned", "at once"):
        club.work(one, 1)
    with transaction(club.engine, club.brand_id) as connection:
        if first == "paused":
            runs.pause(connection, club.brand_id, one)
        if first in ("cancelled", "taken apart"):
            runs.cancel(connection, club.brand_id, one)
    other = start()
    with ThreadPoolExecutor(2) as pool:
        works = [pool.submit(club.work, run_id) for run_id in (other, one)[: 2 if first == "at once" else 1]]
        assert all(work.result() for work in works)
    club.work(one)
    counts = Counter(club.run(one)["counts"]) + Counter(club.run(other)["counts"])
    assert counts == {"revoked": 4, "already_redeemed": 4, "already_gone": 4}
    again = start()
    club.work(again)
    assert club.run(again)["counts"] == {}


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


def test_a_cancelled_run_issues_nothing_after_its_undo(club: Club) -> None:
    """Whoever had claimed one of its batches finds the claim outdated."""
    club.sign_up(6)
    club.rows("DELETE FROM credits")
    run_id = club.replay(work=False)["id"]
    with transaction(club.engine, club.brand_id) as connection:
        run = runs.lock(connection, club.brand_id, run_id)
        assert run is not None
        run_work.plan(connection, run)
        ids = {"brand_id": club.brand_id, "run_id": run_id}
        claimed = connection.execute(batches._CLAIM, ids).one()
        runs.cancel(connection, club.brand_id, run_id)
    assert undo(club, run_id)["counts"] == {}
    batches._work(club.engine, run, claimed)
    assert club.rows("SELECT * FROM credits") == []


def test_taken_apart_an_undo_leaves_out_nobody_who_is_set_apart(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """It settles nobody: who is in quarantine is undone as the others are, and nobody's attempts are counted."""
    club.sign_up(8)
    club.move_clock("2031-02-28")
    sweep = club.sweep()
    assert sweep is not None
    first, *others, last = sorted(club.members)
    attempts = "UPDATE schedules SET attempts = :n, retry_at = now() - interval '1 hour' WHERE schedule_id = ANY(:ids)"
    club.rows(attempts, n=4, ids=others)
    club.rows(attempts, n=5, ids=[first, last])
    club.rows("UPDATE schedules SET quarantined_at = now() WHERE attempts = 5")
    with monkeypatch.context() as patch:
        patch.setattr(run_work, "work_on_range", lambda *_: 1 / 0)
        assert undo(club, sweep["id"])["counts"] == {"revoked": 8}
    counted = club.rows("SELECT attempts, count(*) FROM schedules WHERE NOT shared GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in counted] == [(4, 6), (5, 2)]


def test_undo_works_for_deleted_rules(club: Club) -> None:
    """A deleted rule is not there any more, but undo still knows it."""
    club.sign_up(2)
    with transaction(club.engine, club.brand_id) as connection:
        rules.delete(connection, club.brand_id, club.rule_id)
    assert undo_version(club, 1, "2031-01-01")["counts"] == {"revoked": 2}


@pytest.mark.parametrize("rival", ["redeem", "revoke"])
def test_a_race_for_a_credit_has_one_winner(club: Club, rival: str) -> None:
    """Redeemed or revoked by hand while it is undone: one of the two, and the counts say which."""
    seen = set()
    for _ in range(30):
        club.rows("DELETE FROM redemptions")
        club.rows("DELETE FROM credits")
        (member,) = club.sign_up(1)
        code = club.value("SELECT code FROM credits WHERE membership_id = :id", id=member)
        with transaction(club.engine, club.brand_id) as connection:
            run_id = undos.start_of_version(connection, club.brand_id, club.rule_id, 1, at("2031-01-01"), "x")
        start = Barrier(2)

        def till(code: str = code, start: Barrier = start) -> bool:
            start.wait()
            try:
                with transaction(club.engine, club.brand_id) as connection:
                    if rival == "redeem":
                        redeem_credit(connection, club.brand_id, code, Booking())
                    else:
                        desk.correct(connection, club.brand_id, Revoke(code, "by hand"))
            except IssuanceError:
                return False
            return True

        def chair(run_id: UUID = run_id, start: Barrier = start) -> dict[str, int]:
            start.wait()
            club.work(run_id)
            return dict(club.run(run_id)["counts"])

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.submit(till), pool.submit(chair)
            won, counts = first.result(), second.result()
        row = club.rows("SELECT redeemed_at, revoked_reason FROM credits")[0]
        if rival == "redeem":
            assert (
                won == (row.redeemed_at is not None) == (row.revoked_reason is None) == (counts.get("revoked") is None)
            )
        else:
            assert (row.revoked_reason == "by hand") == won == (counts.get("revoked") is None)
        seen.add(won)
        if len(seen) == 2:
            return
    pytest.skip(f"only one order was seen: {seen}")
