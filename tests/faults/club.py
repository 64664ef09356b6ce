"""A club over HTTP: its memberships, its clock, and what must be true of its credits in the end."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import text

from issuance import brands
from issuance.database import transaction
from tests.faults.site import Site

#: Within how many seconds of the last fault all is done (the issue's own bound).
RECOVERY_SECONDS = 60.0


class Club:
    """A sandbox brand with one automatic type and a monthly rule for whoever is on the order."""

    def __init__(self, site: Site, brand_id: object, http: httpx.Client) -> None:
        self.site = site
        self.brand_id = brand_id
        self.http = http
        self.size = 0
        coupon = {"name": "Tea", "discount": {"type": "percent", "value": 100}}
        self._call("PUT", "/customers/coupons/tea", json=coupon)
        self.move_clock("2031-01-31T12:00:00Z")
        kind = self._call("POST", "/customers/membership-types", json={"name": "Gold", "billing": "automatic"})
        self.type_id: str = kind["id"]
        rule = {"membership_type_id": self.type_id, "coupon_id": "tea", "coupon_name": "Tea"}
        self._call("POST", "/customers/membership-credit-rules", json={**rule, "issue_on_signup": True})

    def _call(self, method: str, path: str, **sent: Any) -> Any:
        answer = self.http.request(method, path, **sent)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def sign_up(self, size: int, *, times: int = 1) -> tuple[int, int]:
        """New memberships, each sign-up posted `times` times side by side; how many were accepted and known already."""
        sign_ups = [
            {
                "specversion": "1.0",
                "source": "faults",
                "id": str(number),
                "type": "membership.signed_up",
                "time": "2031-01-31T12:00:00Z",
                "data": {
                    "membership_id": str(uuid4()),
                    "membership_type_id": self.type_id,
                    "external_user_id": f"member {number}",
                    "starts_on": "2031-01-31",
                },
            }
            for number in range(self.size, self.size + size)
        ]
        batches = [sign_ups[start : start + 500] for start in range(0, size, 500)]
        with ThreadPoolExecutor(times) as pool:
            answers = list(pool.map(self._post, [batch for batch in batches for _ in range(times)]))
        assert [answer["rejected"] for answer in answers] == [[]] * len(answers)
        self.size += size
        return sum(answer["accepted"] for answer in answers), sum(answer["duplicates"] for answer in answers)

    def _post(self, batch: list[dict[str, Any]]) -> Any:
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        return self._call("POST", "/billing-events", json=batch, headers=headers)

    def move_clock(self, now: str) -> None:
        """Move the clock and wait until all is settled."""
        assert self._call("PUT", "/sandbox/clock", json={"now": now})["settled"] is True

    def value(self, sql: str) -> Any:
        with transaction(self.site.engine, self.brand_id) as connection:  # type: ignore[arg-type]
            return connection.execute(text(sql)).scalar()

    @property
    def credits(self) -> int:
        return int(self.value("SELECT count(*) FROM credits"))

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
            print(
                f"  {time.monotonic() - began:5.1f} s, {self.credits - first} of {self.size} credits: {name}",
                flush=True,
            )
            fault()
            last = time.monotonic()
        moving.join(RECOVERY_SECONDS)
        recovered = time.monotonic() - last
        assert not moving.is_alive(), f"not done {RECOVERY_SECONDS:.0f} s after the last fault"
        print(f"  {time.monotonic() - began:5.1f} s: all done, {recovered:.1f} s after the last fault", flush=True)
        return recovered

    def check(self, periods: int) -> None:
        """Every membership has each period's credit, once; no work is left over and nobody was set apart."""
        assert self.credits == self.size * periods
        keys = "SELECT count(*) FROM (SELECT DISTINCT membership_id, guest_id, period_start FROM credits) keys"
        assert self.value(keys) == self.size * periods
        assert self.value("SELECT count(*) FROM run_batches WHERE finished_at IS NULL") == 0
        assert self.value("SELECT count(*) FROM runs WHERE finished_at IS NULL") == 0
        assert self.value("SELECT count(*) FROM billing_events WHERE settled_at IS NULL") == 0
        # An attempt may be under way: the reconciler doubles hints that wait long.
        assert self.value("SELECT count(*) FROM dues WHERE last_error IS NOT NULL OR quarantined_at IS NOT NULL") == 0


@contextmanager
def new_club(site: Site) -> Iterator[Club]:
    with transaction(site.engine) as connection:
        brand_id, key = brands.create(connection, name="club", timezone="UTC", sandbox=True)
    with site.client(key) as http:
        yield Club(site, brand_id, http)
