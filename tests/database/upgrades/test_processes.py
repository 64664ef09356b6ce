"""Every process says in one clear line that it can not work with a schema, and none works with one all the same."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from sqlalchemy import text

from issuance import __version__, health
from issuance.database import schema
from issuance.database.connections import engine_for, looks_for
from issuance.database.revisions import APPLICATION_NAME, MIGRATIONS, NEWEST
from issuance.errors import SchemaAhead, SchemaBehind
from tests.database.cli import Cli, cli
from tests.database.upgrades.conftest import connect
from tests.serving import REPO

__all__ = ["cli"]

COMMANDS = {
    "scheduler": ["-m", "scheduler"],
    "worker": ["-m", "dramatiq", "worker", "--queues", "events", "--processes", "1"],
}
BEHIND = f"The database's schema is older than Issuance {__version__} can work with"
AHEAD = f"The database's schema is newer than Issuance {__version__} can work with"


def stand(url: str, before: int, after: int) -> None:
    """Lets a database say that it has had other migrations than it has."""
    with connect(url) as connection:
        connection.execute("DELETE FROM alembic_version")
        for revision in (f"before_{before:04}", f"after_{after:04}"):
            connection.execute("INSERT INTO alembic_version VALUES (%s)", [revision])


@pytest.fixture(params=["older", "newer", "0.1.0", "empty"])
def unfit(request: pytest.FixtureRequest, empty_database: Callable[[], str]) -> tuple[str, str]:
    """A database that this version can not work with, and how it is said."""
    url = empty_database()
    match request.param:
        case "0.1.0":
            with connect(url) as connection:
                connection.execute((MIGRATIONS / "base.sql").read_bytes())
            return url, f"{BEHIND}: it is that of 0.1.0. Run: issuance schema upgrade"
        case "empty":
            return url, "The database has no tables yet. Run: issuance schema upgrade"
    schema.apply(url)
    if request.param == "older":
        stand(url, NEWEST - 1, NEWEST - 1)
        return url, f"{BEHIND}: it has migration {NEWEST - 1}, and {NEWEST} is needed. Run: issuance schema upgrade"
    stand(url, NEWEST + 3, NEWEST + 2)
    return url, f"{AHEAD}: what it needs is gone since migration {NEWEST + 2}. Start the version that upgraded it"


def test_no_connection_is_made(unfit: tuple[str, str]) -> None:
    """Whoever asks for one is told why: there is one place for all processes."""
    url, line = unfit
    for engine in (engine_for(url), looks_for(url)):
        with pytest.raises((SchemaAhead, SchemaBehind), match=line), engine.connect():
            pass
        engine.dispose()


def test_readyz_says_it(unfit: tuple[str, str], redis_url: str) -> None:
    """In the part `schema`; the database itself can be reached."""
    url, line = unfit
    failed = health.failures(engine_for(url))
    assert list(failed) == ["schema"]
    assert failed["schema"].startswith(line)


def test_readyz_says_it_on_a_connection_that_was_good(empty_database: Callable[[], str], redis_url: str) -> None:
    """Connections that are there already are asked too, and what comes back to a fit state is ready again."""
    url = empty_database()
    schema.apply(url)

    def failures() -> dict[str, str]:
        return health.failures(engine_for(url))

    assert failures() == {}
    stand(url, NEWEST + 1, NEWEST + 1)
    assert failures()["schema"].startswith(AHEAD)
    stand(url, NEWEST + 1, NEWEST)
    assert failures() == {}, "the next version's migrations may be there, as long as nothing is taken away"
    engine_for(url).dispose()


def test_the_command_line_says_it(unfit: tuple[str, str], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line on stderr, exit 1."""
    url, line = unfit
    monkeypatch.setenv("DATABASE_URL", url)
    ran = cli("brands", "list")
    assert ran.code == 1
    assert ran.err.startswith(f"issuance: {line}")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_processes_that_work_end_with_it(unfit: tuple[str, str], redis_url: str, command: list[str]) -> None:
    """Scheduler and workers end with the line, for their supervisor to start them again; they do not go on in vain."""
    url, line = unfit
    ran = run(command, url, redis_url, seconds=300)
    assert ran.returncode not in (0, None)
    assert line in ran.stdout


def run(command: list[str], url: str, redis_url: str, seconds: float) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "DATABASE_URL": url, "REDIS_URL": redis_url, "LOG_FORMAT": "json"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=REPO,
        env=environment,
        text=True,
        timeout=seconds,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_processes_tell_postgresql_what_they_can_work_with(database_url: str) -> None:
    """pg_stat_activity says which of those who are connected an upgrade has to wait for."""
    with engine_for(database_url).connect() as connection:
        assert connection.scalar(text("SHOW application_name")) == APPLICATION_NAME
    assert f"issuance {__version__} schema {NEWEST}" == APPLICATION_NAME
