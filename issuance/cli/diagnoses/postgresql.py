"""What is found about PostgreSQL: version, rights, clock, pooler, connections, disk, schema."""

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from issuance.addresses import libpq_url
from issuance.cli.diagnoses.durability import of_backups, of_durability, of_replication
from issuance.cli.diagnoses.findings import Finding, Postgres, ask, first_line, of_clock, of_disk
from issuance.cli.diagnoses.rights import of_rights
from issuance.database.connections import ORDINARY_ROLE, is_lent, is_same
from issuance.database.revisions import standing_of
from issuance.errors import SchemaAhead, SchemaBehind
from issuance.settings import Settings

#: The oldest supported PostgreSQL, by its own number.
OLDEST_POSTGRESQL = 150000
#: Transactions after which PostgreSQL should have frozen old rows by vacuuming; it stops writing at two thousand
#: million.
OLD_TRANSACTIONS = 1_000_000_000


def of_postgresql(own: Settings) -> Iterator[Finding]:
    """PostgreSQL: version, rights, clock, pooler, durability, backups, replication, connections, disk, schema."""
    try:
        with psycopg.connect(own.libpq_url, autocommit=True, connect_timeout=10) as connection:
            yield from _server(connection)
            yield from _pooler(connection, own)
            yield from of_durability(connection)
            yield from of_backups(connection)
            yield from of_replication(connection)
            yield from _vacuum(connection)
            yield from _room(connection, own)
            yield from of_rights(connection)
            yield from _schema(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        yield Finding("schema", "wrong", first_line(error), "give that right, as the tables' owner")
    except psycopg.Error as error:
        yield Finding(
            "PostgreSQL", "wrong", f"it does not answer: {first_line(error)}", "start it, or mend DATABASE_URL"
        )


def _server(connection: Postgres) -> Iterator[Finding]:
    before = time.time()
    server = ask(
        connection,
        """
        SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
               extract(epoch FROM clock_timestamp()) AS now, pg_is_in_recovery() AS standby,
               current_setting('default_transaction_read_only') = 'on' AS read_only,
               (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user) AS free,
               (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('brands')) AS owner
        """,
    )
    after = time.time()
    old = server["number"] < OLDEST_POSTGRESQL
    do = "upgrade it: 15 is the oldest that is supported" if old else None
    yield Finding("PostgreSQL", "wrong" if old else "ok", f"version {server['version']}", do)
    yield of_clock("PostgreSQL's", before, float(server["now"]), after, "time decides what falls due")
    if server["standby"]:
        yield Finding(
            "replication", "wrong", "this is a standby: it can only be read", "name the primary, or promote it"
        )
    elif server["read_only"]:
        do = "ALTER DATABASE … RESET default_transaction_read_only"
        yield Finding("replication", "wrong", "the database can only be read", do)
    if server["free"] and server["owner"] != ORDINARY_ROLE:
        do = "issuance schema upgrade, which gives the tables to a role that is bound"
        yield Finding("PostgreSQL", "wrong", "row-level security does not bind DATABASE_URL's user", do)
    elif server["free"]:
        found = f"row-level security does not bind DATABASE_URL's user: processes work as {ORDINARY_ROLE}"
        yield Finding("PostgreSQL", "look", found, "give DATABASE_URL an ordinary user (docs/installing.md)")


def _pooler(connection: Postgres, own: Settings) -> Iterator[Finding]:
    if not is_lent(connection):
        yield Finding("pooler", "ok", "DATABASE_URL leads to PostgreSQL itself")
        return
    if own.database_direct_url is None:
        do = "set DATABASE_DIRECT_URL, past the pooler, for work on the schema"
        yield Finding("pooler", "look", "a pooler stands before PostgreSQL, and no address leads past it", do)
        return
    try:
        with psycopg.connect(libpq_url(own.database_direct_url), connect_timeout=10) as direct:
            if is_lent(direct):
                do = "let it lead to PostgreSQL itself"
                yield Finding("pooler", "wrong", "DATABASE_DIRECT_URL leads to a pooler too", do)
            elif not is_same(connection, direct):
                do = "let both lead to one: work on the schema goes by DATABASE_DIRECT_URL"
                yield Finding("pooler", "wrong", "DATABASE_DIRECT_URL leads to another database than DATABASE_URL", do)
            else:
                says = "a pooler stands before PostgreSQL, and DATABASE_DIRECT_URL leads past it"
                yield Finding("pooler", "ok", says)
    except psycopg.Error as error:
        yield Finding("pooler", "wrong", f"DATABASE_DIRECT_URL does not answer: {first_line(error)}", "mend it")


def _vacuum(connection: Postgres) -> Iterator[Finding]:
    age = ask(connection, "SELECT age(datfrozenxid) AS age FROM pg_database WHERE datname = current_database()")["age"]
    if age > OLD_TRANSACTIONS:
        do = "see why autovacuum does not come through (long transactions, prepared ones), and VACUUM"
        yield Finding("PostgreSQL", "wrong", f"the oldest transaction is {age:,} transactions old", do)
    if ask(connection, "SHOW autovacuum")["autovacuum"] == "off":
        yield Finding("PostgreSQL", "wrong", "autovacuum is off: tables grow without end", "set it to on")


def _room(connection: Postgres, own: Settings) -> Iterator[Finding]:
    granted = ask(
        connection,
        """
        SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
               pg_size_pretty(pg_database_size(current_database())) AS size
        """,
    )
    needs = own.web_processes * own.web_connections + 2 * own.worker_connections + 2 * 2 + 2
    says = f"this host's processes open at most {needs} connections; PostgreSQL grants {granted['most']} to everybody"
    do = "raise max_connections, or lower ISSUANCE_WEB_CONNECTIONS" if needs > granted["most"] else None
    yield Finding("connections", "look" if do else "ok", says, do)
    yield Finding("disk", "ok", f"the database has {granted['size']}")
    try:
        folder = Path(str(ask(connection, "SHOW data_directory")["data_directory"]))
    except psycopg.errors.InsufficientPrivilege:
        folder = Path()
    if folder.is_absolute() and folder.is_dir():  # else it is another machine's
        yield of_disk("PostgreSQL's disk", folder)


def _schema(connection: Postgres) -> Iterator[Finding]:
    try:
        standing = standing_of(connection)
        standing.check()
    except (SchemaBehind, SchemaAhead) as error:
        yield Finding("schema", "wrong", error.message)
    else:
        yield Finding("schema", "ok", f"migration {standing.before}, which this version can work with")
