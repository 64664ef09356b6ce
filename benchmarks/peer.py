"""Peers as parts of a round: workers that are sent a message a membership, and products that issue in one call."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import monotonic, sleep

import psycopg
import redis

from benchmarks import environments
from benchmarks.club import Club, first_of_month
from benchmarks.floor import make_plain
from benchmarks.samples import Sample, Unavailable
from benchmarks.stage import Stage
from issuance.embedded import running
from issuance.embedded.environment import REPO

#: The first messages, until which the workers are warm, are not measured.
WARM_UP = 50
#: Seconds without a further credit after which a peer is given up, and between two looks.
PATIENCE, PAUSE = 60.0, 0.05

#: The commands of a peer's worker processes, from the folder of its programs.
Commands = Callable[[Path], Sequence[Sequence[str]]]


class Peer:
    """What peers have in common: an environment, a database, how their programs are called."""

    def __init__(self, stage: Stage, name: str, title: str, requirements: Sequence[str], n: int) -> None:
        self.name = name
        self.title = title
        self.n = n
        self._stage = stage
        self._requirements = requirements

    def prepare(self) -> None:
        folder = self._stage.home.parent / "environments" / self.name
        self.programs = environments.ensure(folder, self._requirements).parent

    def call(self, *arguments: str) -> str:
        """What the peer's own module says."""
        return self.run([str(self.programs / "python"), "-m", f"benchmarks.peers.{self.name}", *arguments])

    def run(self, command: Sequence[str]) -> str:
        """What a program says, run as the peer's own. Raises Unavailable with its last word when it fails."""
        done = subprocess.run(
            command, env=self.environment(), cwd=REPO, capture_output=True, text=True, check=False, timeout=1800
        )
        if done.returncode != 0:
            raise Unavailable((done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1][:300])
        return done.stdout

    def measure(self) -> Sample:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, "PYTHONPATH": str(REPO), "PEER_DATABASE_URL": self.url, "PEER_REDIS_URL": self._stage.redis_url}

    @property
    def url(self) -> str:
        raise NotImplementedError


class Queue(Peer):
    """A message a membership on the same tables, the plain credits among them."""

    def __init__(
        self, stage: Stage, name: str, title: str, requirements: Sequence[str], n: int, workers: Commands
    ) -> None:
        super().__init__(stage, name, title, requirements, n)
        self._workers = workers

    def prepare(self) -> None:
        super().prepare()
        self._url = self._stage.database(self.name)
        self.club = Club(self._stage, self._url, self.n)
        make_plain(self._stage, self.name)
        self.more()

    def more(self) -> None:
        """What else a peer needs before its first message."""

    @property
    def url(self) -> str:
        # An ordinary application sees all rows.
        return f"{self._url.replace('postgresql://', self.scheme)}?options=-c%20issuance.brand_id%3D*"

    #: How the peer's driver is called in an address.
    scheme = "postgresql+psycopg://"

    def measure(self) -> Sample:
        start = self.club.next_month().date()
        end = first_of_month(self.club.month + 1)
        warm_up = min(WARM_UP, self.n // 2)
        self._stage.settle_down(self.name)
        with redis.Redis.from_url(self._stage.redis_url) as client:
            client.flushall()
        with self._running(), psycopg.connect(self._url, autocommit=True) as connection:
            self.call("0", str(warm_up), start.isoformat(), end.isoformat())
            _wait(connection, start, warm_up)
            began = self.call(str(warm_up), str(self.n), start.isoformat(), end.isoformat())
            seconds = _wait(connection, start, self.n) - float(began)
        return Sample(self.n - warm_up, seconds)

    @contextmanager
    def _running(self) -> Iterator[None]:
        log = self._stage.home.parent / f"{self.name}.log"
        with log.open("wb") as out:
            workers = [
                subprocess.Popen(command, env=self.environment(), cwd=REPO, stdout=out, stderr=out)
                for command in self._workers(self.programs)
            ]
        for number, worker in enumerate(workers):
            running.note(self._stage.home, f"peer{number}", worker.pid)
        try:
            yield
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                try:
                    worker.wait(20)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()
            for number in range(len(workers)):
                running.forget(self._stage.home, f"peer{number}")


class Product(Peer):
    """A product's own bulk issue, in one call."""

    def prepare(self) -> None:
        super().prepare()
        self._url = self._stage.database(self.name, with_schema=False)
        self.call("prepare")

    @property
    def url(self) -> str:
        return self._url

    def measure(self) -> Sample:
        self._stage.settle_down(self.name)
        return Sample(self.n, float(self.call(str(self.n)).split()[-1]))


def _wait(connection: psycopg.Connection[tuple[int]], start: date, wanted: int) -> float:
    """Waits until so many credits of a period are visible; the second of the monotonic clock on which they were."""
    last, changed = 0, monotonic()
    while True:
        row = connection.execute("SELECT count(*) FROM plain_credits WHERE period_start = %s", [start]).fetchone()
        now = monotonic()
        assert row is not None, "a count is a row"
        if row[0] >= wanted:
            return now
        if row[0] > last:
            last, changed = row[0], now
        elif now - changed > PATIENCE:
            raise Unavailable(f"its workers stopped at {row[0]} of {wanted} credits")
        sleep(PAUSE)
