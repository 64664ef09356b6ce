"""Redeeming credits, one request each, beside the bare UPDATE that it comes down to; and reading a page of credits."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import psycopg

from benchmarks.club import Club
from benchmarks.samples import Sample
from benchmarks.stage import Stage

CLIENTS = 16
_UPDATE = """
    UPDATE credits SET uses = uses + 1, redeemed_at = %(now)s
     WHERE brand_id = %(brand_id)s AND code = %(code)s AND redeemed_at IS NULL AND revoked_at IS NULL
       AND expired_at IS NULL AND valid_from <= %(now)s AND expires_at > %(now)s
"""


class _OfCredits:
    """A brand with credits enough for all rounds."""

    name: str

    def __init__(self, stage: Stage, n: int, rounds: int) -> None:
        self.stage = stage
        self._n = n
        self._rounds = rounds

    def prepare(self) -> None:
        self.club = Club(self.stage, self.stage.database(self.name), self._n * self._rounds)

    def measure(self) -> Sample:
        raise NotImplementedError

    def codes(self) -> list[str]:
        """Codes of credits that nobody has redeemed, the clients' first ones among them."""
        live = "SELECT code FROM credits WHERE redeemed_at IS NULL ORDER BY credit_id LIMIT %s"
        with self.club.connected() as connection:
            return [code for (code,) in connection.execute(live, [self._n])]


class Redeeming(_OfCredits):
    """POST …/redeem, by sixteen clients."""

    name = "redeem"
    title = f"redeeming over HTTP, {CLIENTS} clients"

    def measure(self) -> Sample:
        self.stage.settle_down(self.name)
        with self.stage.running(self.club.url, "web") as site, site.client(self.club.key) as http:

            def ask(code: str) -> None:
                http.post(f"/customers/credits/{code}/redeem", json={"reference": "benchmark"}).raise_for_status()

            return _side_by_side(self.codes(), [ask] * CLIENTS)


class Reading(_OfCredits):
    """GET of a page of credits, by sixteen clients."""

    name = "read_credits"
    title = f"reading a page of 25 credits over HTTP, {CLIENTS} clients"

    def measure(self) -> Sample:
        self.stage.settle_down(self.name)
        with self.stage.running(self.club.url, "web") as site, site.client(self.club.key) as http:

            def ask(_: str) -> None:
                http.get("/customers/credits", params={"per_page": 25}).raise_for_status()

            return _side_by_side(self.codes(), [ask] * CLIENTS)


class Bare(_OfCredits):
    """The UPDATE and its COMMIT, on as many connections."""

    name = "bare_update"
    title = f"the bare UPDATE, {CLIENTS} connections"

    def measure(self) -> Sample:
        self.stage.settle_down(self.name)
        told = {"brand_id": self.club.brand_id, "now": self.club.value("SELECT clock_now FROM brands")}
        options = f"-c issuance.brand_id={self.club.brand_id}"
        connections = [psycopg.connect(self.club.url, autocommit=True, options=options) for _ in range(CLIENTS)]

        def asker(connection: psycopg.Connection[Any]) -> Callable[[str], None]:
            def ask(code: str) -> None:
                assert connection.execute(_UPDATE, {**told, "code": code}).rowcount == 1

            return ask

        try:
            return _side_by_side(self.codes(), [asker(connection) for connection in connections])
        finally:
            for connection in connections:
                connection.close()


def _side_by_side(codes: Sequence[str], clients: Sequence[Callable[[str], None]]) -> Sample:
    """Every code once, by whichever client is free; each client's first is over before the clock starts."""
    queue: SimpleQueue[str] = SimpleQueue()
    for code in codes[len(clients) :]:
        queue.put(code)

    def work(client: Callable[[str], None]) -> list[float]:
        latencies: list[float] = []
        while True:
            try:
                code = queue.get_nowait()
            except Empty:
                return latencies
            began = monotonic()
            client(code)
            latencies.append(1000 * (monotonic() - began))

    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(lambda client, code: client(code), clients, codes))
        began = monotonic()
        latencies = [one for some in pool.map(work, clients) for one in some]
        return Sample(len(latencies), monotonic() - began, latencies_ms=latencies)
