"""On a server with ten connections, as a user who owns nothing, everything still settles."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple

import httpx
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from campaigns.growth.months import begin
from issuance.cli.main import as_line
from issuance.database import engine_for, months, transaction
from issuance.database.complaints import in_short
from issuance.embedded import postgres, procfile
from issuance.embedded.postgres import Postgres
from issuance.engine.bisection import is_transient
from issuance.settings import Settings
from scheduler.tick import tidy
from tests.database.test_retention import KEEP
from tests.end_to_end.client import ONE, Client
from tests.rights import statements
from tests.serving import REPO, Server, empty_redis, running

#: Of ten connections PostgreSQL keeps three for its operator.
CONNECTIONS = 10
MEMBERS, AT_ONCE = 150, 40
OWNED = "SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole"
RELEASED = REPO / "tests/database/upgrades/released"


class Own(NamedTuple):
    """That server's addresses: for its operator, for the owner of the tables, and for the processes."""

    operators: str
    owners: str
    processes: str


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    folder = tmp_path_factory.mktemp("poor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(postgres.SETTINGS, "max_connections", str(CONNECTIONS))
        server = Postgres(folder, durable=False)
        server.start()
    try:
        theirs = server.url.replace("//issuance:", "//issuance_web:").replace(server.address["password"], "its%20own")
        addresses = Own(server.admin_url(postgres.NAME), server.url, theirs)
        made = schema("upgrade", addresses.owners)
        assert made.returncode == 0, made.stderr
        _give_rights(addresses)
        yield addresses
    finally:
        server.stop()


def _give_rights(own: Own) -> None:
    given = statements("its own")
    assert len(given) == 7
    for number, statement in enumerate(given):
        with psycopg.connect(own.owners if number else own.operators) as connection:
            connection.execute(statement)


@pytest.fixture(scope="module")
def poor(given: Settings, own: Own, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """All processes of a host on that server."""
    commands = [["sh", "-c", command] for command in procfile.commands().values()]
    log = tmp_path_factory.mktemp("processes") / "log"
    with (
        empty_redis(given.redis_url) as redis_url,
        running(commands, own.operators, redis_url, log, through=own.processes) as server,
    ):
        yield server


def schema(command: str, url: str) -> "subprocess.CompletedProcess[str]":
    """What `issuance schema` says."""
    call = [sys.executable, "-c", "from issuance.cli.main import main; main()", "schema", command]
    environment = {**os.environ, "DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1"}
    return subprocess.run(call, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_processes_own_nothing(own: Own) -> None:
    """They may use the tables, those of later versions too, and change none: the schema is their owner's."""
    with psycopg.connect(own.owners, autocommit=True) as owner, psycopg.connect(own.processes) as theirs:
        (owned,) = theirs.execute(OWNED).fetchone() or (None,)
        assert owned == 0
        owner.execute("CREATE TABLE wishes (wish text)")
        theirs.execute("INSERT INTO wishes VALUES ('one')")
        theirs.execute("SELECT FROM wishes FOR UPDATE")
        theirs.commit()
        for forbidden in ("ALTER TABLE credits ADD wish text", "DROP TABLE wishes", "CREATE TABLE more (wish text)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                theirs.execute(forbidden)
            theirs.rollback()
    said = schema("apply", own.processes)
    assert said.returncode != 0
    assert len(said.stderr.splitlines()) == 1, said.stderr
    assert schema("upgrade", own.owners).returncode == 0


def test_months_are_made_and_dropped_by_who_owns_nothing(own: Own) -> None:
    """The scheduler's hourly tidying, as that user: no part of it fails. The months belong to the tables' owner."""
    owners, theirs = engine_for(own.owners), engine_for(own.processes)
    try:
        begin(owners)
        tidy(theirs, KEEP)
        with transaction(theirs) as connection:
            there = {whole: len(months.parts(connection, whole)) for whole in ("audit_entries", "webhook_events")}
            owned = connection.scalar(text(OWNED))
        assert there == {"audit_entries": 1 + 1 + months.AHEAD, "webhook_events": 1 + months.AHEAD}
        assert owned == 0
    finally:
        owners.dispose()
        theirs.dispose()


def test_months_are_nobody_elses(own: Own) -> None:
    """Not everybody may call what makes and drops them, and nobody drops a month that is not over, or another table."""
    with psycopg.connect(own.operators, autocommit=True) as operator:
        operator.execute("CREATE ROLE stranger")
        operator.execute("SET ROLE stranger")
        for call in ("make_month('audit_entries', '2090-01-01')", "drop_month('earlier')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for function"):
                operator.execute(f"SELECT {call}".encode())
    with psycopg.connect(own.processes, autocommit=True) as theirs:
        for kept in (f"{datetime.now(UTC):%Y_%m}", "other", "x; DROP TABLE credits"):
            with pytest.raises(psycopg.errors.RaiseException, match="no month of the outbox that is over"):
                theirs.execute("SELECT drop_month(%s)", [kept])


def test_an_upgrade_lets_the_processes_make_months(own: Own) -> None:
    """Those who were given the tables of a version that knew no months. To whom the owner gives rights is no
    difference, unless it is everybody."""
    url = own.owners.removesuffix("/issuance") + "/earlier"
    with psycopg.connect(own.operators, autocommit=True) as operator:
        operator.execute("CREATE DATABASE earlier OWNER issuance")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute((RELEASED / "0.2.0.sql").read_bytes())
        for statement in statements("its own"):
            if b"CREATE ROLE" not in statement and b"GRANT EXECUTE" not in statement:
                owner.execute(statement)
        assert schema("upgrade", url).returncode == 0
        for function in ("make_month(text, date)", "drop_month(text)"):
            may = owner.execute("SELECT has_function_privilege('issuance_web', %s, 'EXECUTE')", [function]).fetchone()
            assert may == (True,)
        assert schema("diff", url).returncode == 0
        owner.execute("GRANT SELECT ON credits TO PUBLIC")
        assert "grants everybody SELECT" in schema("diff", url).stdout


def test_a_missing_right_is_named(own: Own) -> None:
    """In the log, with where to read what is needed; nothing is set apart for it."""
    with psycopg.connect(own.operators, autocommit=True) as operator:
        operator.execute("CREATE ROLE poor LOGIN PASSWORD 'its own'")
        operator.execute("GRANT SELECT ON alembic_version, schema_steps TO poor")
    engine = engine_for(own.processes.replace("//issuance_web:", "//poor:"))
    try:
        with pytest.raises(ProgrammingError) as raised, transaction(engine) as connection:
            connection.execute(text("SELECT FROM credits"))
    finally:
        engine.dispose()
    said = "PostgreSQL: permission denied for table credits. The rights that processes need: docs/installing.md"
    assert in_short(raised.value) == said
    assert as_line(raised.value) == (said, 1)
    assert is_transient(raised.value)


def test_everything_settles_with_ten_connections(poor: Server) -> None:
    """Whoever can not be served meanwhile, or waits too long for a turn, is told so and when to come again; nobody is
    set apart for it."""
    made = poor.new_brand()
    refused: list[httpx.Response] = []
    with poor.client(made.key) as http, ThreadPoolExecutor(AT_ONCE) as threads:
        brand = Client(http)
        brand.rule(issue_on_signup=True)

        def sign_up(number: int) -> None:
            event = brand.sign_up(external_user_id=f"member {number}")
            for _ in range(100):
                answer = http.post("/billing-events", json=event, headers={"content-type": ONE})
                if answer.status_code == 202:
                    return
                refused.append(answer)
                time.sleep(0.5)
            raise AssertionError(answer.text)

        list(threads.map(sign_up, range(MEMBERS)))
        brand.until("2031-01-02T00:00:00Z")
        assert brand.ok("GET", "/customers/credits")["meta"]["total"] == MEMBERS
    said = {answer.json()["error"]["code"] for answer in refused}
    assert said <= {"unavailable", "too_many_at_once"}
    assert all("retry-after" in answer.headers for answer in refused)
    with transaction(poor.engine) as connection:
        set_apart = connection.scalar(text("SELECT count(*) FROM schedules WHERE quarantined_at IS NOT NULL"))
    assert set_apart == 0
