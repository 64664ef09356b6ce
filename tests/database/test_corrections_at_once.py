"""Corrections race with each other, with redeeming, facts and archiving: it is as if one came after the other."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import combinations_with_replacement
from threading import Barrier
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import Engine

from issuance.corrections import desk
from issuance.corrections.wanted import Correction, Extend, Reinstate, Revoke, Transfer
from issuance.credits import credits as credit_room
from issuance.database.connections import transaction
from issuance.errors import IssuanceError
from issuance.laws import LAWS, look
from issuance.members import members, moves, redemptions
from issuance.members.redemptions import Booking
from issuance.memberships import archiving
from tests.database.clubs import Club

#: How often two are let go together, until each has come first.
MOST_TRIES = 80
#: Seconds by which one begins later at each turn.
STEP = 0.004

_FIRST_USE = """
    SELECT redemption_id FROM redemptions JOIN credits USING (brand_id, credit_id)
     WHERE membership_id = :id ORDER BY redemption_id LIMIT 1
"""


class Stage(NamedTuple):
    """A membership of its own with one credit, which expires with its period."""

    club: Club
    membership_id: UUID
    code: str
    expires_at: datetime

    @property
    def engine(self) -> Engine:
        return self.club.engine

    def correct(self, correction: Correction) -> str:
        with transaction(self.engine, self.club.brand_id) as connection:
            _, ids = desk.correct(connection, self.club.brand_id, correction)
        self.club.settle(ids)
        return "done"


def extend(stage: Stage) -> str:
    return stage.correct(Extend(stage.code, stage.expires_at + timedelta(days=5), "x"))


def transfer(stage: Stage) -> str:
    return stage.correct(Transfer(stage.code, "x", external_user_id="bea"))


def revoke(stage: Stage) -> str:
    return stage.correct(Revoke(stage.code, "x"))


def reinstate(stage: Stage) -> str:
    return stage.correct(Reinstate(stage.code, "x"))


def redeem(stage: Stage) -> str:
    with transaction(stage.engine, stage.club.brand_id) as connection:
        redemptions.redeem_credit(connection, stage.club.brand_id, stage.code, Booking())
    return "done"


def cancel(stage: Stage) -> str:
    """The one use that is there is given back."""
    (row,) = stage.club.rows(_FIRST_USE, id=stage.membership_id)
    with transaction(stage.engine, stage.club.brand_id) as connection:
        _, ids = moves.move(connection, stage.club.brand_id, row.redemption_id, "CANCELED")
    stage.club.settle(ids)
    return "done"


def archive(stage: Stage) -> str:
    member = f"member {stage.membership_id}"
    with transaction(stage.engine, stage.club.brand_id) as connection:
        removed = archiving.archive(connection, stage.club.brand_id, member, retain_balance=True)
    stage.club.settle(removed.membership_ids)
    return "done"


def fail(stage: Stage) -> str:
    """The charge of its period fails."""
    said = {"membership_id": str(stage.membership_id), "charge_id": "c", "period_start": "2031-01-31"}
    stage.club.settle(stage.club.tell("charge.failed", "2031-01-31T11:00", said))
    return "done"


ACTS: dict[str, Callable[[Stage], str]] = {
    act.__name__: act for act in (extend, transfer, revoke, reinstate, redeem, cancel, archive, fail)
}
PAIRS = list(combinations_with_replacement(ACTS, 2))


def opened(new_club: Callable[..., Club], *, multi_use: bool = False) -> Club:
    """A club of a rule whose credits do not roll over, with a member who may be given some."""
    club = new_club("external", roll_over=False, issue_on_signup=True, multi_use=multi_use)
    with transaction(club.engine, club.brand_id) as connection:
        members.ensure(connection, club.brand_id, ["bea"])
    return club


def staged(club: Club, *names: str) -> Stage:
    (membership_id,) = club.sign_up(1)
    row = club.rows("SELECT code, expires_at FROM credits WHERE membership_id = :id", id=membership_id)[0]
    stage = Stage(club, membership_id, row.code, row.expires_at)
    if "cancel" in names:
        redeem(stage)
    if "reinstate" in names:
        revoke(stage)
    return stage


def tried(act: str, stage: Stage) -> str:
    try:
        return ACTS[act](stage)
    except IssuanceError as refusal:
        return refusal.code


def left(stage: Stage) -> tuple[Any, ...]:
    """What is there in the end, and that it is lawful."""
    stage.club.settle([stage.membership_id])
    found = stage.club.rows(
        "SELECT credit_id, transfer_id IS NOT NULL AS transferred, uses, flagged_at IS NOT NULL AS flagged, revoked_by"
        " FROM credits WHERE membership_id = :id",
        id=stage.membership_id,
    )
    assert len(found) == 1
    with transaction(stage.engine, stage.club.brand_id) as connection:
        now = stage.club.value("SELECT clock_now FROM brands WHERE brand_id = :brand_id")
        shown = credit_room.by_id(connection, stage.club.brand_id, [found[0].credit_id], now)[found[0].credit_id]
        assert [one for of in look(connection, stage.club.brand_id, LAWS) for some in of.values() for one in some] == []
    return (shown["status"], shown["expires_at"] - stage.expires_at, *found[0][1:])


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_at_once_are_one_after_the_other(new_club: Callable[..., Club], first: str, second: str) -> None:
    """What comes of two at the same moment is what comes of them in one order or in the other; each order was seen."""
    # What is used once of many times is live all the same, so that all else may happen to it.
    club = opened(new_club, multi_use="cancel" in (first, second))
    in_order = []
    for turned in (False, True):
        stage = staged(club, first, second)
        said = [tried(act, stage) for act in ((second, first) if turned else (first, second))]
        in_order.append((*(reversed(said) if turned else said), *left(stage)))
    seen = set()
    for turn in range(MOST_TRIES):
        stage, start = staged(club, first, second), Barrier(2)

        def go(act: str, lag: float, stage: Stage = stage, start: Barrier = start) -> str:
            start.wait()
            time.sleep(lag)
            return tried(act, stage)

        # One is quicker than the other: by turns each of them begins ever later.
        lags = (turn * STEP, 0.0) if turn % 2 else (0.0, turn * STEP)
        with ThreadPoolExecutor(2) as pool:
            racing = [pool.submit(go, act, lag) for act, lag in zip((first, second), lags, strict=True)]
            said = [one.result() for one in racing]
        outcome = (*said, *left(stage))
        assert outcome in in_order, f"neither order ends so: {outcome}"
        seen.add(outcome)
        if seen == set(in_order):
            return
    raise AssertionError(f"of {in_order} only {seen} was seen in {MOST_TRIES} tries")


def test_a_sweep_never_expires_what_is_extended(new_club: Callable[..., Club]) -> None:
    """Neither one that comes first, nor one that was at it already; others of its instant expire."""
    club = opened(new_club)
    for _ in range(10):
        stage, other, start = staged(club), staged(club), Barrier(2)
        club.move_clock(stage.expires_at.replace(tzinfo=None).isoformat())

        def sweep(start: Barrier = start) -> None:
            start.wait()
            club.sweep()

        def till(stage: Stage = stage, start: Barrier = start) -> str:
            start.wait()
            return tried("extend", stage)

        with ThreadPoolExecutor(2) as pool:
            swept, said = pool.submit(sweep), pool.submit(till)
            swept.result()
            assert said.result() == "done"
        club.sweep()
        assert left(stage)[:2] == ("live", timedelta(days=5))
        assert left(other)[0] == "expired"
        assert club.value("SELECT expired_at FROM credits WHERE membership_id = :id", id=stage.membership_id) is None
        club.rows("UPDATE brands SET clock_now = '2031-01-31T12:00Z'")
