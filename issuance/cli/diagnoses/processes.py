"""Which processes live, and what waits for them."""

from collections.abc import Iterator, Mapping

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from issuance import __version__, database
from issuance.cli.diagnoses.findings import Finding
from issuance.database import row_security
from issuance.errors import SchemaAhead, SchemaBehind
from issuance.settings import Settings
from issuance.shown import number

#: Seconds after which an event should have been settled long ago, and days without a check of the laws.
LONGEST_UNSETTLED, DAYS_UNCHECKED = 60.0, 2


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
        says = f"a brand has not been checked for {days:.0f} days"
        yield Finding("laws", "look", says, "run issuance check every night")
