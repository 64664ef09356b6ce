"""PostgreSQL whose disk is full: what was taken is kept, whoever is refused is told when to come again, and with room
everything goes on by itself."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import make_url, text

from issuance.database import schema
from issuance.database.connections import transaction
from issuance.embedded.postgres import NOBODY, Postgres
from issuance.laws import LAWS, look
from issuance.settings import Settings
from tests.end_to_end.client import ONE, Client
from tests.logs import lines
from tests.serving import empty_redis, running
from tests.waiting import eventually

SERVE = [sys.executable, "-c", "from issuance.cli.main import main; main()", "serve", "--small"]
MEMBERS = 20
#: What processes may tell of as errors meanwhile: that it is full, or away, and what could not be done because of it.
TOLD = ("database_disk_full", "database_away", "DiskFull", "tick_failed", "tidy_failed", "words_not_written")


class Disk:
    """A disk of its own. PostgreSQL's user may write to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        with suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass

    def clear(self) -> None:
        self._filler.unlink()


@contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[Disk]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,uid={NOBODY},gid={NOBODY}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root makes a disk")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def tables(server: Postgres, disk: Disk) -> str:
    """A database whose tables are on that disk."""
    server.start()
    place = disk.folder / "tables"
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)
    with psycopg.connect(server.admin_url(), autocommit=True) as operator:
        operator.execute(f"CREATE TABLESPACE small LOCATION '{place}'".encode())
        operator.execute(b"CREATE DATABASE small OWNER issuance TABLESPACE small")
    return make_url(server.url).set(database="small").render_as_string(hide_password=False)


def log(server: Postgres, disk: Disk) -> str:
    """A server whose write-ahead log is on that disk."""
    server.prepare()
    place = disk.folder / "log"
    shutil.copytree(server.folder / "pg_wal", place)
    shutil.rmtree(server.folder / "pg_wal")
    subprocess.run(["chown", "-R", str(NOBODY), str(place)], check=True)
    (server.folder / "pg_wal").symlink_to(place)
    server.start()
    return server.url


def write_on(server: Postgres) -> None:
    """More of the log than there is room for: its server ends."""
    with suppress(psycopg.OperationalError), psycopg.connect(server.admin_url(), autocommit=True) as operator:
        for _ in range(100):
            operator.execute("SELECT pg_logical_emit_message(false, '', 'full'), pg_switch_wal()")


@pytest.mark.parametrize("on_it", [tables, log], ids=lambda kind: kind.__name__)
def test_a_full_disk_costs_nothing_but_time(
    on_it: Callable[[Postgres, Disk], str], given: Settings, tmp_path: Path
) -> None:
    """No process has to be started again; a server whose log found no room ends, and its operator starts it."""
    # PostgreSQL's user reaches it; pytest's own folders it does not.
    with tempfile.TemporaryDirectory() as name, disk(Path(name) / "disk", 200) as small:
        Path(name).chmod(0o755)
        server = Postgres(tmp_path, durable=False)
        try:
            url = on_it(server, small)
            schema.apply(url)
            with (
                empty_redis(given.redis_url) as redis_url,
                running([SERVE], url, redis_url, tmp_path / "processes.log") as host,
            ):
                made = host.new_brand()
                with host.client(made.key) as http:
                    brand = Client(http)
                    brand.rule(issue_on_signup=True)
                    events = [brand.sign_up(external_user_id=f"member {number}") for number in range(MEMBERS)]
                    assert send(http, events[0]).status_code == 202

                    small.fill()
                    if on_it is log:
                        write_on(server)
                    eventually(lambda: any(send(http, brand.sign_up()).status_code == 503 for _ in range(50)))
                    refused = httpx.get(f"{host.url}/readyz", timeout=30)
                    assert refused.status_code == 503
                    assert refused.json()["failed"]["database"] in ("full", "recovering", "unreachable")

                    small.clear()
                    if server.has_ended():
                        server.start()
                    eventually(lambda: all(send(http, event).status_code == 202 for event in events))
                    eventually(lambda: httpx.get(f"{host.url}/readyz", timeout=30).status_code == 200)
                    brand.until("2031-01-02T00:00:00Z")
                    credits = brand.ok("GET", "/customers/credits")["meta"]["total"]
                with transaction(host.engine, made.brand_id) as connection:
                    assert connection.scalar(text("SELECT count(*) FROM memberships")) == credits >= MEMBERS
                    assert not any(any(batch.values()) for batch in look(connection, made.brand_id, LAWS))
        finally:
            server.stop()
    told = lines(tmp_path / "processes.log")
    assert not [line for line in told if "starting again" in line]
    assert not [line for line in told if '"level": "error"' in line and not any(one in line for one in TOLD)]


def send(http: httpx.Client, event: dict[str, Any]) -> httpx.Response:
    """The answer to an event: it is taken, or its sender is told in JSON when to send it again."""
    answer = http.post("/billing-events", json=event, headers={"content-type": ONE})
    if answer.status_code != 202:
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] == "unavailable"
        assert "retry-after" in answer.headers
    return answer
