"""`issuance doctor` on servers that answer and do not keep, or do not take, what Issuance gives them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from campaigns.pooler.pgbouncer import PROGRAM, pgbouncer
from issuance.cli.diagnoses.broker import of_broker
from issuance.cli.diagnoses.durability import of_backups, of_replication
from issuance.cli.diagnoses.findings import Finding
from issuance.cli.diagnoses.postgresql import of_postgresql
from issuance.cli.main import main
from issuance.embedded.postgres import ADMIN, Postgres
from issuance.embedded.valkey import Valkey
from issuance.settings import Settings
from tests.waiting import eventually


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of its own, which archives its log as each test says."""
    server = Postgres(tmp_path_factory.mktemp("doctor"), durable=False)
    server.prepare()
    with (server.folder / "postgresql.auto.conf").open("a") as file:
        file.write("archive_mode = on\n")
    server.start()
    yield server
    server.stop()


@contextmanager
def set_to(server: Postgres, **settings: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The server with other settings while it lasts: a connection of an ordinary user."""
    with psycopg.connect(server.admin_url(), autocommit=True) as admin:
        for name, value in settings.items():
            admin.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        _reload(admin, settings)
        try:
            with psycopg.connect(server.url, autocommit=True) as connection:
                yield connection
        finally:
            for name in settings:
                admin.execute(f"ALTER SYSTEM RESET {name}".encode())
            admin.execute("SELECT pg_reload_conf()")


def _reload(admin: psycopg.Connection[tuple[object, ...]], settings: dict[str, str]) -> None:
    admin.execute("SELECT pg_reload_conf()")
    for name, value in settings.items():
        shown = f"SELECT current_setting('{name}') = '{value}'".encode()
        eventually(lambda shown=shown: admin.execute(shown).fetchone() == (True,))  # type: ignore[misc]


def archived(server: Postgres, column: str) -> None:
    """Something is written, and PostgreSQL has tried to archive it."""
    with psycopg.connect(server.admin_url(), autocommit=True) as admin:
        admin.execute("SELECT pg_stat_reset_shared('archiver')")
        admin.execute("CREATE TABLE something ()")
        admin.execute("DROP TABLE something")
        admin.execute("SELECT pg_switch_wal()")
        eventually(lambda: admin.execute(f"SELECT {column} > 0 FROM pg_stat_archiver".encode()).fetchone() == (True,))


def states(findings: Iterator[Finding], about: str) -> set[str]:
    found = [finding for finding in findings if finding.about == about]
    assert all(one.do for one in found if one.state != "ok")
    return {one.state for one in found}


def test_an_archive_that_never_worked_is_wrong(postgres: Postgres) -> None:
    """As one is whose last attempt failed, and one that nobody says how to fill; one that works is well."""
    with set_to(postgres, archive_command="") as connection:
        assert states(of_backups(connection), "backups") == {"wrong"}
    with set_to(postgres, archive_command="false") as connection:
        archived(postgres, "failed_count")
        assert states(of_backups(connection), "backups") == {"wrong"}
    with set_to(postgres, archive_command="true") as connection:
        archived(postgres, "archived_count")
        assert states(of_backups(connection), "backups") == {"ok"}
        with psycopg.connect(postgres.admin_url(), autocommit=True) as admin:
            admin.execute("SELECT pg_stat_reset_shared('archiver')")
        eventually(lambda: states(of_backups(connection), "backups") == {"look"})


def test_a_commit_that_waits_for_a_standby_that_is_not_there_is_wrong(postgres: Postgres, tmp_path: Path) -> None:
    """Nothing can be written then. Where the standby follows it is well; who asks need not see what a monitor sees."""
    with set_to(postgres, synchronous_standby_names="S1") as connection:
        assert states(of_replication(connection), "replication") == {"wrong"}
        with _follower(postgres, tmp_path / "log"):
            eventually(lambda: states(of_replication(connection), "replication") == {"ok"})
            with psycopg.connect(postgres.admin_url(), autocommit=True) as admin:
                eventually(lambda: states(of_replication(admin), "replication") == {"ok"})
    with (
        set_to(postgres, synchronous_standby_names="ANY 2 (s1, s2)") as connection,
        _follower(postgres, tmp_path / "b"),
    ):
        eventually(lambda: connection.execute("SELECT FROM pg_stat_replication").rowcount == 1)
        assert states(of_replication(connection), "replication") == {"wrong"}


@contextmanager
def _follower(server: Postgres, folder: Path) -> Iterator[None]:
    folder.mkdir()
    program = server.installed() / "pginstall" / "bin" / "pg_receivewal"
    url = f"{server.admin_url()}?application_name=s1"
    with subprocess.Popen([program, "--synchronous", "-D", folder, "-d", url]) as process:
        try:
            yield
        finally:
            process.terminate()


def test_a_commit_that_waits_for_no_standby_is_not_said_to(postgres: Postgres) -> None:
    """With synchronous_commit = local it is on this server's disk, and goes with it."""
    with set_to(postgres, synchronous_standby_names="s1", synchronous_commit="local") as connection:
        (found,) = of_replication(connection)
    assert found.state == "look"
    assert "no commit waits for s1" in found.says


def test_a_redis_that_takes_nothing_is_wrong(tmp_path: Path) -> None:
    """A replica, one that is full and one of a cluster answer like any other; no event could be hinted there. What is
    tried leaves nothing."""
    server = Valkey(tmp_path, durable=False)
    server.start()
    own = Settings(DATABASE_URL="postgresql://127.0.0.1:1/x", REDIS_URL=server.url)
    try:
        with redis.Redis.from_url(server.url) as client:
            assert states(of_broker(own), "Redis") == {"ok"}
            assert client.dbsize() == 0
            client.replicaof("127.0.0.1", "1")
            assert "wrong" in states(of_broker(own), "Redis")
            client.replicaof("NO", "ONE")
            client.config_set("maxmemory", "1mb")
            assert "wrong" in states(of_broker(own), "Redis")
    finally:
        server.stop()
    server.configuration = f"{server.configuration}\ncluster-enabled yes\n"
    server.start()
    try:
        assert "wrong" in states(of_broker(own), "Redis")
    finally:
        server.stop()


@pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer here: apt-get install pgbouncer")
def test_an_address_past_the_pooler_that_leads_to_another_database_is_wrong(
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And nothing is upgraded there: the processes would go on without it."""
    with psycopg.connect(postgres.admin_url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE another OWNER issuance")
    with pgbouncer(postgres.url) as (host, port):
        through = postgres.url.replace(f"{postgres.address['port']}/", f"{port}/").replace("127.0.0.1", host)
        another = postgres.url.removesuffix("/issuance") + "/another"
        for direct, state in ((postgres.url, "ok"), (another, "wrong"), (postgres.admin_url(), "wrong")):
            monkeypatch.setenv("DATABASE_URL", through)
            monkeypatch.setenv("DATABASE_DIRECT_URL", direct)
            own = Settings(DATABASE_URL=through, DATABASE_DIRECT_URL=direct, REDIS_URL="redis://127.0.0.1:1/0")
            assert states(of_postgresql(own), "pooler") == {state}, direct
        monkeypatch.setattr("sys.argv", ["issuance", "schema", "upgrade"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "DATABASE_DIRECT_URL is wrong: it leads to another database" in said
    with psycopg.connect(postgres.admin_url(ADMIN)) as admin:
        assert admin.execute("SELECT to_regclass('brands')").fetchone() == (None,)
