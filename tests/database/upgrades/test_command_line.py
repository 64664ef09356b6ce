"""`issuance schema` and `issuance --version`: what they print, and where they stop."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from issuance import __version__
from issuance.database.revisions import MIGRATIONS
from tests.database.cli import Cli, cli
from tests.database.upgrades.conftest import HISTORY, TICKETS, connect
from tests.serving import REPO
from tests.waiting import PATIENCE_SECONDS

__all__ = ["cli"]

STOPPED = "issuance: stopped. What was done stays done: run it again to go on\n"
#: Rows of a batch.
BATCH = 100
#: `issuance schema upgrade` on the history of these tests, in batches that each wait for a line, or the end of all.
UPGRADE = f"""
import sys
from campaigns.limited import limited
from issuance.cli.main import main
from issuance.database.schema import execution, upgrades, history
from pathlib import Path
known = history.History(Path(sys.argv.pop(1)))
upgrades.History = lambda: known
batch = execution.Execution._batch
def slow(self, *arguments):
    print("batch", flush=True)
    sys.stdin.readline()
    return batch(self, *arguments)
execution.Execution._batch = slow
with limited("upgrades", first_batch={BATCH}, least_batch={BATCH}, most_batch={BATCH}):
    main()
"""


def test_the_version_is_in_one_place(cli: Cli) -> None:
    """pyproject.toml, the API document and the command line read it from `issuance`."""
    assert cli("--version").out == f"{__version__}\n"
    assert cli("version").out == f"{__version__}\n"
    product = ["issuance", "scheduler", "worker", "pyproject.toml", ":!*/migrations/versions/*"]
    command = ["git", "grep", "-lF", f'"{__version__}"', "--", *product]
    named = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert named == "issuance/__init__.py\n"


def test_a_database_of_0_1_0_from_the_command_line(
    cli: Cli, empty_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, upgrade, status, difference: as an operator reads them."""
    url = empty_database()
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("REDIS_URL", raising=False)  # no broker is asked for it
    assert cli("schema", "status").out == "The database has no tables yet. Run: issuance schema upgrade\n"
    with connect(url) as connection:
        connection.execute((MIGRATIONS / "base.sql").read_bytes())
    found = cli("schema", "status").out
    assert found.startswith("The database has the tables of 0.1.0. Stop all processes, then run")
    assert "under a second" in found, "nobody is told that work takes 0 seconds"
    refused = cli("schema", "apply")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "Run: issuance schema upgrade" in refused.err
    assert cli("schema", "upgrade").out.endswith("The database has the newest schema.\n")
    assert re.match(r"The database has the newest schema: migration \d+\.\n", cli("schema", "status").out)
    assert cli("schema", "upgrade", "--json").json == {"ran": [], "pending": [], "waits_for": None}
    assert cli("schema", "diff").code == 0
    assert cli("schema", "upgrade", "--before", "--after").code == 2


def test_the_database_of_another_program_is_named(
    cli: Cli, empty_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that keeps its own migrations by Alembic is not read as Issuance's."""
    url = empty_database()
    monkeypatch.setenv("DATABASE_URL", url)
    with connect(url) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text); CREATE TABLE brands (name text)")
        connection.execute("INSERT INTO alembic_version VALUES ('ae1027a6acf')")
    for command in ("status", "upgrade"):
        refused = cli("schema", command)
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert "Give Issuance a database of its own" in refused.err


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_an_upgrade_that_was_stopped_goes_on(by: signal.Signals, shop: str) -> None:
    """In the middle of a backfill, by Ctrl-C (one line, exit 130) or by kill -9: the next one does the rest, and no
    batch twice."""
    command = [sys.executable, "-c", UPGRADE, str(HISTORY), "schema", "upgrade"]
    environment = {**os.environ, "DATABASE_URL": shop}
    upgrading = subprocess.Popen(
        command,
        cwd=REPO,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert upgrading.stdin is not None
    assert upgrading.stdout is not None
    for _ in range(5):
        assert upgrading.stdout.readline() == "batch\n"
        upgrading.stdin.write("\n")
        upgrading.stdin.flush()
    assert upgrading.stdout.readline() == "batch\n"
    upgrading.send_signal(by)
    _, said = upgrading.communicate(timeout=PATIENCE_SECONDS)
    ended = {signal.SIGINT: (130, STOPPED), signal.SIGKILL: (-signal.SIGKILL, "")}
    assert (upgrading.returncode, said) == ended[by]
    with connect(shop) as connection:
        begun = connection.execute("SELECT rows FROM schema_steps WHERE done_at IS NULL").fetchone()
    assert begun is not None
    assert 0 < begun[0] < TICKETS
    again = subprocess.run(
        command, cwd=REPO, env=environment, text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert again.returncode == 0
    assert again.stdout.count("batch\n") == (TICKETS - begun[0]) // BATCH + 1, "after all of them it looks for more"
    assert again.stdout.endswith("before_0003, after_0003 done. The database has the newest schema.\n")
