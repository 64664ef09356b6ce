"""What guards settling where no ordinary day shows it: collisions, deaths, second lines of defence."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from issuance.database.connections import transaction
from issuance.deciding.reasons import Reason
from issuance.engine import arrivals, batches, new_credits, pipeline, writer
from issuance.members import moves, redemptions
from issuance.members.redemptions import Booking
from tests.database.clubs import Club, at
from tests.database.test_settling import WORTHLESS, poison


class WorkerDied(BaseException):
    """Not an error that anybody handles."""


@pytest.fixture
def spa(new_club: Callable[..., Club]) -> Iterator[Club]:
    """A club whose credits end with their month."""
    club = new_club(roll_over=False)
    yield club
    club.engine.dispose()


def pause(club: Club, membership_id: UUID) -> None:
    club.tell(
        "membership.status_changed", "2031-01-31T11:00", {"membership_id": str(membership_id), "status": "paused"}
    )


def test_a_collision_of_codes_is_no_silent_loss(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose code another credit has already is tried again, and has a credit in the end."""
    club.sign_up()
    taken = club.value("SELECT code FROM credits")
    with monkeypatch.context() as patch:
        patch.setattr(new_credits, "new_codes", lambda number: [taken] * number)
        (member,) = club.sign_up()
        assert club.value("SELECT attempts FROM schedules WHERE schedule_id = :id", id=member) == 1
    club.rows("UPDATE schedules SET retry_at = NULL")
    club.settle([member])
    assert len(club.credits()) == 2


def deaths_of(club: Club, member: UUID, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many workers one kills that is asked for again and again."""
    deaths = 0

    def dying(*_: object) -> None:
        nonlocal deaths
        deaths += 1
        raise WorkerDied

    monkeypatch.setattr(arrivals, "settle_these", dying)
    for _ in range(8):
        try:
            club.settle([member])
        except WorkerDied:
            club.rows(WORTHLESS)
    return deaths


def test_one_whose_news_kill_the_worker_is_quarantined(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt is counted, and committed, before the work: after five deaths nobody tries again."""
    (member,) = club.sign_up()
    pause(club, member)
    assert deaths_of(club, member, monkeypatch) == 5
    assert club.value("SELECT quarantined_at IS NOT NULL FROM schedules") is True


def test_what_was_revoked_meanwhile_stays_as_it_was(spa: Club) -> None:
    """Decided together with many, too: a credit that the operator took back is not marked expired."""
    members = sorted(spa.sign_up(6))
    spa.rows(
        "UPDATE credits SET revoked_at = valid_from, revoked_by = 'operator', revoked_reason = 'x'"
        " WHERE membership_id = :id",
        id=members[5],
    )
    spa.move_clock("2031-03-01")
    spa.sweep()
    ended = spa.rows("SELECT membership_id FROM credits WHERE expired_at IS NULL AND period_start = '2031-01-31'")
    assert ended == [(members[5],)]


def test_what_somebody_has_already_is_not_counted_twice(spa: Club) -> None:
    """One of a group has its credit before the others: it is counted for the others only."""
    members = sorted(spa.sign_up(6))
    spa.move_clock("2031-03-01")
    fingerprint = spa.value("SELECT DISTINCT fingerprint FROM schedules")
    with transaction(spa.engine, spa.brand_id) as connection:
        pipeline.settle_these(connection, spa.brand_id, [members[4]])
    spa.rows(
        "UPDATE schedules SET fingerprint = :was, due_at = '2031-02-28', settled_at = '2031-01-31T12:00Z'",
        was=fingerprint,
    )
    run = spa.sweep()
    assert run is not None
    assert run["counts"] == {"issued": 5}
    assert len(spa.credits()) == 12


def test_who_is_woken_is_like_no_other(spa: Club) -> None:
    """What its fingerprint said may hold no more; until it is settled it has none."""
    members = sorted(spa.sign_up(6))
    code = spa.value("SELECT code FROM credits WHERE membership_id = :id", id=members[0])
    with transaction(spa.engine, spa.brand_id) as connection:
        redeemed = redemptions.redeem_credit(connection, spa.brand_id, code, Booking())
    with transaction(spa.engine, spa.brand_id) as connection:
        _, woken = moves.move(connection, spa.brand_id, redeemed["redemption"]["id"], "CANCELED")
    assert woken == members[:1]
    assert spa.rows("SELECT schedule_id FROM schedules WHERE fingerprint IS NULL") == [(members[0],)]
    assert spa.value("SELECT due_at FROM schedules WHERE schedule_id = :id", id=members[0]) == at("2031-01-31T12:00")


def test_who_was_issued_something_by_a_replay_is_like_no_other(spa: Club) -> None:
    """Its credits are not what its fingerprint says any more."""
    members = sorted(spa.sign_up(6))
    spa.rows("DELETE FROM credits WHERE membership_id = :id", id=members[2])
    assert spa.replay()["counts"] == {"issued": 1, "already_issued": 5}
    assert spa.rows("SELECT schedule_id FROM schedules WHERE fingerprint IS NULL") == [(members[2],)]


def test_who_was_issued_something_by_hand_is_like_no_other(spa: Club) -> None:
    """Its credits are more than its fingerprint says."""
    members = sorted(spa.sign_up(6))
    spa.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from WHERE membership_id = :id", id=members[1])
    assert spa.issue()["counts"] == {"issued": 1, "holds_live_credit": 5}
    assert spa.value("SELECT fingerprint FROM schedules WHERE schedule_id = :id", id=members[1]) is None


def test_a_worker_that_was_overtaken_writes_nothing(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stood still for longer than its claim holds finds its batch in other hands, and leaves it."""
    club.sign_up(3)
    club.move_clock("2031-03-01")
    club.tick()
    run_id = club.value("SELECT run_id FROM runs")
    work = batches._work

    def overtaken(*args: Any) -> Counter[Reason]:
        club.rows("UPDATE run_batches SET attempts = attempts + 1, claimed_at = clock_timestamp()")
        return work(*args)

    monkeypatch.setattr(batches, "_work", overtaken)
    assert batches.work_on_run(club.engine, club.brand_id, run_id).counts == {}
    assert len(club.credits()) == 3
    assert club.value("SELECT finished_at FROM run_batches") is None


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("bad", ["undecidable", "undecidable for all", "refused"])
def test_one_bad_does_not_take_its_batch_apart(spa: Club, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    """Be it that it can not be decided, or that PostgreSQL refuses its rows: its neighbours are done in the
    transaction that found out, and nobody has to begin anew with them."""
    members = sorted(spa.sign_up(6))
    if bad == "undecidable":
        poison(monkeypatch, [members[3]])
        spa.rows("UPDATE schedules SET fingerprint = NULL")
    elif bad == "undecidable for all":
        poison(monkeypatch, [members[0]])  # the one of the group that is looked at
    else:
        spa.refuse_credits_of(members[3])
    spa.move_clock("2031-03-01")
    run = spa.sweep()
    assert run is not None
    assert run["counts"] == {"issued": 5, "error": 1}


def test_what_was_redeemed_while_it_was_taken_back_is_flagged(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settling that would have revoked it is done again with what is true now: the operator sees it."""
    (member,) = club.sign_up()
    club.tell("membership.status_changed", "2031-01-30T11:00", {"membership_id": str(member), "status": "cancelled"})
    write, raced = writer.write, itertools.count()

    def redeemed_meanwhile(*args: Any, **kwargs: Any) -> None:
        if next(raced) == 0:
            club.rows("UPDATE credits SET uses = 1, redeemed_at = '2031-01-31T12:00Z'")
        write(*args, **kwargs)

    monkeypatch.setattr(pipeline, "write", redeemed_meanwhile)
    club.settle([member])
    assert club.rows("SELECT revoked_at, flagged_at FROM credits") == [(None, at("2031-01-31T12:00"))]
