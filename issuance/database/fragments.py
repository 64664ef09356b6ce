"""Parts of statements that several rooms need, each with its one meaning."""

from issuance.deciding import statuses

#: What time it is for a brand, in a statement that reads its row of `brands`.
BRANDS_NOW = "coalesce(clock_now, clock_timestamp())"
#: The statuses of memberships that are over.
ENDED = "('{}')".format("', '".join(sorted(statuses.ENDED)))
#: Whether a run `r` goes on: it is neither paused nor over. An index has the runs that are not finished.
GOES_ON = "r.finished_at IS NULL AND r.state IN ('planned', 'running')"
#: Whether a delivery `d` is due. Whether its webhook can be told is another question.
DELIVERY_DUE = "d.state = 'pending' AND d.next_at <= clock_timestamp()"
#: Accepted events `e` that no settling has seen, of memberships with a schedule `s`. One in quarantine is not among
#: them: it waits for a person. It has a schedule of its own, which has the membership's id.
UNSETTLED = """billing_events e JOIN schedules s ON (s.brand_id, s.schedule_id) = (e.brand_id, e.membership_id)
     WHERE e.settled_at IS NULL AND s.quarantined_at IS NULL"""


def due(by: str) -> str:
    """Whether a schedule `s` is due by an instant and is not quarantined."""
    return f"s.due_at <= {by} AND s.quarantined_at IS NULL"


def either(first: str, second: str) -> str:
    """`first`, or `second` where that is NULL, for what is joined by. COALESCE would say it, but PostgreSQL does not
    know that COALESCE gives nothing away, and under row-level security reads the whole table in place of an index."""
    return f"CASE WHEN {first} IS NOT NULL THEN {first} ELSE {second} END"


def translating(biller_id: str) -> str:
    """The key of the advisory lock on translating a biller's webhooks."""
    return f"hashtextextended('billers ' || CAST({biller_id} AS text), 0)"
