"""The embedded servers keep their data through any end, and let nobody in without the password."""

import os
import shutil
import signal
import socket
from pathlib import Path

import psycopg
import pytest
import redis

from issuance.embedded.postgres import Postgres
from issuance.embedded.server import HOST, ServerError
from issuance.embedded.servers import Servers
from issuance.embedded.valkey import Valkey, no_retry

pytestmark = pytest.mark.usefixtures("no_servers_given")


def query(server: Postgres, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_postgres_keeps_its_data_and_address_through_stops_and_kills(home: Path) -> None:
    postgres = Postgres(home)
    postgres.start()
    query(postgres, "CREATE TABLE kept AS SELECT 1 AS one")
    postgres.stop()

    again = Postgres(home)
    assert again.url == postgres.url
    again.start()
    assert query(again, "SELECT one FROM kept") == [(1,)]

    assert again.process is not None
    again.process.send_signal(signal.SIGKILL)
    again.process.wait()
    assert again.has_ended()
    again.start()  # its backends may still hold the shared memory
    assert query(again, "SELECT one FROM kept") == [(1,)]
    again.stop()


def test_a_server_that_ends_while_it_is_started_again_is_started_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL may, that is killed once more in its recovery: nobody but the server itself stops for that."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://of.our.own")
    monkeypatch.delenv("REDIS_URL", raising=False)
    servers = Servers(home, ours=True, durable=False)
    servers.start()
    valkey = servers.embedded["REDIS_URL"]
    assert valkey.process is not None
    valkey.process.kill()
    valkey.process.wait()
    with monkeypatch.context() as patched:
        patched.setattr(Valkey, "launch", lambda self: self.spawn(["false"]))
        assert servers.restart_ended() == [
            f"valkey does not start: it says nothing (its log: {valkey.log}); trying again",
        ]
    assert servers.restart_ended() == ["valkey had ended and runs again"]
    assert servers.restart_ended() == []
    servers.stop()


def test_postgres_gives_an_ordinary_role_and_wants_its_password(home: Path) -> None:
    postgres = Postgres(home, durable=False)
    postgres.start()
    role = "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    assert query(postgres, role) == [(False, True)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url, password="another")
    postgres.stop()


def test_a_half_made_cluster_is_never_used(home: Path) -> None:
    (home / "postgres.half/data/base").mkdir(parents=True)
    (home / "postgres.half/data/PG_VERSION").write_text("18\n")
    postgres = Postgres(home, durable=False)
    postgres.start()
    assert query(postgres, "SELECT 1") == [(1,)]
    assert not (home / "postgres.half").exists()
    postgres.stop()


def test_a_taken_port_is_left_to_whoever_has_it(home: Path) -> None:
    valkey = Valkey(home, durable=False)
    with socket.create_server((HOST, valkey.address["port"])) as other:
        valkey.start()
        assert valkey.address["port"] != other.getsockname()[1]
    assert Valkey(home).url == valkey.url
    valkey.stop()


def test_valkey_keeps_its_messages_and_wants_its_password(home: Path) -> None:
    valkey = Valkey(home)
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        client.set("message", "kept")
        assert "noeviction" in str(client.config_get("maxmemory-policy"))
    with (
        pytest.raises(redis.AuthenticationError),
        redis.Redis(HOST, valkey.address["port"], retry=no_retry()) as stranger,
    ):
        stranger.ping()
    command = Path(f"/proc/{valkey.process.pid}/cmdline").read_text() if valkey.process else ""
    assert valkey.address["password"] not in command
    valkey.stop()
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert client.get("message") == b"kept"
    valkey.stop()


def test_a_server_that_can_not_start_says_why_in_one_line(home: Path) -> None:
    postgres = Postgres(home, durable=False)
    postgres.prepare()
    (postgres.folder / "postgresql.conf").write_text("shared_buffers = lots\n")
    with pytest.raises(ServerError, match=r"postgres does not start: .*configuration file .* contains errors") as error:
        postgres.start()
    assert "\n" not in error.value.message


def test_a_lost_password_is_one_clear_line(home: Path) -> None:
    Postgres(home, durable=False).prepare()
    (home / "postgres.json").unlink()
    with pytest.raises(ServerError, match=r"postgres\.json is missing"):
        Postgres(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_for_root_postgres_runs_as_nobody_who_can_not_reach_the_home(home: Path) -> None:
    home.chmod(0o700)
    postgres = Postgres(home, durable=False)
    postgres.start()
    assert postgres.process is not None
    assert Path(f"/proc/{postgres.process.pid}").stat().st_uid == 65534
    assert query(postgres, "SELECT 1") == [(1,)]
    postgres.stop()
    shutil.rmtree(home)
    home.mkdir()
