"""Whatever dies or is wiped, every credit is there once, and nobody had to help (SEMANTICS 8; docs/decisions 2)."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from campaigns.faults.club import Club, new_club
from campaigns.faults.site import Site
from tests.waiting import eventually


@pytest.fixture
def club(site: Site) -> Iterator[Club]:
    """A brand on the site with a monthly rule, its clock at noon on 31 January 2031."""
    with new_club(site) as club:
        yield club


def test_events_posted_eight_times_side_by_side_are_accepted_once(club: Club) -> None:
    """Each event is accepted by one request and known already to the seven others."""
    assert club.sign_up(500, times=8) == (500, 7 * 500)
    club.move_clock("2031-01-31T12:00:00Z")
    club.check(periods=1)


def test_a_sweep_outlives_its_workers_its_scheduler_and_its_queue(site: Site, club: Club) -> None:
    """kill -9 of a bulk worker's process, of all bulk workers and of the scheduler, and FLUSHALL, in mid-sweep."""
    club.sign_up(3000)
    club.move_clock("2031-01-31T12:00:00Z")
    club.move_clock_through(
        "2031-03-01T00:00:00Z",
        [
            ("kill -9 of one bulk worker", lambda: site.kill_child("worker_bulk")),
            ("the queue is wiped", site.flush),
            ("kill -9 of the scheduler", lambda: site.kill("scheduler")),
            ("kill -9 of all bulk workers", lambda: site.kill("worker_bulk")),
        ],
    )
    club.check(periods=2)


def test_events_outlive_their_worker_and_their_queue(site: Site, club: Club) -> None:
    """kill -9 of the events worker while sign-ups come in, and the queue wiped after."""
    club.sign_up(500)
    site.kill("worker_events")
    club.sign_up(500)
    site.flush()
    club.move_clock("2031-01-31T12:00:00Z")
    club.check(periods=1)


def test_a_worker_that_is_told_to_stop_finishes_its_batch(site: Site, club: Club) -> None:
    """SIGTERM in mid-sweep: no batch has to be taken a second time."""
    club.sign_up(2000)
    club.move_clock("2031-01-31T12:00:00Z")
    club.move_clock_through(
        "2031-03-01T00:00:00Z", [("SIGTERM to the bulk workers", lambda: site.terminate("worker_bulk"))]
    )
    club.check(periods=2)
    assert club.value("SELECT max(attempts) FROM run_batches") == 1


def test_messages_that_nobody_can_read_are_set_apart(site: Site, club: Club) -> None:
    """Kept in quarantined_messages, once, off the queue, and the good ones around them are done."""
    tag = uuid4().hex.encode()  # the same rubbish twice is kept once: another test may have left its own
    rubbish = [b"\xff\x00 no JSON " + tag, b'{"actor_name": "unheard_of", "tag": "%b"}' % tag, b'["%b"]' % tag]
    before = club.value("SELECT count(*) FROM quarantined_messages")
    with site.redis() as client:
        for queue in ("events", "bulk"):
            for number, body in enumerate(rubbish):
                client.hset(f"dramatiq:{queue}.msgs", f"rubbish-{number}", body)
                client.rpush(f"dramatiq:{queue}", f"rubbish-{number}")
        club.sign_up(20)
        club.move_clock("2031-03-01T00:00:00Z")
        club.check(periods=2)
        eventually(lambda: not client.hkeys("dramatiq:events.msgs") + client.hkeys("dramatiq:bulk.msgs"))
    assert club.value("SELECT count(*) FROM quarantined_messages") == before + len(rubbish)
