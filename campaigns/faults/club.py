"""A brand on a site that is disturbed: its memberships, its clock, and what must be true of its credits at the end."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from campaigns.faults.site import Site
from campaigns.receiver import Receiver
from issuance.database.connections import transaction
from issuance.laws import LAWS, look

#: Within how many seconds of the last fault all is done, on however slow and busy a machine.
RECOVERY_SECONDS = 240.0
#: How long a client goes on asking, in seconds.
PATIENCE = 300.0
#: When the members signed up, and the clock of a new club.
BEGINNING = "2031-01-31T12:00:00Z"

_UNDONE = text("""
    SELECT EXISTS (SELECT FROM runs WHERE finished_at IS NULL)
        OR EXISTS (SELECT FROM billing_events WHERE settled_at IS NULL)
        OR EXISTS (SELECT FROM schedules s JOIN brands b USING (brand_id)
                    WHERE s.due_at <= coalesce(b.clock_now, clock_timestamp()) AND s.quarantined_at IS NULL)
        OR EXISTS (SELECT FROM deliveries WHERE state = 'pending')
""")


class Club:
    """A sandbox brand with one automatic type and a monthly rule for whoever is on the order."""

    def __init__(self, site: Site, brand_id: UUID, http: httpx.Client) -> None:
        self.site = site
        self.brand_id = brand_id
        self.http = http
        self.size = 0
        self.membership_ids: list[str] = []
        #: Who its webhooks tell, where it has any.
        self.receiver: Receiver | None = None
        coupon = {"name": "Tea", "discount": {"type": "percent", "value": 100}}
        self.call("PUT", "/customers/coupons/tea", json=coupon)
        self.move_clock(BEGINNING)
        self.type_id = self.new_type("Gold")
        self.rule_id = self.new_rule(self.type_id, issue_on_signup=True)

    def new_type(self, name: str, billing: str = "automatic") -> str:
        made = self.call("POST", "/customers/membership-types", json={"name": name, "billing": billing})
        return str(made["id"])

    def new_rule(self, type_id: str, **more: Any) -> str:
        rule = {"membership_type_id": type_id, "coupon_id": "tea", "coupon_name": "Tea", **more}
        return str(self.call("POST", "/customers/membership-credit-rules", json=rule)["id"])

    def call(self, method: str, path: str, **sent: Any) -> Any:
        """Send a request, and repeat it without an answer or after a server error. A POST has a key for that."""
        deadline = time.monotonic() + PATIENCE
        if method == "POST" and path != "/billing-events":
            sent["headers"] = {"Idempotency-Key": str(uuid4()), **sent.get("headers", {})}
        while True:
            try:
                answer = self.http.request(method, path, **sent)
                if answer.status_code < 500:
                    break
                said = f"{answer.status_code} {answer.text}"
            except httpx.TransportError as error:
                said = type(error).__name__
            assert time.monotonic() < deadline, f"{method} {path}: {said}, and nothing better for {PATIENCE:.0f} s"
            time.sleep(0.1)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def sign_ups(self, size: int, type_id: str | None = None) -> list[dict[str, Any]]:
        """The sign-ups of new memberships."""
        numbers = range(self.size, self.size + size)
        self.size += size
        ids = [str(uuid4()) for _ in numbers]
        self.membership_ids += ids
        return [
            self.event(
                f"sign-up {number}",
                "membership.signed_up",
                membership_id=membership_id,
                membership_type_id=type_id or self.type_id,
                external_user_id=f"member {number}",
                starts_on="2031-01-31",
            )
            for number, membership_id in zip(numbers, ids, strict=True)
        ]

    @staticmethod
    def event(event_id: str, kind: str, time: str = BEGINNING, **data: Any) -> dict[str, Any]:
        return {"specversion": "1.0", "source": "faults", "id": event_id, "type": kind, "time": time, "data": data}

    def sign_up(self, size: int, *, times: int = 1) -> tuple[int, int]:
        """Sign up new memberships, each event posted `times` times at once; how many were accepted, and known."""
        events = self.sign_ups(size)
        batches = [events[start : start + 500] for start in range(0, size, 500)]
        with ThreadPoolExecutor(max(times, 2)) as pool:
            answers = list(pool.map(self.post, [batch for batch in batches for _ in range(times)]))
        return sum(answer["accepted"] for answer in answers), sum(answer["duplicates"] for answer in answers)

    def post(self, events: Sequence[dict[str, Any]]) -> Any:
        """Post events; fail if one is refused."""
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        taken = self.call("POST", "/billing-events", json=events, headers=headers)
        assert taken["rejected"] == [], taken
        return taken

    def move_clock(self, now: str) -> None:
        """Move the clock and wait until all is settled."""
        assert self.call("PUT", "/sandbox/clock", json={"now": now})["settled"] is True

    def let_time_pass(self, now: str) -> None:
        """Move the clock, and leave it to the scheduler to find what falls due."""
        self.write("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id", now=now)

    def value(self, sql: str, **values: Any) -> Any:
        with transaction(self.site.engine, self.brand_id) as connection:
            return connection.execute(text(sql), values).scalar()

    def ids(self, sql: str) -> set[str]:
        with transaction(self.site.engine, self.brand_id) as connection:
            return {str(found) for found in connection.scalars(text(sql))}

    def write(self, sql: str, **values: Any) -> None:
        with transaction(self.site.engine, self.brand_id) as connection:
            connection.execute(text(sql), {"brand_id": self.brand_id, **values})

    @property
    def credits(self) -> int:
        return int(self.value("SELECT count(*) FROM credits"))

    def is_done(self) -> bool:
        """Whether no event, no due membership, no run and no delivery is left. False while nobody can say."""
        try:
            with transaction(self.site.engine, self.brand_id) as connection:
                return not connection.scalar(_UNDONE)
        except SQLAlchemyError:
            return False

    def wait_until_done(self, seconds: float = RECOVERY_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_done():
            assert time.monotonic() < deadline, f"not done after {seconds:.0f} s: {self._left_over()}"
            time.sleep(0.03)

    def _left_over(self) -> dict[str, int]:
        left = {
            "runs": "SELECT count(*) FROM runs WHERE finished_at IS NULL",
            "events": "SELECT count(*) FROM billing_events WHERE settled_at IS NULL",
            "due": "SELECT count(*) FROM schedules s JOIN brands b USING (brand_id) WHERE s.due_at <= b.clock_now",
            "quarantined": "SELECT count(*) FROM schedules WHERE quarantined_at IS NOT NULL",
            "deliveries": "SELECT count(*) FROM deliveries WHERE state = 'pending'",
        }
        return {name: int(self.value(sql)) for name, sql in left.items()}

    def move_clock_through(self, now: str, faults: list[tuple[str, Callable[[], None]]]) -> float:
        """Move the clock while faults happen, one after each further share of the credits.

        Returns how many seconds after the last fault all was settled, with nobody's help.
        """
        first, began = self.credits, time.monotonic()
        moving = threading.Thread(target=self.move_clock, args=(now,))
        moving.start()
        last = began
        for number, (name, fault) in enumerate(faults):
            share = self.size * number // (len(faults) + 1)
            while self.credits - first < share and moving.is_alive():
                time.sleep(0.02)
            done = f"{self.credits - first} of {self.size} credits"
            print(f"  {time.monotonic() - began:5.1f} s, {done}: {name}", flush=True)
            fault()
            last = time.monotonic()
        moving.join(RECOVERY_SECONDS)
        recovered = time.monotonic() - last
        assert not moving.is_alive(), f"not done {RECOVERY_SECONDS:.0f} s after the last fault"
        print(f"  {time.monotonic() - began:5.1f} s: all done, {recovered:.1f} s after the last fault", flush=True)
        return recovered

    def check(self, periods: int) -> None:
        """Check: each membership has one credit a period, no work is left, nobody is quarantined, all laws hold."""
        assert self.credits == self.size * periods
        keys = "SELECT count(*) FROM (SELECT DISTINCT membership_id, guest_id, period_start FROM credits) keys"
        assert self.value(keys) == self.size * periods
        assert self.value("SELECT count(*) FROM run_batches WHERE finished_at IS NULL") == 0
        assert self.value("SELECT count(*) FROM runs WHERE finished_at IS NULL") == 0
        assert self.value("SELECT count(*) FROM billing_events WHERE settled_at IS NULL") == 0
        # An attempt may be under way: the reconciler doubles hints that wait long.
        assert (
            self.value("SELECT count(*) FROM schedules WHERE last_error IS NOT NULL OR quarantined_at IS NOT NULL") == 0
        )
        assert self.offenders() == []

    def offenders(self) -> list[dict[str, Any]]:
        """What breaks a law (SEMANTICS 14) in this brand."""
        found = []
        with transaction(self.site.engine, self.brand_id) as connection:
            for batch in look(connection, self.brand_id, LAWS):
                found += [{"law": law, **offender} for law, offenders in batch.items() for offender in offenders]
        return found


@contextmanager
def new_club(site: Site, *, timeout: float = 300) -> Iterator[Club]:
    brand_id, key = site.new_brand()
    with site.client(key, timeout=timeout) as http:
        yield Club(site, brand_id, http)
