"""A replay goes the way of every settling: one bad harms no other, nobody has more than one may have, each has what its
plan promised (SEMANTICS 10, 17)."""

import pytest

from issuance.database.connections import transaction
from issuance.engine import plans
from tests.database.clubs import Club
from tests.limits import Limit


@pytest.mark.usefixtures("whole")
def test_one_that_is_refused_does_not_take_its_batch_apart(club: Club) -> None:
    """Its neighbours have theirs in the transaction that found out, and it is tried again by itself."""
    members = sorted(club.sign_up(6))
    club.rows("DELETE FROM credits")
    club.refuse_credits_of(members[3])
    assert club.replay()["counts"] == {"issued": 5, "error": 1}
    assert club.rows("SELECT schedule_id FROM schedules WHERE attempts > 0") == [(members[3],)]


def test_whoever_has_all_that_one_may_have_is_given_no_more(club: Club, limit: Limit) -> None:
    """As by the clock: by a replay, and by hand."""
    club.sign_up(1)
    club.move_clock("2031-02-28")
    club.sweep()
    club.rows("DELETE FROM credits WHERE period_start = '2031-01-31'")
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    limit("settling", credits_ever=1)
    assert club.replay()["counts"] == {"error": 1}
    assert club.issue()["counts"] == {"error": 1}
    assert club.value("SELECT count(*) FROM credits") == 1


def test_news_is_left_to_be_settled(club: Club) -> None:
    """A replay gives what is missing and says nothing of what has happened since."""
    (member,) = club.sign_up(1)
    club.rows("DELETE FROM credits")
    news = {"membership_id": str(member), "status": "paused"}
    club.tell("membership.status_changed", "2031-01-31T11:00", news)
    assert club.replay()["counts"] == {"issued": 1}
    assert club.value("SELECT count(*) FROM billing_events WHERE settled_at IS NULL") == 1
    assert club.value("SELECT status FROM memberships") == "active"


def test_each_has_what_its_own_plan_promised(club: Club) -> None:
    """Of two that are alike by now, the one that had a credit when the plan was made is promised one less."""
    one, other = sorted(club.sign_up(2))
    club.move_clock("2031-02-28")
    club.sweep()
    club.rows("DELETE FROM credits WHERE membership_id = :other OR period_start > '2031-01-31'", other=other)
    plan = club.replay(dry_run=True)
    assert plan["counts"] == {"issued": 3, "already_issued": 1}
    club.rows("DELETE FROM credits")
    with transaction(club.engine, club.brand_id) as connection:
        run_id = plans.approve(connection, club.brand_id, plan["id"], None)
    club.work(run_id)
    assert club.run(run_id)["counts"] == {"issued": 3}
    assert club.rows("SELECT membership_id, count(*) FROM credits GROUP BY 1 ORDER BY 1") == [(one, 1), (other, 2)]
