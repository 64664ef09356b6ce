"""What `issuance doctor` finds: about settings, PostgreSQL, Redis, the processes and this machine. It only reads, and
each part is asked by itself, so that one that is away hides no other."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psycopg
from psycopg.rows import dict_row
from sqlalchemy.exc import SQLAlchemyError

from issuance import __version__, database
from issuance.addresses import libpq_url
from issuance.database import row_security
from issuance.database.connections import is_lent
from issuance.database.revisions import NEWEST, standing_of
from issuance.errors import SchemaAhead, SchemaBehind
from issuance.settings import Settings
from issuance.shown import number

#: ok: as it should be. look: works, and may not do what you want. wrong: mend it.
State = Literal["ok", "look", "wrong"]
#: The oldest PostgreSQL that is supported, as it numbers itself.
OLDEST_POSTGRESQL = 150000
#: Seconds by which clocks may differ; the share of a disk, and bytes, that should be free; days without a check.
CLOCKS_DIFFER, FREE_SHARE, FREE_BYTES, DAYS_UNCHECKED = 2.0, 0.1, 2 * 2**30, 2
#: Transactions after which PostgreSQL's numbers should have been vacuumed; it stops writing at two thousand million.
OLD_TRANSACTIONS = 1_000_000_000
#: Seconds after which an event should long be settled.
LONGEST_UNSETTLED = 60.0
Postgres = psycopg.Connection[tuple[Any, ...]]
_LOCAL = ("127.0.0.1", "localhost", "::1")


class Finding(NamedTuple):
    """One thing that was looked at: how it is, in a sentence, and what to do about it."""

    about: str
    state: State
    says: str
    do: str | None = None


def of_settings(own: Settings) -> Iterator[Finding]:
    """What the settings alone say."""
    yield Finding("versions", "ok", f"Issuance {__version__}, schema {NEWEST}, Python {sys.version.split()[0]}")
    if own.sealing_key is None and own.sealing_key_file is None:
        do = "set ISSUANCE_SEALING_KEY_FILE, and keep it with your backups"
        yield Finding("settings", "look", "there is no sealing key: a dump of the database reveals secrets", do)
    else:
        yield Finding("settings", "ok", "secrets are sealed at rest")
    if own.public_url is not None:
        yield Finding("settings", "ok", f"links lead to {own.public_url}")
    elif own.host not in _LOCAL or own.oidc_issuer is not None:
        do = "set ISSUANCE_PUBLIC_URL to the address that people and billers use"
        yield Finding("settings", "look", "links lead to whatever host a request names", do)
    if own.host not in _LOCAL and own.metrics_host is None and own.metrics_key is None:
        do = "set ISSUANCE_METRICS_KEY or ISSUANCE_METRICS_HOST"
        yield Finding("settings", "look", f"web listens on {own.host}, and anybody may read /metrics", do)
    if own.host not in _LOCAL and not own.proxies:
        do = "if a proxy stands before web, name it in ISSUANCE_TRUSTED_PROXIES"
        yield Finding("settings", "look", "nobody's X-Forwarded-For is believed: rates are counted by who connects", do)


def of_postgresql(own: Settings) -> Iterator[Finding]:
    """PostgreSQL: version, rights, clock, pooler, replication, durability, connections, disk; the schema; the processes
    that live."""
    try:
        with psycopg.connect(own.libpq_url, autocommit=True, connect_timeout=10) as connection:
            yield from _server(connection)
            yield from _pooler(connection, own)
            yield from _durability(connection)
            yield from _room(connection, own)
            yield from _schema(connection)
    except psycopg.Error as error:
        said = str(error).strip().partition("\n")[0]
        yield Finding("PostgreSQL", "wrong", f"it does not answer: {said}", "start it, or mend DATABASE_URL")


def _ask(connection: Postgres, statement: str) -> dict[str, Any]:
    row = connection.cursor(row_factory=dict_row).execute(statement.encode()).fetchone()
    assert row is not None, "each of these has a row"
    return row


def _server(connection: Postgres) -> Iterator[Finding]:
    before = time.time()
    server = _ask(
        connection,
        """
        SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
               extract(epoch FROM clock_timestamp()) AS now, pg_is_in_recovery() AS standby,
               current_setting('default_transaction_read_only') = 'on' AS read_only,
               (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) AS super
        """,
    )
    after = time.time()
    old = server["number"] < OLDEST_POSTGRESQL
    do = "upgrade it: 15 is the oldest that is supported" if old else None
    yield Finding("PostgreSQL", "wrong" if old else "ok", f"version {server['version']}", do)
    # Between the two readings of this machine's clock it was asked; what lies outside them is a difference.
    differ = max(before - float(server["now"]), float(server["now"]) - after, 0.0)
    clocks = f"PostgreSQL's clock and this machine's differ by {differ:.1f} s"
    do = "let NTP set both: time decides what falls due" if differ > CLOCKS_DIFFER else None
    yield Finding("clocks", "look" if do else "ok", clocks, do)
    if server["standby"]:
        yield Finding(
            "replication", "wrong", "this is a standby: it can only be read", "name the primary, or promote it"
        )
    elif server["read_only"]:
        do = "ALTER DATABASE … RESET default_transaction_read_only"
        yield Finding("replication", "wrong", "the database can only be read", do)
    if server["super"]:
        do = "give DATABASE_URL an ordinary user (docs/installing.md)"
        yield Finding(
            "PostgreSQL", "look", "DATABASE_URL's user is a superuser: row-level security does not bind it", do
        )


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
            else:
                yield Finding(
                    "pooler", "ok", "a pooler stands before PostgreSQL, and DATABASE_DIRECT_URL leads past it"
                )
    except psycopg.Error as error:
        said = str(error).strip().partition("\n")[0]
        yield Finding("pooler", "wrong", f"DATABASE_DIRECT_URL does not answer: {said}", "mend it")


def _durability(connection: Postgres) -> Iterator[Finding]:
    names = (
        "fsync",
        "full_page_writes",
        "synchronous_commit",
        "archive_mode",
        "wal_level",
        "synchronous_standby_names",
    )
    said = {name: str(_ask(connection, f"SHOW {name}")[name]) for name in names}
    off = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if said[name] == "off"]
    if off:
        do = "set it to on: what was answered with 2xx may be lost in a crash"
        yield Finding("durability", "wrong", f"{', '.join(off)} is off", do)
    else:
        yield Finding("durability", "ok", "a commit is on disk before it is answered")
    if said["archive_mode"] == "off":
        do = "archive the log, or know that your provider does (docs/operations.md, Backups)"
        yield Finding("backups", "look", "PostgreSQL archives no log: a restore leads to the last dump only", do)
    else:
        archiver = _ask(
            connection, "SELECT failed_count, last_failed_time > last_archived_time AS failing FROM pg_stat_archiver"
        )
        says = f"PostgreSQL archives its log; {archiver['failed_count']} failures"
        if archiver["failing"]:
            yield Finding("backups", "wrong", says, "look at archive_command: the log fills the disk until it works")
        else:
            yield Finding("backups", "ok", says)
    standbys = said["synchronous_standby_names"]
    mode = (
        f"a commit waits for {standbys}" if standbys else "standbys, if there are any, follow; no commit waits for one"
    )
    yield Finding("replication", "ok", mode)
    slots = connection.cursor(row_factory=dict_row).execute(
        "SELECT slot_name, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) AS kept"
        " FROM pg_replication_slots WHERE NOT active AND NOT pg_is_in_recovery()"
    )
    for slot in slots.fetchall():
        do = "start what follows it, or pg_drop_replication_slot: it fills the disk"
        yield Finding(
            "replication", "look", f"nobody follows the slot {slot['slot_name']}; it keeps {slot['kept']} of log", do
        )
    age = _ask(connection, "SELECT age(datfrozenxid) AS age FROM pg_database WHERE datname = current_database()")["age"]
    if age > OLD_TRANSACTIONS:
        do = "see why autovacuum does not come through (long transactions, prepared ones), and VACUUM"
        yield Finding("PostgreSQL", "wrong", f"the oldest transaction is {age:,} transactions old", do)
    if _ask(connection, "SHOW autovacuum")["autovacuum"] == "off":
        yield Finding("PostgreSQL", "wrong", "autovacuum is off: tables grow without end", "set it to on")


def _room(connection: Postgres, own: Settings) -> Iterator[Finding]:
    granted = _ask(
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
        folder = Path(str(_ask(connection, "SHOW data_directory")["data_directory"]))
    except psycopg.errors.InsufficientPrivilege:
        folder = Path()
    if folder.is_absolute() and folder.is_dir():  # else it is another machine's
        yield _free("PostgreSQL's disk", folder)


def _free(name: str, folder: Path) -> Finding:
    disk = shutil.disk_usage(folder)
    few = disk.free < FREE_BYTES or disk.free < disk.total * FREE_SHARE
    says = f"{name} has {disk.free / 2**30:.1f} of {disk.total / 2**30:.1f} GiB free"
    return Finding("disk", "look" if few else "ok", says, "make room: a full disk stops everything" if few else None)


def _schema(connection: Postgres) -> Iterator[Finding]:
    try:
        standing = standing_of(connection)
        standing.check()
    except (SchemaBehind, SchemaAhead) as error:
        yield Finding("schema", "wrong", error.message)
    else:
        yield Finding("schema", "ok", f"migration {standing.before}, which this version can work with")


def of_processes(own: Settings) -> Iterator[Finding]:
    """Which processes live, on all hosts, and what waits."""
    from issuance import health, heartbeats  # late: they bring Prometheus' client

    try:
        with database.transaction(database.engine_for(own.database_url)) as connection:
            ages, versions = heartbeats.ages(connection), heartbeats.versions(connection)
            figures = health.figures(connection)
            open_tables = row_security.open_tables(connection)
    except (SchemaBehind, SchemaAhead, SQLAlchemyError, psycopg.Error):
        return  # of_postgresql has said why
    for part in heartbeats.NEEDED:
        age = ages.get(part)
        if age is not None and age <= heartbeats.DEAD_AFTER:
            yield Finding("processes", "ok", f"{part} lives")
        else:
            since = "was never heard of" if age is None else f"has not been heard of for {age:,.0f} s"
            yield Finding("processes", "wrong", f"{part} {since}", f"start it: nobody else does its work ({part})")
    if versions - {__version__}:
        says = f"processes of {', '.join(sorted(versions))} live together"
        yield Finding("versions", "look", says, "replace them all, then issuance schema upgrade --after")
    if open_tables:
        says = f"brands are not kept apart in {', '.join(open_tables)}"
        yield Finding("schema", "wrong", says, "run issuance schema apply")
    yield from _waiting(figures)


def _waiting(figures: Mapping[str, float]) -> Iterator[Finding]:
    oldest = figures["oldest_unsettled_event_seconds"]
    do = "see docs/operations.md, IssuanceEventsWait" if oldest > LONGEST_UNSETTLED else None
    yield Finding(
        "work", "wrong" if do else "ok", f"the oldest event that is not settled waits for {oldest:,.0f} s", do
    )
    if apart := figures["memberships_quarantined"]:
        says = f"{number(int(apart), 'membership is', 'memberships are')} in quarantine"
        yield Finding("work", "wrong", says, "run issuance quarantine list")
    if broken := figures["laws_broken"]:
        says = f"the last check found {number(int(broken), 'law', 'laws')} broken"
        yield Finding("laws", "wrong", says, "run issuance check, and read it")
    if figures["last_check_seconds"] > DAYS_UNCHECKED * 86_400:
        days = figures["last_check_seconds"] / 86_400
        yield Finding("laws", "look", f"the last check was {days:.0f} days ago", "run issuance check every night")


def of_redis(own: Settings) -> Iterator[Finding]:
    """The broker: whether it answers; of Redis or Valkey version, policy, clock."""
    import redis  # late: most of what is looked at does without

    from issuance import brokers, hints

    if brokers.is_rabbitmq(own.redis_url):
        if brokers.answers(hints.broker_for(own.redis_url)):
            yield Finding("RabbitMQ", "ok", "it answers")
        else:
            yield Finding("RabbitMQ", "wrong", "it does not answer", "start it: events are taken and wait meanwhile")
        return
    client = brokers.client_of(own.redis_url, socket_connect_timeout=5, socket_timeout=10)
    try:
        about: Any = client.info()
        before = time.time()
        seconds, micros = client.time()
        after = time.time()
    except redis.RedisError as error:
        said = str(error).partition("\n")[0]
        yield Finding("Redis", "wrong", f"it does not answer: {said}", "start it: events are taken and wait meanwhile")
        return
    finally:
        client.close()
    kind = "Valkey" if "valkey_version" in about else "Redis"
    yield Finding("Redis", "ok", f"{kind} {about.get('valkey_version', about['redis_version'])}")
    policy = about.get("maxmemory_policy", "noeviction")
    do = "set maxmemory-policy noeviction" if policy != "noeviction" and about.get("maxmemory") else None
    yield Finding("Redis", "look" if do else "ok", f"where it is full: {policy}", do)
    now = seconds + micros / 1e6
    differ = max(before - now, now - after, 0.0)
    if differ > CLOCKS_DIFFER:
        do = "let NTP set both: rates and tokens of processes go by them"
        yield Finding("clocks", "look", f"Redis' clock and this machine's differ by {differ:.1f} s", do)


def of_machine(own: Settings) -> Iterator[Finding]:
    """This machine's disk."""
    yield _free("this machine's disk", own.home if own.home.is_dir() else Path())


LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    of_settings,
    of_postgresql,
    of_redis,
    of_processes,
    of_machine,
)
