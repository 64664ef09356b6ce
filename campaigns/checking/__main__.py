"""`./run python -m campaigns.checking --memberships 100000`: makes a brand in a database of its own, and checks it."""

import argparse
import os
import resource
import sys
import time
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Engine, make_url, text

from campaigns.checking import club
from issuance import log
from issuance.database import schema
from issuance.database.connections import engine_for, transaction
from issuance.laws import LAWS, look
from issuance.settings import Settings, read

_SIZES = text("""
    SELECT (SELECT count(*) FROM memberships), (SELECT count(*) FROM billing_events), (SELECT count(*) FROM credits)
""")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.checking", description=__doc__)
    parser.add_argument("--memberships", type=int, default=100_000, help="how many, of 36 credits each")
    parser.add_argument("--external", action="store_true", help="charges are told by events, 24 a membership")
    parser.add_argument("--database", required=True, help="the name of its database; one that is there is used again")
    args = parser.parse_args()
    log.set_up("console", "warning")
    url = _database(args.database)
    engine = engine_for(url)
    began = time.monotonic()
    brand_id = _made(engine) or club.make(engine, args.memberships, external=args.external)
    print(f"the brand was there after {time.monotonic() - began:.0f} s", flush=True)
    for laws in (LAWS, *([law] for law in LAWS)):
        began, found = time.monotonic(), 0
        with transaction(engine, brand_id) as connection:
            before = _worked(connection)
            for batch in look(connection, brand_id, list(laws)):
                found += sum(len(offenders) for offenders in batch.values())
            python, postgres = (after - before for after, before in zip(_worked(connection), before, strict=True))
        names = ", ".join(str(law.number) for law in laws)
        worked = f"of CPU {python:.1f} s in Python, {postgres:.1f} s in PostgreSQL"
        print(f"{time.monotonic() - began:6.1f} s ({worked}): laws {names}: {found} offenders", flush=True)
    with transaction(engine, brand_id) as connection:
        counts = connection.execute(_SIZES).one()
        print("{} memberships, {} events, {} credits".format(*counts))
    return 0


def _made(engine: Engine) -> UUID | None:
    """The brand that an earlier measurement made."""
    with transaction(engine) as connection:
        made: UUID | None = connection.scalar(text("SELECT brand_id FROM brands LIMIT 1"))
        return made


def _worked(connection: Connection) -> tuple[float, float]:
    """Seconds of CPU that this process and its process in PostgreSQL (on this machine) have used."""
    used = (
        Path(f"/proc/{connection.scalar(text('SELECT pg_backend_pid()'))}/stat").read_text().rpartition(")")[2].split()
    )
    ours = resource.getrusage(resource.RUSAGE_SELF)
    return ours.ru_utime + ours.ru_stime, (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


def _database(name: str) -> str:
    given = read(Settings)
    url = make_url(given.database_url).set(database=name)
    with engine_for(given.database_url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        known = connection.scalar(text("SELECT true FROM pg_database WHERE datname = :name"), {"name": name})
        if not known:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    address = url.render_as_string(hide_password=False)
    schema.apply(address)
    return address


if __name__ == "__main__":
    sys.exit(main())
