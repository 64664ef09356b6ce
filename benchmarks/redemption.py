"""Redeeming credits, one request each, and reading a page of them; beside the smallest applications that do the same,
and the bare UPDATE that redeeming comes down to."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import psycopg

from benchmarks import load
from benchmarks.club import Club
from benchmarks.samples import Sample
from benchmarks.stage import Stage
from issuance import settings

_UVICORN = "exec python -m uvicorn --loop uvloop --http httptools --no-access-log --port $ISSUANCE_PORT"
#: Requests that come before what is measured, one after the other: processes have their connections then.
WARM = 200
_UPDATE = """
    UPDATE credits SET uses = uses + 1, redeemed_at = %(now)s
     WHERE brand_id = %(brand_id)s AND code = %(code)s AND redeemed_at IS NULL AND revoked_at IS NULL
       AND expired_at IS NULL AND valid_from <= %(now)s AND expires_at > %(now)s
"""


class OfCredits:
    """A brand with credits enough for all rounds."""

    name: str
    title: str

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


class _OverHttp(OfCredits):
    """Something that is asked of a web process."""

    def measure(self) -> Sample:
        self.stage.settle_down(self.name)
        with self.stage.running(self.club.url, "web") as site, site.client(self.club.key) as http:
            for _ in range(WARM):
                http.get("/customers/credits").raise_for_status()
            return self.ask(site.url, site.processor_seconds)

    def ask(self, url: str, cost: Callable[[], float]) -> Sample:
        raise NotImplementedError


class Redeeming(_OverHttp):
    """POST …/redeem, by sixteen clients."""

    name = "redeem"
    title = f"redeeming over HTTP, {load.CLIENTS} clients"

    def ask(self, url: str, cost: Callable[[], float]) -> Sample:
        return load.redeem(url, self.club.key, self.codes(), self.stage.home, cost)


class Reading(_OverHttp):
    """GET of a page of credits, by sixteen clients."""

    name = "read_credits"
    title = f"reading a page of 25 credits over HTTP, {load.CLIENTS} clients"

    def ask(self, url: str, cost: Callable[[], float]) -> Sample:
        return load.read(url, self.club.key, "/customers/credits?per_page=25", cost)


class _Barely(_OverHttp):
    """The same, of the smallest application that does it (`bare`), on as many processes."""

    application: str

    def measure(self) -> Sample:
        self.stage.settle_down(self.name)
        command = f"{_UVICORN} --workers {settings.own().web_processes} benchmarks.bare:{self.application}"
        with self.stage.running(self.club.url, commands={"web": command}) as site:
            return self.ask(site.url, site.processor_seconds)


class BareHttp(_Barely, Redeeming):
    name = "bare_http"
    title = "redeeming, the smallest FastAPI application"
    application = "web"


class BareAsgi(_Barely, Redeeming):
    name = "bare_asgi"
    title = "redeeming, the same without a framework"
    application = "plain"


class BareHttpReading(_Barely, Reading):
    name = "bare_http_read"
    title = "reading a page of 25, the smallest FastAPI application"
    application = "web"


class BareAsgiReading(_Barely, Reading):
    name = "bare_asgi_read"
    title = "reading a page of 25, the same without a framework"
    application = "plain"


class Bare(OfCredits):
    """The UPDATE and its COMMIT, on as many connections."""

    name = "bare_update"
    title = f"the bare UPDATE, {load.CLIENTS} connections"

    def measure(self) -> Sample:
        self.stage.settle_down(self.name)
        told = {"brand_id": self.club.brand_id, "now": self.club.value("SELECT clock_now FROM brands")}
        options = f"-c issuance.brand_id={self.club.brand_id}"
        connections = [psycopg.connect(self.club.url, autocommit=True, options=options) for _ in range(load.CLIENTS)]

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
