"""What happens to many memberships at one stroke, and the statements that write it for all of them and name no single
one: credits are issued, credits expire, a status comes into force.

Credits may have been redeemed or revoked since they were looked at: that takes nothing but their expiry from what
happens, and the statement that marks them expired sees it for itself.
"""

# ruff: noqa: S608 - nothing but what is written here goes into the statements

from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import date, datetime
from itertools import cycle
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from uuid_utils import uuid7

from issuance.credits.codes import new_codes
from issuance.engine.piecewise import Raced
from issuance.engine.rows import columns_of, id_array, unnest
from issuance.engine.telling import Happened, new, tell_of
from issuance.engine.walking import Walked
from issuance.engine.writing import SHARED_BY_CREDITS, kind_of

_KIND_OF_CREDIT = {"kind": "integer", "place": "integer", **SHARED_BY_CREDITS}
_OWN_OF_CREDIT = {"membership_id": "uuid", "kind": "integer", "credit_id": "uuid", "code": "text"}
_SHARED = ", ".join(SHARED_BY_CREDITS)
# The guests of a range of ids: whatever the planner thinks of sizes, it does not read the brand's others. And it joins
# them by hashing: after an import, or where a range lies between two steps of its histogram, it takes them for one row,
# and would look through all that is fresh for each of them.
_BY_HASHING = text("SET LOCAL enable_nestloop = off")
_AS_YOU_LIKE = text("SET LOCAL enable_nestloop = on")
_ISSUE = text(f"""
    INSERT INTO credits (brand_id, credit_id, code, membership_id, guest_id, {_SHARED})
    SELECT :brand_id, fresh.credit_id, fresh.code, g.membership_id, g.guest_id, {_SHARED}
      FROM {unnest("fresh", **_OWN_OF_CREDIT)}
      JOIN {unnest("kinds", **_KIND_OF_CREDIT)} USING (kind)
      JOIN guests g ON g.brand_id = :brand_id AND g.membership_id BETWEEN :first_id AND :last_id
       AND (g.membership_id, g.place) = (fresh.membership_id, kinds.place)
""")
# One period's credits a statement, so that the idempotency key's index finds just them, however many lie behind.
_EXPIRE = text("""
    UPDATE credits SET expired_at = :expired_at
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND credit_rule_id = :rule_id AND period_start = :period_start AND reissue = :reissue
       AND redeemed_at IS NULL AND revoked_at IS NULL AND expired_at IS NULL
""")
_EXPIRE_AND_SAY = text(f"{_EXPIRE.text} RETURNING credit_id")
_STATUSES = text("""
    UPDATE memberships SET status = :status, ends_on = :ends_on
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND (status, ends_on) IS DISTINCT FROM (:status, CAST(:ends_on AS date))
""")
#: A rule, a period's start, a reissue, and when those credits expired in a walk, None if they did not.
Fate = tuple[UUID, date, int, datetime | None]


class Effect(NamedTuple):
    """What happens to memberships at one stroke: the credits they get (rows of _KIND_OF_CREDIT), which of theirs
    expire, and the status and end that they have from now on, None if they had them before."""

    issued: tuple[tuple[Any, ...], ...]
    expired: frozenset[Fate]
    moved: tuple[str, date | None] | None


#: A membership's id, and the walk of the one that stands for it.
Alike = tuple[str, Walked]


def only_issues_and_expires(walked: Walked) -> bool:
    """Whether all that a walk does is to issue and to expire, and to expire all guests' credits of a period alike."""
    if walked.shape is None:
        return False
    if any(after != replace(before, expired_at=after.expired_at) for before, after, _ in walked.changed.values()):
        return False
    return len(_fates(walked)) == len({(rule_id, start, reissue) for rule_id, start, reissue, _ in _fates(walked)})


def _fates(walked: Walked) -> set[Fate]:
    """Which rule's credits of which period and reissue expire when in a walk, of those that were open before it."""
    fates = set()
    for before in walked.membership.credits:
        if before.is_open:
            _, after, _ = walked.changed.get(before.credit_id, (before, before, None))
            rule_id, _, period_start, reissue = before.key
            fates.add((rule_id, period_start, reissue, after.expired_at))
    return fates


def effect_of(walked: Walked, run_id: UUID) -> Effect:
    """What a walk that only issues and expires comes to, for all of its shape; what it issues is of the run."""
    places = {UUID(guest["guest_id"]): place for place, guest in enumerate(walked.membership.party)}
    issued = tuple(
        (kind, places[credit.key.guest_id], *kind_of(walked, credit, new, run_id))
        for kind, (credit, new) in enumerate(walked.issued, start=1)
    )
    row, stands = walked.membership.row, (walked.status.value, walked.ends_on)
    moved = stands if stands != (row.status, row.ends_on) else None
    return Effect(issued, frozenset(fate for fate in _fates(walked) if fate[-1] is not None), moved)


def write_for_all(
    connection: Connection, brand_id: UUID, effect: Effect, wanted: Set[str], some: Sequence[Alike]
) -> None:
    """Write for many, in the order of their ids, what the walks of those who stand for them came to, which is one and
    the same. Raises Raced where one was not what its shape says."""
    memberships = [membership_id for membership_id, _ in some]
    alike = {"brand_id": brand_id, "ids": id_array(memberships)}
    _, like = some[0]
    happened: list[Happened] = []
    if effect.issued:
        credit_ids = _issue(connection, brand_id, effect, memberships)
        if wanted:
            kinds = cycle(credit for credit, _ in like.issued)
            happened += (one for id_, credit in zip(credit_ids, kinds, strict=False) for one in new(UUID(id_), credit))
    for rule_id, period_start, reissue, expired_at in effect.expired:
        assert expired_at is not None, "an effect holds those that expired"
        which = {"rule_id": rule_id, "period_start": period_start, "reissue": reissue, "expired_at": expired_at}
        if wanted:
            expired = connection.scalars(_EXPIRE_AND_SAY, {**alike, **which})
            happened += (Happened(expired_at, "credit.expired", credit_id) for credit_id in expired)
        else:
            connection.execute(_EXPIRE, {**alike, **which})
    if effect.moved is not None:
        status, ends_on = effect.moved
        connection.execute(_STATUSES, {**alike, "status": status, "ends_on": ends_on})
    tell_of(connection, brand_id, wanted, happened, like.now)


def _issue(connection: Connection, brand_id: UUID, effect: Effect, memberships: Sequence[str]) -> list[str]:
    """The ids of the credits issued: of the first membership, kind by kind, then of the next."""
    each = len(effect.issued)
    codes = new_codes(each * len(memberships))
    credit_ids = [str(uuid7()) for _ in codes]
    fresh = {
        "fresh_membership_id": id_array(one for one in memberships for _ in range(each)),
        "fresh_kind": id_array(kind for _ in memberships for kind in range(1, each + 1)),
        "fresh_credit_id": id_array(credit_ids),
        "fresh_code": id_array(codes),
    }
    within = {"brand_id": brand_id, "first_id": memberships[0], "last_id": memberships[-1]}
    connection.execute(_BY_HASHING)
    try:
        issued = connection.execute(_ISSUE, {**within, **fresh, **columns_of("kinds", _KIND_OF_CREDIT, effect.issued)})
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation) and error.orig.diag.constraint_name == "credits_once":
            raise Raced from error  # somebody has it already: each for itself finds out who
        raise
    connection.execute(_AS_YOU_LIKE)
    assert issued.rowcount == len(codes), "a shape says which guests there are"
    return credit_ids
