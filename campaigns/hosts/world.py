"""The world of a case: PostgreSQL, the broker and the processes of four hosts, all of which have one clock, but for one
host."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from campaigns.hosts.network import CLOCK_HEARD, Clock, Host, Network, forget_clocks
from issuance.database import schema
from issuance.database.connections import engine_for, transaction
from issuance.embedded import procfile
from issuance.embedded.postgres import Postgres
from issuance.embedded.server import HOST
from issuance.embedded.valkey import Valkey
from issuance.errors import SchemaAhead, SchemaBehind
from issuance.settings import Settings
from issuance.tenancy import brands

REPO = Path(__file__).parents[2]
#: One of each by itself, and one that has all, whose clock is wrong.
ALONE = {"web": ["web"], "scheduler": ["scheduler"], "workers": ["worker_events", "worker_bulk", "worker_webhooks"]}
OTHER, DATABASE, BROKER = "other", "database", "broker"
NAMES = (DATABASE, BROKER, *ALONE, OTHER)
PORT = 8080
#: Seconds that everything may take to be there.
PATIENCE = 300.0
_HEARD = """
    SELECT bool_and(heard)
      FROM (SELECT bool_or(beat_at > :instant AND NOT broker_away) AS heard
              FROM heartbeats GROUP BY host, kind, queues) h
"""


class Database(Postgres):
    """PostgreSQL on a host of its own."""

    def __init__(self, home: Path, host: Host, clock: Clock) -> None:
        super().__init__(home, durable=False)
        self.host, self.clock = host, clock

    def prepare(self) -> None:
        is_new = not self.folder.exists()
        super().prepare()
        if is_new:
            with (self.folder / "pg_hba.conf").open("a") as rules:
                rules.write("host all all all scram-sha-256\n")

    def spawn(self, command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        options.pop("extra_groups")
        whom = ["setpriv", f"--reuid={options.pop('user')}", f"--regid={options.pop('group')}", "--clear-groups"]
        listens = ["-c", f"listen_addresses={self.host.address}"]
        return super().spawn(self.host.command(*whom, *self.clock.running(*command, *listens)), **options)

    def _url(self, user: str, password: str, database: str) -> str:
        return super()._url(user, password, database).replace(HOST, self.host.address)


class Broker(Valkey):
    """Valkey on a host of its own."""

    def __init__(self, home: Path, host: Host) -> None:
        super().__init__(home, durable=False)
        self.host = host

    def spawn(self, command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        return super().spawn(self.host.command(command[0], "--bind", self.host.address, "-"), **options)

    @property
    def url(self) -> str:
        return super().url.replace(HOST, self.host.address)


@dataclass
class World:
    """Everything that runs, by two clocks, the wrong one `off` by so many seconds. `ahead`: by how many the right one
    is ahead of this machine's."""

    network: Network
    database: Database
    broker: Broker
    clocks: tuple[Clock, Clock]
    off: float
    brand_id: UUID
    key: str
    engine: Engine
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    ahead: float = 0.0

    def comes_to_midnight(self, lead: float) -> datetime:
        """Set the clocks, so that midnight (UTC) comes in so many seconds; when that is."""
        now = datetime.now(UTC)
        passed = timedelta(hours=now.hour, minutes=now.minute, seconds=now.second + lead)
        self.ahead = (-passed % timedelta(days=1)).total_seconds()
        right, wrong = self.clocks
        right.set(self.ahead)
        wrong.set(self.ahead + self.off)
        time.sleep(CLOCK_HEARD)
        told: datetime = self.read("SELECT clock_timestamp()")[0][0]
        assert abs((told - self.now()).total_seconds()) < 30, (told, self.now())
        return (self.now() + timedelta(seconds=lead)).replace(hour=0, minute=0, second=0, microsecond=0)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    def webs(self) -> list[str]:
        """The addresses of the two webs; the second one's clock is wrong."""
        return [f"http://{self.network.hosts[name].address}:{PORT}" for name in ("web", OTHER)]

    def read(self, sql: str, **values: Any) -> list[Any]:
        with transaction(self.engine, self.brand_id) as connection:
            return list(connection.execute(text(sql), values))

    def write(self, sql: str) -> None:
        with transaction(self.engine, self.brand_id) as connection:
            connection.execute(text(sql))

    def ended(self) -> list[str]:
        """The processes that ended by themselves."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def are_heard_since(self, instant: datetime) -> bool:
        """Whether each process has said since then that it lives, and reaches the broker."""
        with suppress(SQLAlchemyError, psycopg.Error, SchemaAhead, SchemaBehind):
            return bool(self.read(_HEARD, instant=instant)[0][0])
        return False

    def is_ready(self) -> bool:
        """Whether both webs are, and all processes were heard of."""
        with suppress(httpx.TransportError):
            if all(httpx.get(f"{web}/readyz", timeout=5, trust_env=False).status_code == 200 for web in self.webs()):
                return int(self.read("SELECT count(*) FROM heartbeats")[0][0]) >= len(self.processes)
        return False

    def wait(self, until: datetime) -> None:
        time.sleep(max(0.0, (until - self.now()).total_seconds()))


@contextmanager
def world(folder: Path, network: Network, *, off: float) -> Iterator[World]:
    """A world in which the clock of the host `other` is off by so many seconds."""
    right, wrong = Clock(folder / "right"), Clock(folder / "wrong")
    database, broker = Database(folder, network.hosts[DATABASE], right), Broker(folder, network.hosts[BROKER])
    with ExitStack() as stack:
        stack.callback(forget_clocks)
        for server in (database, broker):
            stack.callback(server.stop)
            server.start()
        given = Settings(DATABASE_URL=database.url, REDIS_URL=broker.url)
        schema.apply(given.database_url)
        engine = engine_for(given.database_url)
        stack.callback(engine.dispose)
        with transaction(engine) as connection:
            brand_id, key = brands.create(connection, name="hosts", timezone="UTC", sandbox=True)
        made = World(network, database, broker, (right, wrong), off, brand_id, key, engine)
        wrong.set(off)
        stack.callback(_stop, made.processes)
        for name, commands in ALONE.items():
            _start(made, folder, network.hosts[name], right, {one: procfile.commands()[one] for one in commands})
        _start(made, folder, network.hosts[OTHER], wrong, procfile.commands(small=True))
        until = time.monotonic() + PATIENCE
        while not made.is_ready():
            assert time.monotonic() < until, "it is not ready"
            assert not made.ended(), made.ended()
            time.sleep(0.2)
        yield made


def _start(made: World, folder: Path, host: Host, clock: Clock, commands: dict[str, str]) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": made.database.url,
        "REDIS_URL": made.broker.url,
        "ISSUANCE_HOST": host.address,
        "ISSUANCE_PORT": str(PORT),
        "ISSUANCE_WEB_PROCESSES": "1",
        "ISSUANCE_HOME": str(folder),
        "PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "campaigns/hosts/hook")]),
        "LOG_FORMAT": "json",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    for name, command in commands.items():
        words = host.command(*clock.running("sh", "-c", command))
        with (folder / f"{host.name}.log").open("ab") as log:
            made.processes[f"{host.name}: {name}"] = subprocess.Popen(
                words, cwd=REPO, env=environment, stdout=log, stderr=log, process_group=0
            )


def _stop(processes: dict[str, "subprocess.Popen[bytes]"]) -> None:
    for process in processes.values():
        process.terminate()
    until = time.monotonic() + 30
    for process in processes.values():
        try:
            process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
