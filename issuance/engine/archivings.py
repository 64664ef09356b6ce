"""Who of a membership is archived, or was until they were brought back (SEMANTICS 12)."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from issuance.database.statements import Row, Statement
from issuance.deciding.archivings import GuestArchiving
from issuance.deciding.facts import MembershipFacts
from issuance.engine.event_facts import Named, members_among

#: Whether a member `p` is archived, or was until they were brought back.
EVER_ARCHIVED = "(p.archived_at IS NOT NULL OR p.returned_at IS NOT NULL)"


def archived_since(instant: str) -> str:
    """Whether a member `p` was removed, once more perhaps, or brought back at an instant of the brand's clock or
    later: what was theirs is not theirs any more. Where the clock stands still, the instant counts as before."""
    # An archiving reads its clock before it waits for who uses a credit: by lock_timeout at most. One that was over by
    # then, as they were brought back before, took nothing since.
    begun = f"{instant} - interval '1 minute'"
    return f"""(p.returned_at >= {instant} OR p.archived_at >= {begun}
                OR EXISTS (SELECT FROM audit_entries e
                            WHERE e.brand_id = p.brand_id AND e.subject_id = CAST(p.member_id AS text)
                              AND e.action = 'member.archived' AND e.brand_time >= {begun}
                              AND (e.brand_time >= {instant} OR coalesce(p.returned_at < e.brand_time, true))))"""


# A member's archivings: the one that stands, and those of the audit. Of one whose months were detached it is known only
# that it was over when they were brought back.
_OF_AUDIT = """
    SELECT e.brand_time FROM audit_entries e
     WHERE e.brand_id = p.brand_id AND e.subject_id = CAST(p.member_id AS text) AND e.action = 'member.archived'
"""
_REMOVALS = Statement(f"""
    SELECT p.external_user_id, removed.at
      FROM members p
     CROSS JOIN LATERAL (SELECT p.archived_at UNION {_OF_AUDIT}
                          UNION SELECT p.returned_at WHERE NOT EXISTS ({_OF_AUDIT})) removed (at)
     WHERE p.brand_id = :brand_id AND p.external_user_id = ANY(:names)
       AND (removed.at >= CAST(:since AS timestamptz)
            OR (removed.at >= CAST(:since AS timestamptz) - interval '1 minute'
                AND coalesce(p.returned_at < removed.at, true)))
""")


def removals_since(
    connection: Connection, brand_id: UUID, names: Sequence[str], since: datetime
) -> dict[str, list[datetime]]:
    """When members were removed at an instant of the brand's clock or later, as `archived_since` has it. By the brand's
    ids."""
    removals: dict[str, list[datetime]] = {}
    if names:
        for row in _REMOVALS.found(connection, {"brand_id": brand_id, "names": list(names), "since": since}):
            removals.setdefault(row.external_user_id, []).append(row.at)
    return removals


# Facts name guests by the brand's ids.
_ARCHIVED = Statement(f"""
    SELECT member_id, external_user_id, archived_at, returned_at,
           (SELECT max(o.brand_time) FROM ({_OF_AUDIT}) o WHERE o.brand_time <= p.returned_at) AS removed_at
      FROM members p
     WHERE brand_id = :brand_id AND {EVER_ARCHIVED}
       AND (member_id = ANY(:members) OR external_user_id = ANY(:named))
""")


class Archiving(NamedTuple):
    """Since when a member is archived, when they were last brought back, and when they had been removed before that
    (instants)."""

    archived_at: datetime | None
    returned_at: datetime | None
    removed_at: datetime | None

    @property
    def all(self) -> Iterator[tuple[datetime, datetime | None]]:
        """From when until when they were archived, or are. Of a month that was detached from the audit it is known only
        that it was over when they were brought back."""
        if self.archived_at is not None:
            yield self.archived_at, None
        if self.returned_at is not None:
            yield self.removed_at or self.returned_at, self.returned_at


def archivings_of(
    connection: Connection, brand_id: UUID, rows: Collection[Row], named: dict[UUID, Named]
) -> dict[UUID | str, Archiving]:
    """The archivings of everybody whom these memberships and their lists of guests name, by the members' own ids and by
    the brand's."""
    names = {
        who.external_user_id
        for lists in named.values()
        for listed in lists.values()
        for who in listed
        if who.external_user_id is not None
    }
    members = {row.member_id for row in rows}
    found = _ARCHIVED.found(connection, {"brand_id": brand_id, "members": list(members), "named": list(names)})
    return {
        known_by: Archiving(row.archived_at, row.returned_at, row.removed_at)
        for row in found
        for known_by in (row.member_id, row.external_user_id)
    }


def with_archivings(
    facts: MembershipFacts,
    member_id: UUID,
    named: Named,
    places: dict[UUID, int],
    archivings: dict[UUID | str, Archiving],
) -> MembershipFacts:
    """The facts, and which of the guests are or were archived."""
    member = archivings.get(member_id, Archiving(None, None, None))
    found = sorted(members_among(named, facts.told), key=lambda one: places[one.guest_id])
    return replace(
        facts,
        archived_at=member.archived_at,
        returned_at=member.returned_at,
        archived_guests=tuple(
            GuestArchiving(places[one.guest_id], at, until, one.span)
            for one in found
            if one.external_user_id in archivings
            for at, until in archivings[one.external_user_id].all
        ),
    )
