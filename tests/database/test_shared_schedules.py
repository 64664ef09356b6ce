"""What many wait for stands in one schedule, and who is looked at by itself has left it (docs/decisions 28)."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from issuance import health
from issuance.catalog import rules
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import transaction
from issuance.database.statements import Statement
from issuance.engine import attempts, run_work, schedules
from issuance.engine.states import State, move_on
from issuance.members import redemptions
from issuance.members.redemptions import Booking
from issuance.memberships import archiving
from tests.database.beside import Beside
from tests.database.clubs import Club, at
from tests.database.test_settling import WORTHLESS
from tests.limits import Limit

_SHARED = "SELECT schedule_id, due_at, settled_at, size FROM schedules WHERE shared ORDER BY schedule_id"
_ALL_IDS = UUID(int=0), UUID(int=2**128 - 1)
_SHARING = "SELECT membership_id FROM membership_schedules WHERE schedule_id <> membership_id ORDER BY 1"


@pytest.fixture(autouse=True)
def small(limit: Limit) -> None:
    limit("settling", fewest_sharing=4)


@pytest.fixture
def spa(new_club: Callable[..., Club]) -> Iterator[Club]:
    """Six members who share a schedule since the sweep of February; the clock stands at 1 March."""
    spa = new_club(roll_over=False)
    spa.sign_up(6)
    sweep(spa, "2031-03-01")
    assert len(sharing(spa)) == 6
    assert [row.size for row in spa.rows(_SHARED)] == [6]
    yield spa
    spa.engine.dispose()


def sharing(spa: Club) -> list[UUID]:
    """The memberships that share a schedule."""
    return [row[0] for row in spa.rows(_SHARING)]


def sweep(spa: Club, day: str) -> dict[str, int]:
    """What a sweep of that day counts."""
    spa.move_clock(day)
    run = spa.sweep()
    assert run is not None
    counts: dict[str, int] = run["counts"]
    return counts


def own_rows(spa: Club) -> list[list[Any]]:
    """The rows that are a membership's own, with the transactions that wrote them last."""
    tables = ("membership_schedules", "schedules WHERE NOT shared")
    return [spa.rows(f"SELECT *, xmin::text FROM {table} ORDER BY 2") for table in tables]


def own_row(spa: Club, membership_id: UUID) -> tuple[Any, ...]:
    """By which schedule a membership waits, and what its own row says."""
    (row,) = spa.rows(
        "SELECT p.schedule_id, size, due_at, fingerprint, attempts FROM membership_schedules p"
        " JOIN schedules s ON (s.brand_id, s.schedule_id) = (p.brand_id, p.membership_id) WHERE membership_id = :id",
        id=membership_id,
    )
    return tuple(row)


def credits_of(spa: Club) -> list[int]:
    """How many credits each member has."""
    return [row[0] for row in spa.rows("SELECT count(*) FROM credits GROUP BY membership_id ORDER BY membership_id")]


def test_a_month_of_many_writes_one_schedule(spa: Club) -> None:
    """They get their credits, and their own rows are not touched."""
    before = own_rows(spa)
    assert sweep(spa, "2031-04-01") == {"issued": 6}
    assert own_rows(spa) == before
    assert [row[1:] for row in spa.rows(_SHARED)] == [(at("2031-04-30"), at("2031-04-01"), 6)]
    assert credits_of(spa) == [3] * 6


def test_what_is_due_counts_memberships(spa: Club) -> None:
    """The sweep's total and the operator's figure are of memberships, not of schedules."""
    spa.move_clock("2031-04-01")
    with transaction(spa.engine) as connection:
        assert health.figures(connection)["memberships_due"] == 6
    run = spa.sweep()
    assert run is not None
    assert (run["total"], run["done"]) == (6, 6)


def test_who_has_news_leaves(spa: Club) -> None:
    """News of one is settled for that one; the others go on together."""
    one = sorted(spa.members)[2]
    paused = {"membership_id": str(one), "status": "paused"}
    spa.settle(spa.tell("membership.status_changed", "2031-03-01", paused))
    assert one not in sharing(spa)
    assert sweep(spa, "2031-04-01") == {"issued": 5, "membership_paused": 1}
    assert len(sharing(spa)) == 5
    assert credits_of(spa) == [3, 3, 2, 3, 3, 3]


def test_who_left_and_is_like_the_others_again_joins_them(spa: Club) -> None:
    """Schedules that are shared are not used up by those who leave them for a while."""
    with transaction(spa.engine, spa.brand_id) as connection:
        schedules.leave(connection, spa.brand_id, sorted(spa.members)[1:5])
    assert len(sharing(spa)) == 2
    assert sweep(spa, "2031-04-01") == {"issued": 6}
    assert len(sharing(spa)) == 6
    assert len(spa.rows(_SHARED)) == 1


def test_news_that_is_not_settled_when_many_fall_due_is_not_lost(spa: Club) -> None:
    """The sweep settles the one with its news, and the others without."""
    one = sorted(spa.members)[2]
    spa.tell("membership.status_changed", "2031-03-10", {"membership_id": str(one), "status": "paused"})
    assert sweep(spa, "2031-04-01") == {"issued": 5, "membership_paused": 1}
    assert one not in sharing(spa)


@pytest.mark.usefixtures("whole")
def test_all_who_share_may_have_the_same_news(spa: Club, limit: Limit) -> None:
    """They leave, are settled together with their news, and need not share a schedule after it."""
    limit("settling", fewest_sharing=7)
    charged = [
        {"membership_id": str(one), "charge_id": str(one), "period_start": "2031-03-31", "amount": 5000}
        for one in spa.members
    ]
    spa.tell("charge.initiated", "2031-03-10", *charged)
    assert sweep(spa, "2031-04-01") == {"issued": 6}
    assert sharing(spa) == []
    assert credits_of(spa) == [3] * 6
    assert spa.value("SELECT count(*) FROM charges WHERE state = 'initiated'") == 6


def test_those_who_shared_are_all_done_in_parts(spa: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    """A worker dies with the first part of a batch: whoever claims the batch next finds all of its memberships."""
    limit("settling", part=2)
    spa.move_clock("2031-04-01")

    def failing(*_: object) -> run_work.Done:
        raise ZeroDivisionError("the batch is done in parts")

    def dying(*_: object) -> run_work.Done:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_work, "work_on_range", failing)
    with monkeypatch.context() as patch:
        patch.setattr(run_work, "work_on", dying)
        with pytest.raises(KeyboardInterrupt):
            spa.sweep()
    spa.rows("UPDATE run_batches SET claimed_at = claimed_at - interval '1 minute'")
    spa.rows(WORTHLESS)
    run_id = spa.value("SELECT run_id FROM runs WHERE finished_at IS NULL")
    spa.work(run_id)
    assert spa.run(run_id)["counts"] == {"issued": 6}
    assert credits_of(spa) == [3] * 6


def test_one_whose_rows_are_refused_leaves(spa: Club) -> None:
    """The others go on together; it is tried again, and gets its credit when that is possible."""
    one = sorted(spa.members)[3]
    spa.refuse_credits_of(one)
    assert sweep(spa, "2031-04-01") == {"issued": 5, "error": 1}
    assert len(sharing(spa)) == 5
    assert spa.rows("SELECT schedule_id, attempts, due_at FROM schedules WHERE attempts > 0") == [
        (one, 1, at("2031-03-31"))
    ]
    spa.rows("DROP TRIGGER poison ON credits")
    spa.rows("UPDATE schedules SET retry_at = clock_timestamp() - interval '1 second' WHERE attempts > 0")
    assert sweep(spa, "2031-04-01") == {"issued": 1}
    assert credits_of(spa) == [3] * 6


def test_a_schedule_that_everybody_left_is_forgotten(spa: Club) -> None:
    """It falls due once more, is found empty, and is gone."""
    with transaction(spa.engine, spa.brand_id) as connection:
        schedules.wake(connection, spa.brand_id, spa.members, at("2031-03-01"))
    assert sharing(spa) == []
    assert spa.sweep() is not None
    sweep(spa, "2031-04-01")
    spa.sweep()
    used = spa.rows("SELECT schedule_id, count(*) FROM membership_schedules GROUP BY 1 HAVING count(*) > 1")
    assert {(row.schedule_id, row.size) for row in spa.rows(_SHARED)} == set(map(tuple, used))
    assert credits_of(spa) == [3] * 6


def test_most_having_redeemed_the_others_still_lose_theirs(spa: Club) -> None:
    """One who kept the credit is found among many who used it, and stands for all."""
    for code in spa.rows("SELECT code FROM credits WHERE expired_at IS NULL ORDER BY membership_id LIMIT 5"):
        with transaction(spa.engine, spa.brand_id) as connection:
            redemptions.redeem_credit(connection, spa.brand_id, code[0], Booking())
    assert sweep(spa, "2031-04-01") == {"issued": 6}
    assert len(sharing(spa)) == 6
    ended = "SELECT count(*) FILTER (WHERE expired_at IS NOT NULL), count(redeemed_at) FROM credits"
    assert spa.rows(ended) == [(7, 5)]


@pytest.mark.usefixtures("whole")
def test_where_all_have_redeemed_each_leaves(spa: Club) -> None:
    """Nobody can stand for the others: each is settled by itself, with its own schedule."""
    for code in spa.rows("SELECT code FROM credits WHERE expired_at IS NULL"):
        with transaction(spa.engine, spa.brand_id) as connection:
            redemptions.redeem_credit(connection, spa.brand_id, code[0], Booking())
    assert sweep(spa, "2031-04-01") == {"issued": 6}
    assert sharing(spa) == []
    assert credits_of(spa) == [3] * 6


def test_a_rule_saved_at_the_very_instant_wakes_those_who_share(spa: Club) -> None:
    """It may be in force for what was released then."""
    rule = NewCreditRule.model_validate(
        {
            "membership_type_id": spa.type_id,
            **spa.rows("SELECT coupon_id, coupon_name FROM rule_versions LIMIT 1")[0]._mapping,
            "issuing_frequency": "P1M",
            "issue_on_signup": True,
        }
    )
    with transaction(spa.engine, spa.brand_id) as connection:
        rules.create(connection, spa.brand_id, rule)
    assert [row[1] for row in spa.rows(_SHARED)] == [at("2031-03-01")]
    assert spa.sweep() is not None


def test_replay_sees_those_who_share(spa: Club) -> None:
    """They are no other memberships than before."""
    spa.rows("DELETE FROM credits WHERE membership_id = :id", id=sorted(spa.members)[2])
    assert spa.replay(dry_run=True)["counts"] == {"issued": 1, "period_over": 1, "already_issued": 10}
    assert spa.replay()["counts"] == {"issued": 1, "period_over": 1, "already_issued": 10}
    assert sweep(spa, "2031-04-01") == {"issued": 6}


def test_who_archives_a_member_lets_it_leave(spa: Club) -> None:
    """The member's membership ends; the others' does not."""
    one = sorted(spa.members)[2]
    with transaction(spa.engine, spa.brand_id) as connection:
        removed = archiving.archive(connection, spa.brand_id, f"member {one}", retain_balance=False)
    spa.settle(removed.membership_ids)
    sweep(spa, "2031-04-01")
    assert credits_of(spa) == [3, 3, 2, 3, 3, 3]


def test_a_sweep_waits_for_who_is_just_leaving(spa: Club) -> None:
    """A schedule that somebody leaves is not passed over: the others are settled as soon as that is done, the one that
    left by the next sweep at the latest."""
    one = sorted(spa.members)[2]
    beside = Beside(spa)
    spa.move_clock("2031-04-01")
    with transaction(spa.engine, spa.brand_id) as connection:
        schedules.leave(connection, spa.brand_id, [one])
        assert beside.begin(spa.sweep)
        assert credits_of(spa) == [2] * 6
    beside.end()
    assert credits_of(spa) == [3, 3, 2, 3, 3, 3]
    spa.sweep()
    assert credits_of(spa) == [3] * 6


def test_who_leaves_waits_while_those_who_share_are_settled(spa: Club) -> None:
    """And is then due as the others are from then on, not as it was: nothing is settled twice."""
    one = sorted(spa.members)[2]
    beside = Beside(spa)

    def leave() -> None:
        with transaction(spa.engine, spa.brand_id) as connection:
            attempts.begin(connection, spa.brand_id, [one])

    spa.move_clock("2031-04-01")
    state = State(at("2031-04-30"), at("2031-04-01"), uuid4())
    with transaction(spa.engine, spa.brand_id) as connection:
        (held,) = schedules.lock_due(connection, spa.brand_id, at("2031-04-01"), *_ALL_IDS)
        move_on(connection, spa.brand_id, {(held.shared_by, state): held.ids}, may_share=True)
        assert beside.begin(leave)
    beside.end()
    assert own_row(spa, one) == (one, 1, at("2031-04-30"), state.fingerprint, 1)


def test_who_comes_to_share_meanwhile_leaves_again(spa: Club) -> None:
    """Whoever waits for a membership that a sweep is just giving a schedule to share gets it by itself all the same."""
    one = sorted(spa.members)[2]
    beside = Beside(spa)
    begun: list[UUID] = []

    def begin() -> None:
        with transaction(spa.engine, spa.brand_id) as connection:
            begun.extend(attempts.begin(connection, spa.brand_id, [one]))

    with transaction(spa.engine, spa.brand_id) as connection:
        schedules.leave(connection, spa.brand_id, spa.members)
    spa.move_clock("2031-04-01")
    state = State(at("2031-04-30"), at("2031-04-01"), uuid4())
    with transaction(spa.engine, spa.brand_id) as connection:
        (held,) = schedules.lock_due(connection, spa.brand_id, at("2031-04-01"), *_ALL_IDS)
        move_on(connection, spa.brand_id, {(None, state): held.ids}, may_share=True)
        assert beside.begin(begin)
    beside.end()
    assert begun == [one]
    assert own_row(spa, one) == (one, 1, at("2031-04-30"), state.fingerprint, 1)
    assert len(sharing(spa)) == 5


def test_who_has_left_meanwhile_is_not_passed_over(spa: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may let a membership leave just when its own row was found resting."""
    one = sorted(spa.members)[2]
    asked = Statement.column

    def column(statement: Statement, connection: Connection, parameters: Any) -> list[Any]:
        """Another transaction lets the membership leave right before the statement that asks for it."""
        if statement is schedules._KNOWN and one in sharing(spa):
            with transaction(spa.engine, spa.brand_id) as other:
                schedules.leave(other, spa.brand_id, [one])
        return asked(statement, connection, parameters)

    monkeypatch.setattr(Statement, "column", column)
    with transaction(spa.engine, spa.brand_id) as connection:
        (held,) = schedules.own(connection, spa.brand_id, [one])
    assert held.ids == [str(one)]
    assert one not in sharing(spa)


def test_what_forgets_to_let_a_membership_leave_is_refused(spa: Club) -> None:
    """PostgreSQL takes nothing that is said in a membership's own row while it shares another."""
    for said in ("due_at = now()", "fingerprint = gen_random_uuid()", "attempts = 1", "quarantined_at = now()"):
        with pytest.raises(IntegrityError, match="schedules_resting_say_nothing"):
            spa.rows(f"UPDATE schedules SET {said} WHERE schedule_id = :id", id=spa.members[0])


def test_attempts_are_a_memberships_own(spa: Club) -> None:
    """PostgreSQL takes no attempt and no quarantine of a schedule that is shared."""
    for said in ("attempts = 1", "quarantined_at = now()", "retry_at = now()", "last_error = 'x'"):
        with pytest.raises(IntegrityError, match="schedules_shared_by_settled"):
            spa.rows(f"UPDATE schedules SET {said} WHERE shared")
