"""The lines of docs/operations.md that dump: what fails, or is empty, leaves nothing that could be taken for a dump."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from issuance.addresses import libpq_url
from issuance.database import engine_for, transaction
from issuance.tenancy import brands
from tests.end_to_end.test_forgetting import pg_dump
from tests.serving import REPO

OPERATIONS = (REPO / "docs/operations.md").read_text()
#: The dump of everything, and that of a month of the audit with what drops it.
WHOLE = re.search(r"^    PGOPTIONS=.* -Fc .*\n.*", OPERATIONS, re.MULTILINE)
MONTH = re.search(r"(?<=--before 2031-01\n)    PGOPTIONS=.* -t .*\n.*DROP TABLE.*", OPERATIONS)
TOLD = "PGOPTIONS='-c issuance.brand_id=*' "


@pytest.fixture
def url(fresh_database: Callable[[], str], direct: Callable[[str], str]) -> str:
    """A database with two brands and a month of the audit that was detached. Past a pooler, as options are told."""
    url = direct(fresh_database())
    engine = engine_for(url)
    with transaction(engine) as connection:
        for name in "ab":
            brands.create(connection, name=name, timezone="UTC", sandbox=True)
        connection.exec_driver_sql("CREATE TABLE audit_entries_2030_12 (LIKE audit_entries INCLUDING ALL)")
        connection.exec_driver_sql("INSERT INTO audit_entries_2030_12 SELECT * FROM audit_entries")
        connection.exec_driver_sql("SELECT keep_apart('audit_entries_2030_12')")
    engine.dispose()
    return url


@pytest.fixture
def say(url: str, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Says lines to a shell whose DATABASE_URL is that database, or another address."""
    programs = Path(pg_dump()).parent
    if not all((programs / name).exists() or shutil.which(name) for name in ("pg_dump", "pg_restore", "psql")):
        pytest.skip("PostgreSQL's programs are not there")

    def said(lines: str, address: str = libpq_url(url)) -> "subprocess.CompletedProcess[str]":
        path = os.pathsep.join([str(programs), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "DATABASE_URL": address}
        shell = ["sh", "-c", lines]
        return subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return said


def drops(url: str) -> bool:
    """Whether the month is gone."""
    with psycopg.connect(libpq_url(url)) as connection:
        return connection.execute("SELECT to_regclass('audit_entries_2030_12') IS NULL").fetchone() == (True,)


def test_a_dump_has_its_name_when_it_is_whole(
    say: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    """It says how many brands are in it."""
    assert WHOLE is not None
    for lines, address in ((WHOLE[0], ("postgresql://127.0.0.1:1/nobody",)), (WHOLE[0].replace(TOLD, ""), ())):
        assert say(lines, *address).returncode != 0
        assert not (tmp_path / "issuance.dump").exists()
    done = say(WHOLE[0])
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    assert (tmp_path / "issuance.dump").exists()


def test_a_month_of_the_audit_is_dropped_when_it_is_in_a_file(
    say: Callable[..., "subprocess.CompletedProcess[str]"], url: str, tmp_path: Path
) -> None:
    """Not where the dump failed, or where the options that show the entries were not heard."""
    assert MONTH is not None
    for lines in (MONTH[0].replace(TOLD, ""), MONTH[0].replace("pg_dump ", "pg_dump --no-such-option ")):
        assert say(lines).returncode != 0
        assert not drops(url)
    done = say(MONTH[0])
    assert (done.returncode, done.stdout) == (0, "2\nDROP TABLE\n"), done.stderr
    assert drops(url)
    assert len(re.findall("(?m)^[0-9a-f]{8}-", (tmp_path / "2030_12.sql").read_text())) == 2
