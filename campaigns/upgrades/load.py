"""What clients do meanwhile, on whichever web processes take requests; and how long anybody waits for the upgrade."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from uuid import uuid4

import httpx
import psycopg

# Whoever waits for a lock of the upgrade, and since when.
_WAITS = """
    SELECT coalesce(extract(epoch FROM max(clock_timestamp() - l.waitstart)), 0)
      FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE NOT l.granted AND a.application_name ~ '^issuance .* schema [0-9]+$'
       AND EXISTS (SELECT FROM pg_stat_activity b
                    WHERE b.application_name = 'issuance schema' AND b.pid = ANY (pg_blocking_pids(a.pid)))
"""
#: How long a client waits for an answer, in seconds: a move of the clock waits up to five minutes for the workers.
PATIENCE = 330


class Load:
    """Clients that never stop: they read, redeem, tell of sign-ups and let time pass. What fails is kept."""

    def __init__(self, webs: Callable[[], list[str]], key: str, type_id: str) -> None:
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self._webs = webs
        self._headers = {"Authorization": f"Bearer {key}"}
        self._type_id = type_id
        self._over = threading.Event()
        self._numbers = count()
        self._seen: list[str] = []
        #: By address.
        self._under_way: Counter[str] = Counter()
        self._counting = threading.Lock()

    def wait_for_answers(self, webs: Sequence[str]) -> None:
        """Until the requests under way there are answered; they are given no more."""
        until = time.monotonic() + PATIENCE
        while any(self._under_way[one] for one in webs) and time.monotonic() < until:
            time.sleep(0.05)

    @contextmanager
    def going_on(self, clients: int = 3) -> Iterator[None]:
        """While it lasts, clients do what they do."""
        kinds = [self._read, self._redeem, self._sign_up]
        work = [*(kinds[n % len(kinds)] for n in range(clients)), self._pass_time]
        threads = [threading.Thread(target=self._go_on, args=(one,), daemon=True) for one in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(PATIENCE + 60)
                assert not thread.is_alive(), "a request does not come back"

    def _go_on(self, work: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(headers=self._headers, timeout=PATIENCE, trust_env=False) as client:
            while not self._over.is_set():
                work(client)

    def _ask(
        self, client: httpx.Client, method: str, path: str, *, fine: tuple[int, ...] = (), **how: object
    ) -> httpx.Response | None:
        webs = self._webs()
        if not webs:
            time.sleep(0.01)
            return None
        web = random.choice(webs)
        self._count(web, 1)
        try:
            answer = client.request(method, web + path, **how)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            self.failed.append(f"{method} {path}: {type(error).__name__}")
            return None
        finally:
            self._count(web, -1)
        self.done[f"{method} {path.partition('?')[0].rpartition('/')[2][:12]}"] += 1
        if answer.status_code >= 300 and answer.status_code not in fine:
            self.failed.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer

    def _count(self, web: str, more: int) -> None:
        with self._counting:
            self._under_way[web] += more

    def _read(self, client: httpx.Client) -> None:
        self._ask(client, "GET", f"/customers/credits?membership_id={self._somebody(client)}&per_page=25")

    def _redeem(self, client: httpx.Client) -> None:
        theirs = f"/customers/credits?membership_id={self._somebody(client)}&status=live"
        page = self._ask(client, "GET", theirs)
        for credit in page.json()["data"][:5] if page else ():
            # Time passes: it may have expired, or another round have taken it.
            self._ask(client, "POST", f"/customers/credits/{credit['code']}/redeem", fine=(409,), json={})

    def _somebody(self, client: httpx.Client) -> str:
        """A membership, as a desk looks one up: a list of all credits, counted to the end as 0.2.0 did, would read
        millions of them without a pause, and no change of the table would ever get its turn."""
        if not self._seen or random.random() < 0.02:
            page = self._ask(client, "GET", f"/customers/memberships?page={random.randrange(1, 20)}&per_page=100")
            if page:
                self._seen = [one["id"] for one in page.json()["data"]] or self._seen
        return random.choice(self._seen) if self._seen else str(uuid4())

    def _sign_up(self, client: httpx.Client) -> None:
        now = self._ask(client, "GET", "/sandbox/clock")
        if now is None:
            return
        time_ = now.json()["now"]
        data = {
            "membership_id": str(uuid4()),
            "membership_type_id": self._type_id,
            "external_user_id": f"load {next(self._numbers)}",
            "starts_on": time_[:10],
            "billing_frequency": "P1M",
        }
        event = {
            "specversion": "1.0",
            "source": "load",
            "id": str(uuid4()),
            "type": "membership.signed_up",
            "time": time_,
        }
        headers = {"Content-Type": "application/cloudevents+json"}
        self._ask(client, "POST", "/billing-events", json={**event, "data": data}, headers=headers)

    def _pass_time(self, client: httpx.Client) -> None:
        now = self._ask(client, "GET", "/sandbox/clock")
        if now is not None:
            later = datetime.fromisoformat(now.json()["now"]) + timedelta(hours=12)
            self._ask(client, "PUT", "/sandbox/clock", fine=(503,), json={"now": later.isoformat()})
        self._over.wait(2.0)


class Waits:
    """Looks, many times a second, how long processes wait for a lock that the upgrade holds or stands in line for."""

    def __init__(self, url: str) -> None:
        self.longest = 0.0
        self._url = url
        self._over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While it lasts, it looks."""
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._over.wait(0.02):
                waited = (connection.execute(_WAITS).fetchone() or [0])[0]
                self.longest = max(self.longest, float(waited))
