"""Detaching: old months of the audit become tables of their own, by a person's command, to be dumped and dropped."""

from datetime import date

from sqlalchemy import Connection, text

from issuance.audit.entries import write
from issuance.database import months
from issuance.database.months import Partition
from issuance.errors import Invalid

WHOLE = "audit_entries"

_THIS_MONTH = text("SELECT CAST(date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') AS date)")
_COUNTED = text("""
    SELECT brand_id, count(*) AS entries FROM audit_entries WHERE entry_id >= :first AND entry_id < :next
     GROUP BY brand_id ORDER BY brand_id
""")


def parts(connection: Connection) -> list[Partition]:
    """The months of the audit that are there, the oldest first."""
    return months.parts(connection, WHOLE)


def begins(connection: Connection) -> date | None:
    """The day from which on the audit is there, where older months were detached; None: none was."""
    return parts(connection)[0].since


def before(connection: Connection, first: date) -> list[Partition]:
    """The months that are over before that day, which begins one. Raises Invalid for a day that is still to come."""
    if first > connection.scalars(_THIS_MONTH).one():
        raise Invalid("Only months that are over can be detached.")
    return [part for part in parts(connection) if part.until <= first]


def detach(connection: Connection, part: Partition) -> int:
    """Make a month a table of its own; how many entries are in it. In a transaction across all brands.

    Each brand that it has entries of gets one that says so. Nobody can forget a person in it from then on, and law 11
    asks about the months that are left. Raises a DBAPIError that is `months.is_busy` where somebody is at work on the
    audit without a pause.
    """
    counted = connection.execute(_COUNTED, dict(zip(("first", "next"), part.ids, strict=True))).all()
    for brand_id, entries in counted:
        of_month = {"since": part.since, "until": part.until, "entries": entries}
        write(connection, brand_id, "audit.detached", part.name, after=of_month)
    months.briefly(connection)
    months.detach(connection, WHOLE, part.name)
    # The parts' own goes with the tie to the whole.
    months.run(
        connection,
        "CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON {} "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        part.name,
    )
    return sum(entries for _, entries in counted)
