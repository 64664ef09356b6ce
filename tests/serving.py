"""The whole of Issuance, running: the Procfile's processes on a database and a queue of their own."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import httpx
import pytest
import redis
from sqlalchemy import Engine, make_url, text

from issuance.database.connections import engine_for, transaction
from issuance.embedded import procfile
from issuance.settings import Settings
from issuance.tenancy import brands
from tests.waiting import eventually

#: What the tests leave their name on.
MARK = "issuance_test"
REPO = Path(__file__).parent.parent
#: How long the processes may take to be ready, and to stop: beside much else on a small machine they take minutes.
PATIENCE_SECONDS = 300


class NewBrand(NamedTuple):
    """A brand made for a test, and its first key, which has every scope."""

    brand_id: UUID
    key: str


@dataclass(frozen=True)
class Server:
    """A running server: its address, its database, what its processes log, and a way to make brands on it."""

    url: str
    engine: Engine
    log: Path
    #: Where the identity provider of the console's people is, once a test starts it.
    issuer: str
    processes: Sequence["subprocess.Popen[bytes]"] = ()

    def kill(self) -> None:
        """Kill all of its processes at once, with no time to say good-bye."""
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()

    def new_brand(self, timezone: str = "UTC", *, sandbox: bool = True) -> NewBrand:
        with transaction(self.engine) as connection:
            return NewBrand(*brands.create(connection, name="test", timezone=timezone, sandbox=sandbox))

    def create_brand(self, timezone: str) -> str:
        """A sandbox brand's key."""
        return self.new_brand(timezone).key

    def client(self, key: str) -> httpx.Client:
        # Given up well before web does: else it may do so just when something is sent.
        kept = httpx.Limits(keepalive_expiry=2)
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=300, limits=kept)

    def wait_for_locks(self, number: int = 1) -> list[int]:
        """The backends that wait for a lock in this database, once there are so many."""
        waiting = text(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        pids: list[int] = []

        def wait() -> bool:
            with transaction(self.engine) as connection:
                pids[:] = connection.scalars(waiting)
            return len(pids) >= number

        eventually(wait, every=0.01)
        return pids


@contextmanager
def empty_redis(server_url: str) -> Iterator[str]:
    """An empty database number of a Redis server, kept from others while it is used; emptied again at the end."""
    parts = make_url(server_url)
    for number in range(1, 16):
        url = parts.set(database=str(number)).render_as_string(hide_password=False)
        with redis.Redis.from_url(url) as client:
            if client.dbsize() == 0 and client.set(MARK, os.getpid(), nx=True):
                break
    else:
        pytest.exit(
            "the tests need an empty database number on REDIS_URL's server: 1 to 15 all hold keys", returncode=2
        )
    yield url
    with redis.Redis.from_url(url) as client:
        client.flushdb()


@pytest.fixture(scope="session")
def server(
    given: Settings, fresh_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The Procfile's processes, started once for the session."""
    log = tmp_path_factory.mktemp("server") / "log"
    commands = [["sh", "-c", command] for command in procfile.commands().values()]
    with empty_redis(given.redis_url) as redis_url, running(commands, fresh_database(), redis_url, log) as server:
        yield server


@contextmanager
def running(
    commands: Sequence[Sequence[str]], database_url: str, redis_url: str, log: Path, *, through: str | None = None
) -> Iterator[Server]:
    """Processes that work on a database and a queue, once they are ready. They log to `log`. `through`: the address by
    which they reach the database, if it is not the database's own."""
    port, issuer_port = free_port(), free_port()
    issuer = f"http://localhost:{issuer_port}"
    with log.open("wb") as out:
        environment = {
            **os.environ,
            "DATABASE_URL": through or database_url,
            "REDIS_URL": redis_url,
            "ISSUANCE_HOST": "127.0.0.1",
            "ISSUANCE_PORT": str(port),
            "ISSUANCE_LOCAL_WEBHOOKS": "1",
            # All tests are one address, and a fast machine is through with many of them in a minute.
            "ISSUANCE_RATE_SIGN_INS": "0",
            "ISSUANCE_RATE_METRICS": "0",
            "ISSUANCE_OIDC_ISSUER": issuer,
            "ISSUANCE_OIDC_CLIENT_ID": "issuance",
            "ISSUANCE_OIDC_CLIENT_SECRET": "a secret",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "info",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }
        processes = [
            subprocess.Popen(command, cwd=REPO, env=environment, stdout=out, stderr=out, process_group=0)
            for command in commands
        ]
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, processes, log)
            yield Server(url, engine_for(database_url), log, issuer, processes)
        finally:
            engine_for(database_url).dispose()
            _stop(processes)


def _wait_until_ready(url: str, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail(f"the processes did not get ready:\n{log.read_text(errors='replace')[-4000:]}")


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + PATIENCE_SECONDS
    for process in processes:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """One that nobody has. It is none of those that the kernel gives away, or it may be taken before it is used."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
