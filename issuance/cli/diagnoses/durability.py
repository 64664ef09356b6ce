"""What is found about how PostgreSQL keeps committed work: on disk, in an archive, on standbys."""

import re
from collections.abc import Iterator

from psycopg.rows import dict_row

from issuance.cli.diagnoses.findings import Finding, Postgres, ask

_OFF_IS_LOSS = ("fsync", "full_page_writes", "synchronous_commit")
_ARCHIVER = """
    SELECT archived_count, failed_count,
           last_failed_time IS NOT NULL AND last_failed_time >= coalesce(last_archived_time, '-infinity') AS failing
      FROM pg_stat_archiver
"""
# A role that is no superuser and has no pg_monitor sees only the name of a standby.
_STANDBYS = "SELECT lower(application_name) AS name, state, sync_state FROM pg_stat_replication"
_SLOTS = """
    SELECT slot_name, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) AS kept
      FROM pg_replication_slots WHERE NOT active AND NOT pg_is_in_recovery()
"""
# "s1, s2", "2 (s1, s2)", "FIRST 2 (s1, s2)", "ANY 2 (s1, s2)".
_NAMED = re.compile(r"\s*(?:(?:(?:first|any)\s+)?(\d+)\s*\((.*)\)|(.*?))\s*", re.IGNORECASE | re.DOTALL)


def of_durability(connection: Postgres) -> Iterator[Finding]:
    """Whether a commit is on disk before it is answered."""
    if off := [name for name in _OFF_IS_LOSS if _setting(connection, name) == "off"]:
        do = "set it to on: what was answered with 2xx may be lost in a crash"
        yield Finding("durability", "wrong", f"{', '.join(off)} is off", do)
    else:
        yield Finding("durability", "ok", "a commit is on disk before it is answered")


def of_backups(connection: Postgres) -> Iterator[Finding]:
    """Whether the log is archived, and arrives in the archive."""
    if _setting(connection, "archive_mode") == "off":
        do = "archive the log, or know that your provider does (docs/operations.md, Backups)"
        yield Finding("backups", "look", "PostgreSQL archives no log: a restore leads to the last dump only", do)
        return
    if not (_setting(connection, "archive_command") or _setting(connection, "archive_library")):
        says = "archive_mode is on, and neither archive_command nor archive_library says how: nothing is archived"
        yield Finding("backups", "wrong", says, "set archive_command: the log fills the disk until it works")
        return
    archiver = ask(connection, _ARCHIVER)
    if archiver["failing"]:
        do = "look at archive_command: the log fills the disk until it works"
        yield Finding("backups", "wrong", f"archiving the log fails; {archiver['failed_count']} failures", do)
    elif not archiver["archived_count"]:
        do = "SELECT pg_switch_wal(), and see in pg_stat_archiver that it arrives"
        yield Finding("backups", "look", "PostgreSQL has archived nothing of its log yet", do)
    else:
        yield Finding("backups", "ok", f"PostgreSQL archives its log; {archiver['failed_count']} failures")


def of_replication(connection: Postgres) -> Iterator[Finding]:
    """Whether commits wait for standbys, whether these are there, and which slots nobody follows."""
    names, commit = _setting(connection, "synchronous_standby_names"), _setting(connection, "synchronous_commit")
    if not names:
        yield Finding("replication", "ok", "standbys, if there are any, follow; no commit waits for one")
    elif commit in ("off", "local"):
        do = "set synchronous_commit to on: what was answered with 2xx is lost with the server"
        says = f"synchronous_commit is {commit}: no commit waits for {names}"
        yield Finding("replication", "look", says, do)
    elif lacking := _lacking(connection, names):
        do = "start them, or take them out of synchronous_standby_names"
        says = f"each commit waits for {names}, and lacks {lacking}: nothing can be written"
        yield Finding("replication", "wrong", says, do)
    else:
        yield Finding("replication", "ok", f"a commit waits for {names}")
    for slot in connection.cursor(row_factory=dict_row).execute(_SLOTS).fetchall():
        do = "start what follows it, or pg_drop_replication_slot: it fills the disk"
        yield Finding(
            "replication", "look", f"nobody follows the slot {slot['slot_name']}; it keeps {slot['kept']} of log", do
        )


def _lacking(connection: Postgres, wanted: str) -> int:
    """How many of the standbys for which a commit waits are not there."""
    said = _NAMED.fullmatch(wanted)
    assert said is not None, "its last case is anything"
    number, names = int(said[1] or 1), said[2] or said[3]
    known = {name.strip().strip('"').lower() for name in names.split(",")}
    there = 0
    for standby in connection.cursor(row_factory=dict_row).execute(_STANDBYS.encode()).fetchall():
        if standby["sync_state"] is None:
            there += "*" in known or standby["name"] in known
        else:
            there += standby["sync_state"] in ("sync", "quorum") and standby["state"] == "streaming"
    return max(number - there, 0)


def _setting(connection: Postgres, name: str) -> str:
    return str(ask(connection, f"SELECT coalesce(current_setting('{name}', true), '') AS said")["said"])
