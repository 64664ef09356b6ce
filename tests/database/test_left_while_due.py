"""A shared schedule that many are leaving is settled all the same: nobody waits for the last of them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import UUID

from tests.database.clubs import Club
from tests.waiting import eventually

_CLIENTS = 4
#: For how many seconds events come before the boundary passes.
_BEFORE = 1.0
_OWED = "SELECT count(*) FROM memberships m WHERE NOT EXISTS (SELECT FROM credits c WHERE c.period_start = '2031-03-31'"
_OWED += " AND (c.brand_id, c.membership_id) = (m.brand_id, m.membership_id))"


def have_theirs_while_many_leave(club: Club, alike: int, events_a_second: int) -> bool:
    """Whether all of so many alike memberships, that share schedules, have their credit after a boundary while there
    still are events about them, so many a second at most, each of which is settled at once."""
    members = club.sign_up(alike)
    club.move_clock("2031-03-01")
    club.sweep()
    shared = club.value("SELECT count(*) FROM membership_schedules WHERE schedule_id <> membership_id")
    assert shared == alike, "all share a schedule before it begins"
    ended = Event()

    def tell(mine: list[UUID]) -> int:
        """Events about one after the other, each settled at once: how many."""
        told, began = 0, time.monotonic()
        for one in mine:
            if ended.is_set():
                break
            club.settle(club.tell("membership.status_changed", "2031-03-01", {**_ACTIVE, "membership_id": str(one)}))
            told += 1
            ended.wait(max(0.0, began + told * _CLIENTS / events_a_second - time.monotonic()))
        return told

    def sweep() -> None:
        while not ended.wait(0.05):
            club.sweep()

    with ThreadPoolExecutor(_CLIENTS + 1) as pool:
        telling = [pool.submit(tell, members[number::_CLIENTS]) for number in range(_CLIENTS)]
        sweeping = pool.submit(sweep)
        try:
            began = time.monotonic()
            time.sleep(_BEFORE)
            club.move_clock("2031-04-01")
            passed = time.monotonic()
            eventually(lambda: not club.value(_OWED))
            are_leaving = not all(each.done() for each in telling)
            took = time.monotonic() - passed
        finally:
            ended.set()
        sweeping.result()
        told = sum(each.result() for each in telling)
        rate = told / (time.monotonic() - began)
    assert told > _CLIENTS, "some were left while it was due"
    print(f"{alike} alike, {rate:.0f} events/s: all have theirs after {took:.2f} s")
    assert club.value("SELECT count(*) FROM credits WHERE period_start = '2031-03-31'") == alike, "each of them once"
    assert club.rows("SELECT FROM schedules WHERE attempts > 1 OR last_error IS NOT NULL") == []
    return are_leaving


_ACTIVE = {"status": "active"}


def test_all_have_theirs_while_many_leave(new_club: Callable[..., Club]) -> None:
    """Many alike memberships share a schedule, events about them are settled all the time, and the boundary passes."""
    club = new_club()
    assert have_theirs_while_many_leave(club, alike=1000, events_a_second=50)
    club.engine.dispose()
