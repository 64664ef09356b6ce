"""Whether PostgreSQL serves: what its errors say of that, and what this process knows of it."""

import psycopg

from issuance.database import statements
from issuance.log import Outage

#: Whether this process reaches PostgreSQL.
outage = Outage("database")
#: Whether its disk is full: only who writes meets that.
full = Outage("database_disk", "full", "not_full")


def is_away(error: BaseException) -> bool:
    """Whether an error says that PostgreSQL was not reached, went away or is no primary any more, rather than that it
    refused something."""
    cause = getattr(error, "orig", error)
    if statements.is_of_a_standby(cause):
        return True
    state = getattr(cause, "sqlstate", None) or ""
    return isinstance(cause, psycopg.OperationalError) and (not state or state.startswith(("08", "57P")))


def is_cut_short(error: BaseException) -> bool:
    """Whether an error says that a statement took longer than it may."""
    return isinstance(getattr(error, "orig", error), psycopg.errors.QueryCanceled)
