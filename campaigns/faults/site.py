"""A whole `./run` in a folder of its own, and the faults that can be caused in it.

Its servers, processes and supervisor are the real ones: what falls is started again as it would be for a user.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import httpx
import redis
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from campaigns.faults.orders import Folder, Order, wait_until_gone
from issuance.addresses import POSTGRESQL_SCHEMES
from issuance.database.connections import engine_for, transaction
from issuance.embedded import running
from issuance.embedded.lock import SupervisorLock
from issuance.embedded.postgres import Postgres
from issuance.embedded.server import free_port
from issuance.embedded.valkey import Valkey
from issuance.tenancy import brands

REPO = Path(__file__).parent.parent.parent
#: How long all of it may take to be ready, and to stop, in seconds.
PATIENCE = 300.0
WORKERS = ("worker_events", "worker_bulk", "worker_webhooks")


class Site:
    """Everything that runs under one supervisor. The methods act on the processes themselves. `broker_url`: a broker
    that is not its own."""

    def __init__(
        self,
        home: Path,
        supervisor: "subprocess.Popen[bytes]",
        url: str,
        orders: Folder,
        broker_url: str | None = None,
    ) -> None:
        self.home = home
        self.url = url
        self.log = home / "log"
        self.orders = orders
        self.supervisor = supervisor
        self.postgres_url = Postgres(home).url
        self.redis_url = broker_url or Valkey(home).url
        self.engine: Engine = engine_for(self.postgres_url.replace(POSTGRESQL_SCHEMES[1], POSTGRESQL_SCHEMES[0], 1))
        self._others: list[subprocess.Popen[bytes]] = []

    # Those who use it.

    def new_brand(self, timezone: str = "UTC", *, sandbox: bool = True) -> tuple[UUID, str]:
        """A brand and its first key, which has every scope."""
        with transaction(self.engine) as connection:
            return brands.create(connection, name="site", timezone=timezone, sandbox=sandbox)

    def client(self, key: str, *, timeout: float = 300) -> httpx.Client:
        limits = httpx.Limits(max_keepalive_connections=50, keepalive_expiry=5)
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout, limits=limits, trust_env=False)

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url)

    # Processes.

    def pid(self, name: str) -> int | None:
        """The process of the Procfile, or the server, that has this name; None while it is down."""
        found = running.read(self.home).get(name)
        return found.pid if found is not None and found.alive() else None

    def send(self, name: str, number: int) -> bool:
        """Send a signal to a process and all that it started; False if it has ended already."""
        pid = self.pid(name)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            if name in ("postgres", "valkey"):
                os.kill(pid, number)
            else:
                os.killpg(pid, number)
        return True

    def kill(self, name: str) -> None:
        """kill -9 of a process and all that it started."""
        self.send(name, signal.SIGKILL)

    def terminate(self, name: str) -> None:
        """SIGTERM, and wait until it has ended."""
        pid = self.pid(name)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            wait_until_gone(pid, PATIENCE)

    def kill_child(self, name: str) -> None:
        """kill -9 of one of the processes that a process started to do its work."""
        pid = self.pid(name)
        workers = [child for child in _children(pid) if not _is_tracker(child)] if pid is not None else []
        if workers:
            with suppress(ProcessLookupError):
                os.kill(workers[-1], signal.SIGKILL)

    def start_another(self, module: str) -> "subprocess.Popen[bytes]":
        """One more process beside the supervised ones."""
        environment = {
            **self.environment(self.home),
            "DATABASE_URL": self.postgres_url,
            "REDIS_URL": self.redis_url,
        }
        with self.log.open("ab") as out:
            other = subprocess.Popen([sys.executable, "-m", module], cwd=REPO, env=environment, stdout=out, stderr=out)
        self._others.append(other)
        return other

    def processes(self) -> dict[str, list[int]]:
        """The processes by name, each with those that it started."""
        found = {name: one.pid for name, one in running.read(self.home).items() if one.alive()}
        return {name: [pid, *_children(pid)] for name, pid in found.items()}

    # Servers.

    def flush(self) -> None:
        """Wipe the queue."""
        with self.redis() as client:
            client.flushall()

    def stop_postgres(self, number: int = signal.SIGQUIT) -> None:
        """Stop PostgreSQL at once (SIGQUIT), or kill it (SIGKILL)."""
        self.send("postgres", number)

    def order(self, order: Order) -> None:
        """Order a fault: the next process that takes the step causes it."""
        self.orders.give(order)

    def is_up(self) -> bool:
        """Whether the site is ready for work."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False)
            return answer.status_code == 200 and not answer.json()["degraded"]
        except httpx.HTTPError:
            return False

    def wait_until_up(self) -> None:
        """Wait until all processes run and the site is ready for work."""
        deadline = time.monotonic() + PATIENCE
        while not (self.is_up() and all(self.pid(name) for name in ("scheduler", *WORKERS))):
            if time.monotonic() > deadline or self.supervisor.poll() is not None:
                raise AssertionError(f"the site is not ready:\n{self.last_words()}")
            time.sleep(0.05)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def connections_may_be_stale(self) -> None:
        """Drop this process's own connections after PostgreSQL was down."""
        self.engine.dispose()

    def postgres_answers(self) -> bool:
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT"))
        except OperationalError:
            return False
        return True

    @staticmethod
    def environment(home: Path) -> dict[str, str]:
        """The environment of the site's processes. Their servers are the site's own, even if others are given."""
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        return {
            **kept,
            "ISSUANCE_HOME": str(home),
            "ISSUANCE_HOST": "127.0.0.1",
            "ISSUANCE_TEST_FAULTS": str(home / "orders"),
            "PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "campaigns/faults/hook")]),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "info",
        }

    def close(self) -> None:
        for other in self._others:
            other.kill()
            other.wait()
        self.engine.dispose()


@contextmanager
def running_site(home: Path, broker_url: str | None = None) -> Iterator[Site]:
    """`./run` in the folder `home`, ready for work; stopped at the end. `broker_url`: a broker in Valkey's place."""
    orders = home / "orders"
    orders.mkdir(parents=True)
    environment = {**Site.environment(home), "ISSUANCE_PORT": str(free_port())}
    if broker_url is not None:
        environment["REDIS_URL"] = broker_url
    with (home / "log").open("ab") as out:
        command = [sys.executable, "-m", "issuance.embedded", "run", "up"]
        supervisor = subprocess.Popen(command, cwd=REPO, env=environment, stdout=out, stderr=out)
    site = None
    try:
        _wait_until_ready(home, supervisor)
        site = Site(home, supervisor, str(SupervisorLock(home).holder()["address"]), Folder(orders), broker_url)
        site.wait_until_up()
        yield site
    finally:
        if site is not None:
            site.close()
        supervisor.terminate()
        try:
            supervisor.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()


def stop_as_an_exception_does() -> None:
    """Make a signal to stop end what was started, in a terminal and in a shell's background."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait_until_ready(home: Path, supervisor: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    # Until it has greeted, which needs the database, it may say why it can not and end.
    while not (SupervisorLock(home).holder().get("address") and b"Sandbox key: " in (home / "log").read_bytes()):
        if supervisor.poll() is not None or time.monotonic() > deadline:
            words = (home / "log").read_text(errors="replace")[-4000:]
            raise AssertionError(f"the site does not start:\n{words}")
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    return [int(child.name) for child in Path("/proc").glob("[0-9]*") if _parent(child) == pid]


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _is_tracker(pid: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
