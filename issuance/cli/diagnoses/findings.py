"""Findings, and the judgements that several modules share: of clocks and of disks."""

import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psycopg
from psycopg.rows import dict_row

#: ok: as it should be. look: works, and may not do what you want. wrong: mend it.
State = Literal["ok", "look", "wrong"]
#: Seconds by which clocks may differ, and the share and the bytes of a disk that should be free.
CLOCKS_DIFFER, FREE_SHARE, FREE_BYTES = 2.0, 0.1, 2 * 2**30
Postgres = psycopg.Connection[tuple[Any, ...]]


class Finding(NamedTuple):
    """One thing that was looked at: its state in a sentence, and what to do about it."""

    about: str
    state: State
    says: str
    do: str | None = None


def first_line(error: BaseException) -> str:
    """An error's text, as far as it fits on a line."""
    return str(error).strip().partition("\n")[0]


def ask(connection: Postgres, statement: str) -> dict[str, Any]:
    """The one row of a statement."""
    row = connection.cursor(row_factory=dict_row).execute(statement.encode()).fetchone()
    assert row is not None, "each of these has a row"
    return row


def of_clock(whose: str, before: float, then: float, after: float, why: str) -> Finding:
    """The finding about a clock that said `then` while this machine's went from `before` to `after`: it differs by what
    lies outside of these."""
    differ = max(before - then, then - after, 0.0)
    says = f"{whose} clock and this machine's differ by {differ:.1f} s"
    far = differ > CLOCKS_DIFFER
    return Finding("clocks", "look" if far else "ok", says, f"let NTP set both: {why}" if far else None)


def of_disk(name: str, folder: Path) -> Finding:
    """The finding about the room on a folder's disk."""
    disk = shutil.disk_usage(folder)
    few = disk.free < FREE_BYTES or disk.free < disk.total * FREE_SHARE
    says = f"{name} has {disk.free / 2**30:.1f} of {disk.total / 2**30:.1f} GiB free"
    return Finding("disk", "look" if few else "ok", says, "make room: a full disk stops everything" if few else None)
