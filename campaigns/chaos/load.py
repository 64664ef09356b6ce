"""The load while faults happen, and what must be true of it afterwards."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from campaigns.faults.club import Club

#: The instants that the club's clock jumps to: every month's credits are owed by then.
MONTHS = [f"{2031 + month // 12}-{month % 12 + 1:02}-01T00:00:00Z" for month in range(2, 1200)]
_POINTS = 3


class Load:
    """A large club whose months pass, and a few members who are given points and spend them; a webhook is told."""

    def __init__(self, club: Club, members: int) -> None:
        self.club = club
        self.members = members
        self.months = 0
        self.given = self.spent = 0
        self._jumping = threading.Lock()
        self.failed: list[str] = []
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def prepare(self, progress: Callable[[int], None]) -> None:
        """Sign everybody up. Their first credits come while faults happen."""
        assert self.club.receiver is not None, "a webhook needs somebody to tell"
        events = ["wallet.credited", "redemption.created"]
        self.club.call("POST", "/v1/webhooks", json={"url": self.club.receiver.url, "events": events})
        self.club.call("PUT", "/v1/members/ada", json={})
        while self.club.size < self.members:
            batches: list[list[dict[str, Any]]] = []
            while self.club.size < self.members and len(batches) < 8:
                batches.append(self.club.sign_ups(min(1000, self.members - self.club.size)))
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(self.club.post, batches))
            progress(self.club.size)

    def start(self) -> None:
        for work in (self._points, self.jump):
            thread = threading.Thread(target=self._go_on, args=(work,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop, and wait for the work that has begun."""
        self._over.set()
        for thread in self._threads:
            thread.join(600)
            assert not thread.is_alive(), "the load does not come to its end"

    def _go_on(self, work: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                work()
            except Exception as error:
                self.failed.append(f"load: {type(error).__name__}: {error}")
            self._over.wait(0.2)

    def jump(self) -> None:
        """Move the clock by a month and wait until everybody is settled; one jump at a time."""
        with self._jumping:
            self.club.move_clock(MONTHS[self.months])
            self.months += 1

    def _points(self) -> None:
        who = {"externalUserID": "ada"}
        self._once("/v1/wallet/credit", {**who, "amount": _POINTS})
        self.given += _POINTS
        self._once("/v1/redemptions", {**who, "points": 1})
        self.spent += 1

    def _once(self, path: str, body: dict[str, Any]) -> None:
        self.club.call("POST", path, json=body, headers={"Idempotency-Key": str(uuid4())})

    def wrong(self) -> list[str]:
        """What is lost, doubled or early, one line each. Call it when all work is done."""
        club = self.club
        owed = self.members * (self.months + 1)
        keys = "SELECT count(*) FROM (SELECT DISTINCT membership_id, guest_id, period_start, reissue FROM credits) k"
        expected = {
            "credits": (owed, "SELECT count(*) FROM credits"),
            "keys of credits": (owed, keys),
            "points given": (self.given, "SELECT coalesce(sum(received), 0) FROM wallets"),
            "points spent": (self.spent, "SELECT coalesce(sum(spent), 0) FROM wallets"),
            "redemptions": (self.spent, "SELECT count(*) FROM redemptions"),
            "events told": (2 * self.spent, "SELECT count(*) FROM deliveries WHERE state = 'delivered'"),
            "memberships in quarantine": (0, "SELECT count(*) FROM schedules WHERE quarantined_at IS NOT NULL"),
        }
        found = {name: (number, int(club.value(sql))) for name, (number, sql) in expected.items()}
        wrong = [f"{name}: {there}, not {number}" for name, (number, there) in found.items() if number != there]
        assert club.receiver is not None, "it was there before"
        came = {headers["webhook-id"] for _, headers, _ in list(club.receiver.received)}
        never = club.ids("SELECT event_id::text FROM deliveries WHERE state = 'delivered'") - came
        wrong += [f"{len(never)} events are said to be delivered and never came"] if never else []
        return wrong + self.failed + [f"law broken: {offender}" for offender in club.offenders()]


class Canary:
    """Probes again and again whether service is normal: a new event and a new month both lead to their credits."""

    def __init__(self, club: Club) -> None:
        self.club = club
        #: When each song began and ended (time.monotonic()).
        self.songs: list[tuple[float, float]] = []
        self.failed: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sing_on, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(600)

    def service_since(self, instant: float) -> float | None:
        """When the first probe ended that began at `instant` or later; None: not yet."""
        return next((ended for began, ended in list(self.songs) if began >= instant), None)

    def wrong(self) -> list[str]:
        return self.failed + [f"the canary's law broken: {offender}" for offender in self.club.offenders()]

    def _sing_on(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self._probe()
            except SQLAlchemyError:  # the canary writes into the database itself, which may be away
                self._over.wait(0.1)
                continue
            except Exception as error:
                self.failed.append(f"canary: {type(error).__name__}: {error}")
                self._over.wait(1)
                continue
            self.songs.append((began, time.monotonic()))
            self._over.wait(0.1)

    def _probe(self) -> None:
        """Sign a member up by an event; then let a month pass for everybody, without telling anyone."""
        self.club.post(self.club.sign_ups(1))
        self.club.wait_until_done(600)
        self.club.let_time_pass(MONTHS[len(self.songs)])
        self.club.wait_until_done(600)
