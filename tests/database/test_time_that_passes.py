"""While somebody waits for a lock, time passes: on a clock that runs, what others wrote meanwhile lies behind them.

Whoever waited goes on with a `now` that was read after the last lock.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from issuance.corrections import desk
from issuance.corrections.wanted import Grant
from issuance.database.connections import transaction
from issuance.engine import pipeline, undos
from issuance.errors import MemberArchived
from issuance.members import members, moves, redemptions
from issuance.members.profiles import MemberProfile
from issuance.members.redemptions import Booking
from issuance.memberships import archiving, forgetting
from tests.database.beside import Beside
from tests.database.clubs import Club, ago

Do = Callable[[], object]


@pytest.fixture
def club(new_club: Callable[..., Club]) -> Iterator[Club]:
    """A club of forty days, whose clock is 34 days late until it is let run."""
    club = new_club(since=ago(40), now=ago(34))
    club.sign_ups = ago(36)
    yield club
    club.engine.dispose()


def sign_up(club: Club, size: int, *, settled: bool = True) -> list[UUID]:
    """Memberships in the order in which their schedules are locked, of 35 days; then the clock runs."""
    told = (club.sign_up if settled else club.accept)(size, ago(35)[:10])
    club.let_run()
    return sorted(told)


def archive(club: Club, membership_id: UUID) -> None:
    with transaction(club.engine, club.brand_id) as connection:
        archiving.archive(connection, club.brand_id, f"member {membership_id}", retain_balance=True)


def redeem(club: Club, code: str) -> UUID:
    """Use a credit: the redemption."""
    with transaction(club.engine, club.brand_id) as connection:
        made: UUID = redemptions.redeem_credit(connection, club.brand_id, code, Booking())["redemption"]["id"]
    return made


def live(club: Club, membership_id: UUID) -> int:
    """How many credits of a membership are live, once all is settled."""
    club.settle([membership_id])
    club.sweep()
    found: int = club.value(
        "SELECT count(*) FROM credits WHERE membership_id = :id AND revoked_at IS NULL AND uses = 0", id=membership_id
    )
    return found


def test_settling_that_waits_knows_who_was_archived_meanwhile(club: Club, beside: Beside) -> None:
    """It waits for one, while the member of another is archived: nothing is given them for good."""
    first, bea = sign_up(club, 2, settled=False)

    def settle() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            pipeline.settle_these(connection, club.brand_id, [first, bea])

    with beside.held(first):
        assert beside.begin(settle)
        archive(club, bea)
    assert live(club, bea) == 0
    assert live(club, first) > 0


def test_a_sweep_that_waits_knows_who_was_archived_meanwhile(club: Club, beside: Beside) -> None:
    """It waits for a shared schedule, while the member of another membership is archived, who is due."""
    others = club.sign_up(30, ago(35)[:10])
    club.rows("UPDATE schedules SET due_at = settled_at")
    club.sweep()
    shared = club.value("SELECT schedule_id FROM schedules WHERE shared AND size > 0")
    (bea,) = sign_up(club, 1)
    with beside.held(shared):
        assert beside.begin(club.sweep)
        archive(club, bea)
    assert live(club, bea) == 0
    assert live(club, others[0]) > 0


def test_a_manual_issue_that_waits_knows_who_was_archived_meanwhile(club: Club, beside: Beside) -> None:
    """What is issued by hand is never taken back by the facts."""
    first, bea = sign_up(club, 2)
    club.sweep()
    for (code,) in club.rows("SELECT code FROM credits"):
        redeem(club, code)
    with beside.held(first):
        assert beside.begin(club.issue)
        archive(club, bea)
    assert live(club, bea) == 0
    assert club.rows("SELECT membership_id FROM credits WHERE manual") == [(first,)]


def test_a_correction_that_waits_knows_who_was_archived_meanwhile(club: Club, beside: Beside) -> None:
    first, bea = sign_up(club, 2)

    def grant() -> None:
        grants = [Grant(one, "tea", "sorry") for one in (first, bea)]
        with transaction(club.engine, club.brand_id) as connection:
            done = desk.correct_all(connection, club.brand_id, grants, reason="sorry", dry_run=False)
        assert isinstance(done.refused[1], MemberArchived)

    with beside.held(first):
        assert beside.begin(grant)
        archive(club, bea)
    assert beside.errors == []
    assert live(club, bea) == 0


def test_what_waits_is_done_after_what_it_waited_for(club: Club, beside: Beside) -> None:
    """Whatever it is: no instant that it writes lies before the moment at which it had to wait."""
    first, bea, cid = sign_up(club, 3)
    redemption_id = redeem(club, club.value("SELECT code FROM credits WHERE membership_id = :id", id=first))
    archive(club, cid)

    def acting(act: Callable[..., object], *given: object, **said: object) -> Do:
        def do() -> None:
            with transaction(club.engine, club.brand_id) as connection:
                act(connection, club.brand_id, *given, **said)

        return do

    def undo() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            since = datetime(2000, 1, 1, tzinfo=UTC)
            run_id = undos.start_of_version(connection, club.brand_id, club.rule_id, 1, since, "a mistake")
        club.work(run_id)

    def waits(schedule_id: UUID, act: Do, sql: str) -> bool:
        with beside.held(schedule_id):
            assert beside.begin(act), "it waits"
            waited_at = club.value("SELECT clock_timestamp()")
        assert beside.errors == []
        return bool(club.value(sql) > waited_at)

    assert waits(first, acting(moves.move, redemption_id, "CANCELED"), "SELECT updated_at FROM redemptions")
    assert waits(bea, acting(archiving.archive, f"member {bea}", retain_balance=True), _ENDED)
    assert waits(first, undo, "SELECT min(revoked_at) FROM credits WHERE revoked_by = 'operator'")
    assert waits(cid, acting(forgetting.erase, f"member {cid}"), "SELECT max(erased_at) FROM members")


def test_who_is_brought_back_while_they_are_archived_came_back_after_it(club: Club, beside: Beside) -> None:
    (bea,) = sign_up(club, 1)

    def bring_back() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            members.upsert(connection, club.brand_id, f"member {bea}", MemberProfile())

    with transaction(club.engine, club.brand_id) as connection:
        archiving.archive(connection, club.brand_id, f"member {bea}", retain_balance=True)
        assert beside.begin(bring_back)
        waited_at = club.value("SELECT clock_timestamp()")
    beside.end()
    assert club.value("SELECT returned_at FROM members") > waited_at


_ENDED = "SELECT max(time) FROM billing_events WHERE source = 'issuance:members'"
