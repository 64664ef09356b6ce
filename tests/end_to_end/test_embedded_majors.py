"""PostgreSQL's own new major version: what is there is moved to it, or it is said why not; nothing is ever lost.

The installed programs play both versions: one calls itself a newer one.
"""

import shutil
from pathlib import Path

import psycopg
import pytest

from issuance.embedded import majors, programs
from issuance.embedded.postgres import Postgres
from issuance.embedded.server import ServerError
from tests.end_to_end.test_embedded_servers import query


@pytest.fixture
def postgres(home: Path) -> Postgres:
    """A stopped server with a table that row-level security keeps from its owner, and programs that are kept."""
    server = Postgres(home, durable=False)
    server.start()
    query(server, "CREATE TABLE kept (brand_id int PRIMARY KEY, said text)")
    query(server, "INSERT INTO kept SELECT n, 'row ' || n FROM generate_series(1, 1000) n")
    query(server, "ALTER TABLE kept ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    query(server, "CREATE POLICY mine ON kept USING (current_setting('issuance.brand_id', true) = '*')")
    server.stop()
    programs.keep(home, server.package_folder())
    return server


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> int:
    """The installed programs call themselves a major version newer than they are."""
    real, installed = programs.major_of(postgres.package_folder()), postgres.package_folder()
    monkeypatch.setattr(programs, "major_of", lambda package: real + 1 if package == installed else real)
    return real + 1


def rows(server: Postgres) -> tuple[object, ...] | None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SET issuance.brand_id = '*'")
        return connection.execute(
            "SELECT count(*), max(said), (SELECT rolname FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner "
            "WHERE relname = 'kept') FROM kept"
        ).fetchone()


def test_data_is_moved_to_the_new_version(postgres: Postgres, newer: int) -> None:
    """Rows, owners and policies come along; the address stays; what was there is kept until it has worked."""
    address = postgres.url
    majors.bring_up(postgres)
    assert postgres.before.exists()
    postgres.start()
    assert rows(postgres) == (1000, "row 999", "issuance")
    assert postgres.url == address
    assert query(postgres, "SELECT count(*) FROM kept") == [(0,)], "row-level security is there"
    postgres.stop()
    majors.forget(postgres)
    assert not postgres.before.exists()


def test_without_the_old_programs_it_is_said_how_to_get_them(postgres: Postgres, newer: int) -> None:
    """One clear line; the data is not touched."""
    shutil.rmtree(postgres.home / "postgres.programs")
    with pytest.raises(ServerError, match=rf"PostgreSQL {newer - 1}'s, {newer} is installed.*pip install") as said:
        majors.bring_up(postgres)
    assert "\n" not in said.value.message
    assert not postgres.before.exists()


def test_data_of_a_newer_version_is_left_alone(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who went back to an older Issuance is told so."""
    monkeypatch.setattr(programs, "major_of", lambda _: 11)
    with pytest.raises(ServerError, match=r"only 11 is installed: start the version of Issuance that brought it"):
        majors.bring_up(postgres)


def test_a_move_that_fails_changes_nothing(postgres: Postgres, newer: int) -> None:
    """Here a role that somebody made, which the new server lacks: the data is where it was, and is not half there."""
    postgres.start()
    with psycopg.connect(postgres.admin_url("issuance"), autocommit=True) as connection:
        connection.execute("CREATE ROLE somebody")
        connection.execute("ALTER TABLE kept OWNER TO somebody")
    postgres.stop()
    with pytest.raises(ServerError, match=r"pg_restore of the database issuance failed, and nothing was changed: .*"):
        majors.bring_up(postgres)
    assert not postgres.before.exists()
    postgres.start()
    postgres.stop()


@pytest.mark.parametrize("moved_away", [False, True])
def test_a_move_that_is_killed_at_its_end_is_finished(postgres: Postgres, *, moved_away: bool) -> None:
    """The new data is whole, and not in its place yet: the next start puts it there."""
    shutil.copytree(postgres.folder, postgres.folder.with_suffix(".moved"), symlinks=True)
    if moved_away:
        postgres.folder.rename(postgres.before)
    majors.bring_up(postgres)
    assert postgres.folder.exists()
    assert postgres.before.exists()
    assert not postgres.folder.with_suffix(".moved").exists()


def test_kept_programs_take_no_room_and_outlive_the_package(postgres: Postgres) -> None:
    """Links to the same files, where the file system allows: what pip takes away stays here."""
    installed = postgres.package_folder() / "pginstall/bin/postgres"
    kept = programs.kept(postgres.home, programs.major_of(postgres.package_folder())) / "pginstall/bin/postgres"
    same_disk = installed.stat().st_dev == kept.stat().st_dev
    assert (installed.stat().st_ino == kept.stat().st_ino) is same_disk
    assert kept.stat().st_mode & 0o100
