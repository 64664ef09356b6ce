"""From an event to its credit: a sign-up is posted, and its credit is there for all to see.

The benchmark's database tells of each credit of one brand as it is committed (NOTIFY by a trigger that the product
knows nothing of). Latency is the time from just before the event is sent over HTTP to that word.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from psycopg import sql

from benchmarks.club import OPENED, Club
from benchmarks.samples import Sample
from benchmarks.site import Site
from benchmarks.stage import Stage

#: Events a second where many come, and seconds between two where few do.
RATE, COLD = 50, 3.0
#: Requests that may be under way at once.
CLIENTS = 16
#: Seconds within which every event has its credit, or something is wrong.
PATIENCE = 60.0
#: Another brand's memberships that fall due in the middle of a big run.
OTHERS = 100

_RUNS = "SELECT count(*) FROM runs WHERE brand_id = %(brand_id)s"
_TELL = sql.SQL("""
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('credits', NEW.membership_id::text);
        RETURN NULL;
    END $$;
    CREATE TRIGGER tell AFTER INSERT ON credits FOR EACH ROW WHEN (NEW.brand_id = {}) EXECUTE FUNCTION tell();
""")


class Brands:
    """One database for all latencies: a brand that events come to, a big one, and another with a few memberships."""

    def __init__(self, stage: Stage, members: int) -> None:
        self.stage = stage
        self.members = members

    @cached_property
    def url(self) -> str:
        return self.stage.database("latency")

    @cached_property
    def visited(self) -> Club:
        club = Club(self.stage, self.url, 1)
        with self.stage.admin("latency") as connection:
            connection.execute(_TELL.format(sql.Literal(club.brand_id)))
        return club

    @cached_property
    def big(self) -> Club:
        return Club(self.stage, self.url, self.members)

    @cached_property
    def other(self) -> Club:
        return Club(self.stage, self.url, OTHERS)


class Listener:
    """Hears of credits; knows when each membership's was there."""

    def __init__(self, url: str) -> None:
        self.heard: dict[str, float] = {}
        self._connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self._connection.execute("LISTEN credits")
        self._closing = Event()
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._closing.is_set():
            for notice in self._connection.notifies(timeout=0.2):
                self.heard.setdefault(notice.payload, monotonic())

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._connection.close()


class Visits:
    """Posts sign-ups to a club's site and hears of their credits."""

    def __init__(self, site: Site, club: Club) -> None:
        self._club = club
        self._http = site.client(club.key)
        self._listener = Listener(club.url)
        self._sent: dict[str, float] = {}

    def post(self) -> None:
        membership_id: UUID = uuid4()
        event = self._club.sign_up(membership_id, OPENED)
        self._sent[str(membership_id)] = monotonic()
        answer = self._http.post("/billing-events", json=event)
        assert answer.status_code == httpx.codes.ACCEPTED, f"{answer.status_code} {answer.text}"

    def wait(self) -> list[float]:
        """Latencies in ms, once all credits are there. What was sent is forgotten."""
        deadline = monotonic() + PATIENCE
        while missing := self._sent.keys() - self._listener.heard.keys():
            assert monotonic() < deadline, f"{len(missing)} of {len(self._sent)} events have no credit"
            sleep(0.02)
        latencies = [1000 * (self._listener.heard[one] - sent) for one, sent in self._sent.items()]
        self._sent.clear()
        return latencies

    def close(self) -> None:
        self._http.close()
        self._listener.close()


@contextmanager
def visits(site: Site, club: Club) -> Iterator[Visits]:
    """Visits whose first second, in which processes that were just started make their connections, is over."""
    visits = Visits(site, club)
    try:
        pace(visits, 1 / RATE, lambda sent: sent >= RATE)
        visits.wait()
        yield visits
    finally:
        visits.close()


class Steady:
    """Events at an even pace, and nothing else to do."""

    def __init__(self, brands: Brands, name: str, title: str, *, count: int, pause: float) -> None:
        self.name = name
        self.title = title
        self._brands = brands
        self._count = count
        self._pause = pause

    def prepare(self) -> None:
        assert self._brands.visited

    def measure(self) -> Sample:
        brands = self._brands
        brands.stage.settle_down("latency")
        with brands.stage.running(brands.url) as site, visits(site, brands.visited) as visitors:
            began = monotonic()
            pace(visitors, self._pause, lambda sent: sent >= self._count)
            latencies = visitors.wait()
            return Sample(len(latencies), monotonic() - began, latencies_ms=latencies)


class Beside:
    """Events, and another brand's few memberships, while a big brand's boundary passes."""

    name = "beside_bulk"

    def __init__(self, brands: Brands) -> None:
        self.title = f"event to credit, {RATE}/s, beside a bulk run of {brands.members:,}"
        self._brands = brands

    def prepare(self) -> None:
        assert self._brands.visited
        assert self._brands.big
        assert self._brands.other

    def measure(self) -> Sample:
        brands = self._brands
        now, then = brands.big.next_month(), brands.other.next_month()
        brands.stage.settle_down("latency")
        with (
            brands.stage.running(brands.url) as site,
            visits(site, brands.visited) as visitors,
            ThreadPoolExecutor(2) as pool,
        ):
            began, runs = monotonic(), brands.big.value(_RUNS)
            big = pool.submit(brands.big.move_clock, site, now)
            _wait_for_run(brands.big, runs + 1)
            others = pool.submit(brands.other.move_clock, site, then)
            # At least a second, so that there is a figure for a run that is over at once.
            pace(visitors, 1 / RATE, lambda sent: sent >= RATE and big.done())
            latencies = visitors.wait()
            figures = {"bulk_seconds": big.result(), f"other_brands_{OTHERS}_seconds": others.result()}
            return Sample(len(latencies), monotonic() - began, figures, latencies)


def pace(visitors: Visits, pause: float, enough: Any) -> None:
    """Posts an event every `pause` seconds, whether or not the ones before are answered, until it is enough."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        began, sent, posts = monotonic(), 0, []
        while not enough(sent):
            posts.append(pool.submit(visitors.post))
            sent += 1
            sleep(max(0.0, began + sent * pause - monotonic()))
        for post in posts:
            post.result()


def _wait_for_run(club: Club, number: int) -> None:
    deadline = monotonic() + PATIENCE
    while club.value(_RUNS) < number:
        assert monotonic() < deadline, "the big run does not begin"
        sleep(0.02)
