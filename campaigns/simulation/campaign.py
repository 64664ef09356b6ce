"""Many histories: played in a process of their own each with a database, counted, and what failed made short."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import secrets
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from campaigns.databases import drop_database
from campaigns.model.histories import History
from campaigns.simulation import backends

_world: Any = None


class Played(NamedTuple):
    """What came of one seed: how many operations it had, of the failure if it failed, and which settlings were decided
    from a horizon and in full."""

    seed: int | str
    operations: int
    failure: str | None
    twice: Counter[str]


def libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def prepare(url: str, turn: Any) -> None:
    """In a new process, the one whose `turn` it is: a database with the schema, and a world on it."""
    global _world
    with turn.get_lock():
        backends.settle_on(turn.value)
        turn.value += 1
    name = f"issuance_simulation_{secrets.token_hex(4)}"
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    own = make_url(url).set(database=name, drivername="postgresql+psycopg").render_as_string(hide_password=False)
    os.environ["DATABASE_URL"] = own

    from campaigns.simulation.world import World
    from issuance import log
    from issuance.database import schema

    log.set_up("console", "error")
    logging.disable(logging.CRITICAL)  # the programs complain of what is done to them
    schema.apply(own)
    _world = World(libpq(own))
    gc.freeze()  # what is there now stays, and of what comes little is in circles
    gc.set_threshold(200_000, 20, 20)

    def drop() -> None:
        _world.close()
        with psycopg.connect(libpq(url), autocommit=True) as connection:
            drop_database(connection, name)

    atexit.register(drop)


def play(seed: int | str, shrink: float, keep: bool) -> Played:
    """Plays one seed, or a kept history by its file's name; a failure is told, made short."""
    from campaigns.simulation import keeping, twice
    from campaigns.simulation.histories import history

    whole = history(seed) if isinstance(seed, int) else keeping.kept(keeping.FOLDER / seed)
    twice.seen.clear()
    failure = told(whole, shrink, keep)
    return Played(seed, len(whole.ops), failure, twice.seen.copy())


def told(whole: History, seconds: float, keep: bool) -> str | None:
    from campaigns.simulation import keeping, shrinking

    mismatch = shrinking.failure(_world, whole)
    if mismatch is None:
        return None
    short, mismatch = shrinking.shrink(_world, whole, mismatch, seconds)
    kept = f"\nkept as {keeping.keep(short)}" if keep else ""
    return f"{short}\n--> {mismatch}{kept}"


@dataclass
class Told:
    """What a campaign came to so far."""

    played: int = 0
    operations: int = 0
    failed: list[int | str] = field(default_factory=list)
    twice: Counter[str] = field(default_factory=Counter)

    def add(self, one: Played) -> None:
        self.played += 1
        self.operations += one.operations
        self.twice += one.twice
        if one.failure is not None:
            self.failed.append(one.seed)
            print(f"\n{'=' * 72}\n{one.failure}", flush=True)

    def show(self, of: int, seconds: float) -> None:
        if sys.stderr.isatty() or self.played % 10 == 0 or self.played == of:
            line = f"\r{self.played}/{of} histories, {seconds:.0f} s, failed {len(self.failed)}"
            print(line, end="", file=sys.stderr, flush=True)

    def end(self, seconds: float) -> int:
        each = seconds / max(1, self.played)
        print(
            f"\n{self.played} histories of {self.operations // max(1, self.played)} operations on average"
            f" in {seconds:.0f} s ({each:.2f} s each); failed seeds: {self.failed or 'none'}"
        )
        print(f"decided from a horizon and in full: {dict(self.twice.most_common()) or 'none'}")
        return 1 if self.failed else 0
