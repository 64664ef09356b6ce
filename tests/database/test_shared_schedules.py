"""Cohorts: what many wait for stands in one row, and who is looked at by itself has left it (docs/decisions 24)."""

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from issuance import health
from issuance.catalog import rules
from issuance.catalog.rules import NewCreditRule
from issuance.database.connections import transaction
from issuance.engine import attempts, cohorts, due
from issuance.members import redemptions
from issuance.members.redemptions import Booking
from issuance.memberships import archiving
from tests.database.clubs import Club, at
from tests.database.test_side_by_side import Beside

_COHORTS = "SELECT cohort_id, due_at, settled_at FROM cohorts ORDER BY cohort_id"
_MEMBERS = "SELECT membership_id FROM dues WHERE cohort_id IS NOT NULL ORDER BY membership_id"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohorts, "FEWEST", 4)


@pytest.fixture
def spa(new_club: Callable[..., Club]) -> Iterator[Club]:
    """Six members, of one cohort since the sweep of February; the clock stands at 1 March."""
    spa = new_club(roll_over=False)
    spa.sign_up(6)
    sweep(spa, "2031-03-01")
    assert len(members(spa)) == 6
    assert len(spa.rows(_COHORTS)) == 1
    yield spa
    spa.engine.dispose()


def members(spa: Club) -> list[UUID]:
    return [row[0] for row in spa.rows(_MEMBERS)]


def sweep(spa: Club, day: str) -> dict[str, int]:
    """What a sweep of that day counts."""
    spa.move_clock(day)
    run = spa.sweep()
    assert run is not None
    counts: dict[str, int] = run["counts"]
    return counts


def credits_of(spa: Club) -> list[int]:
    """How many credits each member has."""
    return [row[0] for row in spa.rows("SELECT count(*) FROM credits GROUP BY membership_id ORDER BY membership_id")]


def test_a_month_of_a_cohort_writes_one_row(spa: Club) -> None:
    """Its members get their credits and their dues are not touched."""
    before = spa.rows("SELECT membership_id, xmin::text FROM dues ORDER BY 1")
    assert sweep(spa, "2031-04-01") == {"issued": 6}
    assert spa.rows("SELECT membership_id, xmin::text FROM dues ORDER BY 1") == before
    assert [row[1:] for row in spa.rows(_COHORTS)] == [(at("2031-04-30"), at("2031-04-01"))]
    assert credits_of(spa) == [3] * 6


def test_what_is_due_counts_a_cohorts_members(spa: Club) -> None:
    """The sweep's total and the operator's figure are of memberships, not of cohorts."""
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
    assert one not in members(spa)
    assert sweep(spa, "2031-04-01") == {"issued": 5, "membership_paused": 1}
    assert len(members(spa)) == 5
    assert credits_of(spa) == [3, 3, 2, 3, 3, 3]


def test_who_left_and_is_like_the_others_again_joins_them(spa: Club) -> None:
    """A cohort is not used up by those who leave it for a while."""
    with transaction(spa.engine, spa.brand_id) as connection:
        cohorts.leave(connection, spa.brand_id, sorted(spa.members)[1:5])
    assert len(members(spa)) == 2
    assert sweep(spa, "2031-04-01") == {"issued": 6}
    assert len(members(spa)) == 6
    assert len(spa.rows(_COHORTS)) == 1


def test_news_that_is_not_settled_when_the_cohort_falls_due_is_not_lost(spa: Club) -> None:
    """The sweep settles the one with its news, and the others without."""
    one = sorted(spa.members)[2]
    spa.tell("membership.status_changed", "2031-03-10", {"membership_id": str(one), "status": "paused"})
    assert sweep(spa, "2031-04-01") == {"issued": 5, "membership_paused": 1}
    assert one not in members(spa)


def test_one_whose_rows_are_refused_leaves(spa: Club) -> None:
    """The others go on as a cohort; it is tried again, and gets its credit when that is possible."""
    one = sorted(spa.members)[3]
    spa.rows(f"""
        CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'poison'; END $$;
        CREATE TRIGGER poison BEFORE INSERT ON credits FOR EACH ROW
          WHEN (NEW.membership_id = '{one}') EXECUTE FUNCTION poison();
    """)
    assert sweep(spa, "2031-04-01") == {"issued": 5, "error": 1}
    assert len(members(spa)) == 5
    assert spa.rows("SELECT membership_id, attempts, due_at FROM dues WHERE attempts > 0") == [
        (one, 1, at("2031-03-31"))
    ]
    spa.rows("DROP TRIGGER poison ON credits")
    spa.rows("UPDATE dues SET retry_at = clock_timestamp() - interval '1 second' WHERE attempts > 0")
    assert sweep(spa, "2031-04-01") == {"issued": 1}
    assert credits_of(spa) == [3] * 6


def test_a_cohort_that_everybody_left_is_forgotten(spa: Club) -> None:
    """It falls due once more, is found empty, and is gone."""
    with transaction(spa.engine, spa.brand_id) as connection:
        due.wake(connection, spa.brand_id, spa.members, at("2031-03-01"))
    assert members(spa) == []
    assert spa.sweep() is not None
    sweep(spa, "2031-04-01")
    spa.sweep()
    assert {row[0] for row in spa.rows("SELECT cohort_id FROM cohorts")} == {
        row[0] for row in spa.rows("SELECT DISTINCT cohort_id FROM dues WHERE cohort_id IS NOT NULL")
    }
    assert credits_of(spa) == [3] * 6


def test_most_having_redeemed_the_others_still_lose_theirs(spa: Club) -> None:
    """One who kept the credit is found among many who used it, and stands for all."""
    for code in spa.rows("SELECT code FROM credits WHERE expired_at IS NULL ORDER BY membership_id LIMIT 5"):
        with transaction(spa.engine, spa.brand_id) as connection:
            redemptions.redeem_credit(connection, spa.brand_id, code[0], Booking())
    assert sweep(spa, "2031-04-01") == {"issued": 6}
    assert len(members(spa)) == 6
    ended = "SELECT count(*) FILTER (WHERE expired_at IS NOT NULL), count(redeemed_at) FROM credits"
    assert spa.rows(ended) == [(7, 5)]


def test_a_rule_saved_at_the_very_instant_wakes_the_cohort(spa: Club) -> None:
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
    assert [row[1] for row in spa.rows(_COHORTS)] == [at("2031-03-01")]
    assert spa.sweep() is not None


def test_manual_issue_and_replay_see_members_of_cohorts(spa: Club) -> None:
    """They are no other memberships than before."""
    spa.rows("DELETE FROM credits WHERE membership_id = :id", id=sorted(spa.members)[2])
    assert spa.replay(dry_run=True)["counts"] == {"issued": 1, "period_over": 1, "already_issued": 10}
    assert spa.replay()["counts"] == {"issued": 1, "period_over": 1, "already_issued": 10}
    assert sweep(spa, "2031-04-01") == {"issued": 6}


def test_who_archives_a_member_lets_it_leave(spa: Club) -> None:
    """The member's membership ends; the others' does not."""
    one = sorted(spa.members)[2]
    with transaction(spa.engine, spa.brand_id) as connection:
        ending = archiving.archive(connection, spa.brand_id, f"member {one}", retain_balance=False)
    spa.settle(ending)
    sweep(spa, "2031-04-01")
    assert credits_of(spa) == [3, 3, 2, 3, 3, 3]


def test_a_cohort_that_a_member_is_just_leaving_waits(spa: Club) -> None:
    """A sweep does not wait for it, nor settles it without asking: it is due still, and settled by the next."""
    one = sorted(spa.members)[2]
    spa.move_clock("2031-04-01")
    with transaction(spa.engine, spa.brand_id) as connection:
        cohorts.leave(connection, spa.brand_id, [one])
        spa.sweep()
        assert credits_of(spa) == [2] * 6
    spa.sweep()
    assert credits_of(spa) == [3] * 6


def test_who_leaves_waits_for_the_cohort_to_be_settled(spa: Club) -> None:
    """And is then due as the cohort is from then on, not as it was: nothing is settled twice."""
    one = sorted(spa.members)[2]
    beside = Beside(spa)

    def leave() -> None:
        with transaction(spa.engine, spa.brand_id) as connection:
            attempts.begin(connection, spa.brand_id, [one])

    spa.move_clock("2031-04-01")
    state = cohorts.State(uuid4(), at("2031-04-30"), at("2031-04-01"))
    with transaction(spa.engine, spa.brand_id) as connection:
        (held,) = cohorts.hold(
            connection, spa.brand_id, at("2031-04-01"), first_id=UUID(int=0), last_id=UUID(int=2**128 - 1)
        )
        group = cohorts.Group(held.state, held.members, held.cohort_id)
        cohorts.move_on(connection, spa.brand_id, [(group, state)], alone=False)
        assert beside.begin(leave)
    beside.end()
    left = spa.rows("SELECT cohort_id, due_at, attempts FROM dues WHERE membership_id = :id", id=one)
    assert left == [(None, at("2031-04-30"), 1)]


def test_who_is_made_a_member_meanwhile_leaves_again(spa: Club) -> None:
    """Whoever waits for a membership that a run is just making one of a cohort gets it by itself all the same."""
    one = sorted(spa.members)[2]
    (cohort,) = spa.rows(_COHORTS)
    beside = Beside(spa)
    begun: list[UUID] = []

    def begin() -> None:
        with transaction(spa.engine, spa.brand_id) as connection:
            begun.extend(attempts.begin(connection, spa.brand_id, [one]))

    with transaction(spa.engine, spa.brand_id) as connection:
        cohorts.leave(connection, spa.brand_id, [one])
    with transaction(spa.engine, spa.brand_id) as connection:
        connection.execute(
            text(
                "UPDATE dues SET cohort_id = :cohort, due_at = NULL, settled_at = NULL, shape = NULL"
                " WHERE membership_id = :id"
            ),
            {"cohort": cohort.cohort_id, "id": one},
        )
        assert beside.begin(begin)
    beside.end()
    assert begun == [one]
    assert spa.rows("SELECT cohort_id, due_at FROM dues WHERE membership_id = :id", id=one) == [(None, cohort.due_at)]


def test_what_forgets_to_let_a_member_leave_is_refused(spa: Club) -> None:
    """PostgreSQL takes nothing that is said of a member beside its cohort."""
    for said in ("due_at = now()", "shape = gen_random_uuid()", "attempts = 1", "quarantined_at = now()"):
        with pytest.raises(IntegrityError, match="dues_alone_or_of_cohort"):
            spa.rows(f"UPDATE dues SET {said} WHERE membership_id = :id", id=spa.members[0])
