"""PostgreSQL whose name is verified (`sslmode=verify-full`): with its own name it is used, with another one no process
gets along, and each says so."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from campaigns.failover.cluster import BINARIES
from issuance.database import schema
from issuance.embedded import postgres
from issuance.embedded.postgres import NOBODY, Postgres
from issuance.settings import Settings
from tests.end_to_end.client import Client
from tests.logs import complaints
from tests.serving import REPO, empty_redis, free_port, running
from tests.waiting import eventually

COMMAND = [sys.executable, "-c", "from issuance.cli.main import main; main()"]
#: Those of a host, and two commands.
PROCESSES = {
    "web": [sys.executable, "-m", "issuance.api"],
    "scheduler": [sys.executable, "-m", "scheduler"],
    "worker": [sys.executable, "-m", "worker", "--queues", "events", "--processes", "1"],
    "schema": [*COMMAND, "schema", "upgrade"],
    "check": [*COMMAND, "check"],
}
NAME = "localhost"
#: Whether sessions that are named after processes are in TLS.
TALKED = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name ~ '^issuance .'"
pytestmark = pytest.mark.skipif(
    not (BINARIES / "postgres").exists(), reason="the embedded PostgreSQL speaks no TLS: apt-get install postgresql"
)


class Verified(Postgres):
    """Debian's PostgreSQL, which speaks TLS."""

    def program(self, name: str) -> Path:
        return BINARIES / name


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=True)


def certify_others(folder: Path) -> Path:
    """Make somebody who certifies: `ca.pem`."""
    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={folder.name}")
    openssl(folder, *new, "-keyout", "ca.key", "-out", "ca.pem")
    return folder


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certify_others(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Who vouches for none of the servers."""
    return certify_others(tmp_path_factory.mktemp("stranger"))


def certify(server: Postgres, authority: Path) -> None:
    """Give the server a certificate of its name."""
    request = ("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={NAME}")
    openssl(authority, *request, "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "key", "-out", "request")
    sign = ("x509", "-req", "-days", "2", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl(authority, *sign, "-copy_extensions", "copy", "-out", "certificate")
    for here, there in (("key", "server.key"), ("certificate", "server.crt")):
        file = server.folder / there
        file.write_bytes((authority / here).read_bytes())
        file.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(file, NOBODY, NOBODY)


@pytest.fixture(scope="module")
def verified(authority: Path) -> Iterator[Postgres]:
    # Unlike the embedded one it works in a folder only that its user can reach.
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        Path(name).chmod(0o755)
        server = Verified(Path(name), durable=False)
        server.prepare()
        certify(server, authority)
        patch.setitem(postgres.SETTINGS, "ssl", "on")
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def url(verified: Postgres, authority: Path) -> str:
    """Its address, by its name."""
    address = verified.url.replace("127.0.0.1", NAME)
    return f"{address}?sslmode=verify-full&sslrootcert={authority / 'ca.pem'}"


def test_a_server_by_its_name_is_used(verified: Postgres, url: str, given: Settings, tmp_path: Path) -> None:
    """By all processes, in TLS."""
    schema.apply(url)
    log = tmp_path / "log"
    serve = [*COMMAND, "serve", "--small"]
    with empty_redis(given.redis_url) as redis_url, running([serve], verified.url, redis_url, log, through=url) as host:
        made = host.new_brand()
        with host.client(made.key) as http:
            brand = Client(http)
            brand.rule(issue_on_signup=True)
            brand.member(external_user_id="ada")
            assert brand.ok("GET", "/customers/credits")["meta"]["total"] == 1
        with psycopg.connect(verified.admin_url()) as operator:
            seen = operator.execute(TALKED).fetchall()
        assert seen == [(True,)]
    assert complaints(log) == []


@pytest.mark.parametrize("process", PROCESSES)
def test_a_server_of_another_name_is_told_in_a_line(process: str, url: str, given: Settings, tmp_path: Path) -> None:
    """Which name it has and which was asked for, by a process that nobody asks for anything too; never the password."""
    log, address = tmp_path / "log", url.replace(NAME, "127.0.0.1")
    told = f"server certificate for {NAME} (and 1 other name) does not match host name 127.0.0.1"

    def lines() -> list[str]:
        return [line for line in log.read_text().splitlines() if told in line.replace("\\", "").replace('"', "")]

    environment = {**os.environ, "DATABASE_URL": address, "REDIS_URL": given.redis_url, "LOG_FORMAT": "json"}
    environment |= {"ISSUANCE_PORT": str(free_port()), "ISSUANCE_WEB_PROCESSES": "1"}
    with log.open("wb") as out:
        begun = subprocess.Popen(PROCESSES[process], cwd=REPO, env=environment, stdout=out, stderr=out)
    try:
        eventually(lines)
    finally:
        begun.terminate()
        begun.wait()
    assert len(lines()) == 1
    assert "Traceback" not in log.read_text()
    assert str(make_url(url).password) not in log.read_text()


def test_a_server_that_nobody_known_vouches_for_is_told_in_a_line(
    url: str, authority: Path, stranger: Path, given: Settings
) -> None:
    environment = {**os.environ, "DATABASE_URL": url.replace(str(authority), str(stranger))}
    environment |= {"REDIS_URL": given.redis_url}
    ended = subprocess.run(PROCESSES["check"], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert "certificate verify failed" in line
