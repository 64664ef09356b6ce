"""Where everything is measured: a PostgreSQL and a Valkey of the benchmark's own, embedded, durable (fsync on)."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

from benchmarks.checkout import WORKING_TREE, Checkout
from benchmarks.site import Site
from issuance.embedded.lock import SupervisorLock
from issuance.embedded.postgres import ADMIN, Postgres
from issuance.embedded.servers import supervised

#: Beside what `./run` sets: statements are counted. Vacuuming is done before each measurement (`settle_down`), not by
#: chance while another part's database is measured.
CONFIGURATION = """
autovacuum = off
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.max = 10000
"""
#: How much WAL is kept while it is counted, so that it can be looked at.
_KEPT = "6GB"

_PAGE_IMAGES = "SELECT coalesce(sum(fpi_size), 0) FROM pg_get_wal_stats(%s::pg_lsn, %s::pg_lsn)"


class Stage:
    """Databases, and the processes of one checkout of Issuance on them while they are measured."""

    def __init__(
        self,
        home: Path,
        database_url: str,
        admin_url: str,
        redis_url: str,
        product: Checkout = WORKING_TREE,
        prefix: str = "",
    ) -> None:
        self.home = home
        self.product = product
        self._prefix = prefix
        self.redis_url = redis_url
        self._database_url = database_url
        self._admin_url = admin_url
        self._admin = psycopg.connect(admin_url, autocommit=True)
        for extension in ("pg_stat_statements", "pg_walinspect"):
            self._admin.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension)))

    def beside(self, product: Checkout) -> "Stage":
        """Another checkout's stage, on the same servers. Its databases are its own."""
        return Stage(self.home, self._database_url, self._admin_url, self.redis_url, product, "old_")

    def database(self, name: str, *, with_schema: bool = True) -> str:
        """A new, empty database, as `postgresql://…`; with the schema unless told otherwise."""
        url = make_url(self._database_url).set(database=self._prefix + name)
        database, owner = sql.Identifier(cast("str", url.database)), sql.Identifier(cast("str", url.username))
        self._admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))
        told = url.render_as_string(hide_password=False)
        if with_schema:
            self.issuance(told, "schema", "apply")
        return told

    def issuance(self, database_url: str, *arguments: str) -> str:
        """What the product's command line prints on a database. Raises RuntimeError when it fails."""
        return self.product.issuance(database_url, self.redis_url, *arguments)

    def copy(self, name: str, url: str) -> str:
        """A new database that is the same, file by file, as the one at `url`, to which nobody is connected."""
        source = make_url(url)
        told = source.set(database=self._prefix + name)
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy").format(
                *(sql.Identifier(cast("str", one)) for one in (told.database, told.username, source.database))
            )
        )
        return told.render_as_string(hide_password=False)

    def admin(self, name: str) -> psycopg.Connection[Any]:
        """A superuser's connection to a database, for what only the benchmark does there."""
        url = make_url(self._admin_url).set(database=self._prefix + name).render_as_string(hide_password=False)
        return psycopg.connect(url, autocommit=True)

    def settle_down(self, name: str) -> None:
        """What autovacuum and the checkpointer would have done by next month: no sample pays for the one before."""
        with self.admin(name) as connection:
            # Not those of a page, as autovacuum would not: PostgreSQL would plan for a few rows what fills them.
            sized = "SELECT relname FROM pg_stat_user_tables WHERE pg_relation_size(relid) > 8192"
            written = connection.execute(sized).fetchall()
            if written:
                tables = sql.SQL(", ").join(sql.Identifier(name) for (name,) in written)
                connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(tables))
            connection.execute("CHECKPOINT")

    @contextmanager
    def running(self, database_url: str, *only: str, commands: Mapping[str, str] | None = None) -> Iterator[Site]:
        """The Procfile's processes on a database and an empty queue; `only` some of them, where named; or others, by
        their `commands`."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        site = Site(self.product, self.home, database_url, self.redis_url, self.home.parent / "processes.log", commands)
        try:
            site.start(only)
            yield site
        finally:
            site.stop()

    @contextmanager
    def counting(self, name: str) -> Iterator[dict[str, float]]:
        """Counts the statements of a database and the WAL of the server; the counts are there at the end."""
        counts: dict[str, float] = {}
        self._keep_wal(_KEPT)
        began, statements = self._lsn(), self._statements(name)
        yield counts
        counts["statements"] = self._statements(name) - statements
        counts |= self._wal(began, self._lsn())
        # Written over again from the next checkpoint on, as it is where nobody counts it.
        self._keep_wal("0")

    def _keep_wal(self, size: str) -> None:
        self._admin.execute(sql.SQL("ALTER SYSTEM SET wal_keep_size = {}").format(sql.Literal(size)))
        self._admin.execute("SELECT pg_reload_conf()")

    def _lsn(self) -> str:
        return str(self._value("SELECT pg_current_wal_insert_lsn()"))

    def _statements(self, name: str) -> float:
        return float(
            self._value(
                "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
                " WHERE d.datname = %s",
                self._prefix + name,
            )
        )

    def _wal(self, began: str, ended: str) -> Mapping[str, float]:
        whole = float(self._value("SELECT pg_wal_lsn_diff(%s::pg_lsn, %s::pg_lsn)", ended, began))
        time.sleep(0.3)  # the WAL writer has to have written what is looked at
        try:
            images = float(self._value(_PAGE_IMAGES, began, ended))
        except psycopg.Error:  # recycled already
            return {"wal_bytes": whole}
        return {"wal_bytes": whole, "wal_bytes_without_page_images": whole - images}

    def _value(self, statement: str, *parameters: object) -> Any:
        row = self._admin.execute(statement.encode(), parameters).fetchone()
        assert row is not None, "an aggregate has a row"
        return row[0]


@contextmanager
def set_up(home: Path) -> Iterator[Stage]:
    """Servers in a fresh folder below `home`, removed at the end."""
    # The benchmark's own servers, whatever the environment names.
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    folder = home / "servers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    postgres = Postgres(folder)
    postgres.prepare()
    with (postgres.folder / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION)
    lock = SupervisorLock(folder)
    assert lock.take(), "a new folder's lock is free"
    try:
        with supervised(folder, lock) as servers:
            addresses = servers.addresses()
            database_url = addresses["DATABASE_URL"]
            admin = make_url(database_url).set(
                username=ADMIN, password=servers.embedded["DATABASE_URL"].address["admin"], database=ADMIN
            )
            yield Stage(folder, database_url, admin.render_as_string(hide_password=False), addresses["REDIS_URL"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
