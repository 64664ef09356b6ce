"""Insert the credits that are new, for any number of memberships in one statement, and log them."""

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import islice
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from uuid_utils import uuid7

from issuance import limits, origins
from issuance.credits import journal
from issuance.credits.codes import new_codes
from issuance.database.statements import Statement
from issuance.deciding.facts import Credit, CreditKey
from issuance.deciding.movements import Movement
from issuance.deciding.reasons import Reason
from issuance.engine.announcements import Happened, became
from issuance.engine.bisection import Raced
from issuance.engine.outcome import Outcome
from issuance.engine.rows import Shared, columns_of, id_array, unnest
from issuance.engine.settled import Settled
from issuance.log import logger

#: What credits of one kind have in common.
_KIND = {
    "place": "integer",
    "run_id": "uuid",
    "credit_rule_id": "uuid",
    "rule_version": "integer",
    "period_start": "date",
    "period_end": "date",
    "reissue": "integer",
    "coupon_id": "text",
    "coupon_name": "text",
    "roll_over": "boolean",
    "multi_use": "boolean",
    "max_uses": "integer",
    "valid_from": "timestamptz",
    "expires_at": "timestamptz",
    "validity_ends_at": "timestamptz",
    "issued_at": "timestamptz",
    "manual": "boolean",
    "revoked_at": "timestamptz",
    "revoked_by": "text",
    "revoked_reason": "text",
    "expired_at": "timestamptz",
}
_COLUMNS = ", ".join(name for name in _KIND if name != "place")
# A duplicate raises an error: no ON CONFLICT.
_ISSUE = Statement(f"""
    INSERT INTO credits (brand_id, credit_id, code, membership_id, guest_id, {_COLUMNS})
    SELECT :brand_id, fresh.credit_id, fresh.code, g.membership_id, g.guest_id, {_COLUMNS}
      FROM {unnest("fresh", membership_id="uuid", kind="integer", credit_id="uuid", code="text")}
      JOIN {unnest("kinds", kind="integer", **_KIND)} USING (kind)
      JOIN guests_of(:brand_id, CAST(:ids AS uuid[])) g
        ON (g.membership_id, g.place) = (fresh.membership_id, kinds.place)
""")
#: A statement compares each credit with each kind: more kinds, as of an order with hundreds of guests, go into several.
_MOST_KINDS = 500


def issue(
    connection: Connection,
    brand_id: UUID,
    settled: Sequence[Settled],
    told: Set[str],
    *,
    run_id: UUID | None,
    by_hand: bool,
) -> list[Happened]:
    """Insert the credits that are new, each in its final state. Returns what webhooks may want to know of them."""
    kinds: dict[Shared, int] = {}
    issued_of: dict[int, list[tuple[int, Credit]]] = {}
    memberships: list[str] = []
    numbers: list[int] = []
    credits: list[Credit] = []
    for some in settled:
        outcome = some.outcome
        issued = issued_of.get(id(outcome))
        if issued is None or outcome.let_out:
            asked_by = some.membership.asked_by
            issued = issued_of[id(outcome)] = [
                (kinds.setdefault(_kind(outcome, key, run_id, by_hand, asked_by), len(kinds)), outcome.credits[key])
                for key in outcome.issued
            ]
        for number, credit in issued:
            memberships += some.ids
            numbers += [number] * len(some.ids)
            credits += [credit] * len(some.ids)
    if not memberships:
        return []
    credit_ids = [str(uuid7()) for _ in memberships]
    _insert(connection, brand_id, memberships, numbers, credit_ids, [*kinds])
    if any(one.outcome.moved for one in settled):
        journal.note(connection, brand_id, _moved_since(settled, credit_ids))
    if not told:
        return []
    pairs = zip(credit_ids, credits, strict=True)
    return [one for credit_id, credit in pairs for one in became(UUID(credit_id), None, credit)]


def _insert(
    connection: Connection,
    brand_id: UUID,
    memberships: Sequence[str],
    numbers: Sequence[int],
    credit_ids: Sequence[str],
    kinds: Sequence[Shared],
) -> None:
    """Insert a credit for each of `memberships`, of the kind that has its number. Raises Raced where one is there
    already."""
    fresh: dict[str, Sequence[object]] = {
        "fresh_membership_id": memberships,
        "fresh_kind": numbers,
        "fresh_credit_id": credit_ids,
        "fresh_code": new_codes(len(memberships)),
    }
    by_number = [(number, *kind) for number, kind in enumerate(kinds)]
    size = len(memberships) if len(kinds) <= _MOST_KINDS else _MOST_KINDS
    done = 0
    for some in (slice(start, start + size) for start in range(0, len(memberships), size)):
        present = by_number if len(kinds) <= _MOST_KINDS else [by_number[one] for one in sorted(set(numbers[some]))]
        rows = {name: id_array(column[some]) for name, column in fresh.items()}
        of: dict[str, object] = {"brand_id": brand_id, "ids": id_array(dict.fromkeys(memberships[some]))}
        of |= {**rows, **columns_of("kinds", ("kind", *_KIND), present)}
        try:
            done += _ISSUE.written(connection, of)
        except IntegrityError as error:
            if isinstance(error.orig, UniqueViolation) and error.orig.diag.constraint_name == "credits_once":
                raise Raced from error
            raise
    assert done == len(memberships), "facts say which guests there are"


def _moved_since(settled: Sequence[Settled], credit_ids: Sequence[str]) -> Iterator[tuple[UUID, Movement]]:
    """The movements to journal of new credits, which something became of while a clock was moved on."""
    fresh = iter(credit_ids)
    for some in settled:
        for key in some.outcome.issued:
            moved = some.outcome.moved.get(key, ())
            for credit_id in islice(fresh, len(some.ids)):
                yield from ((UUID(credit_id), movement) for movement in moved)


def _kind(
    outcome: Outcome, key: CreditKey, run_id: UUID | None, by_hand: bool, asked_by: Mapping[CreditKey, UUID]
) -> Shared:
    """What a new credit has in common with others of its kind (_KIND)."""
    credit, version = outcome.credits[key], outcome.issued[key]
    stamped = credit.manual is by_hand and key not in outcome.only_settled
    why = outcome.revoked_because.get(key) if credit.revoked_by == "facts" else None
    said = {
        "place": key.place,
        "run_id": asked_by.get(key) if credit.manual and key in outcome.let_out else run_id if stamped else None,
        "credit_rule_id": key.credit_rule_id,
        "period_start": key.period_start,
        "reissue": key.reissue,
        "coupon_id": version.coupon_id,
        "coupon_name": version.coupon_name,
        "revoked_reason": None if why is None else why.value,
    }
    return tuple(said[name] if name in said else getattr(credit, name) for name in _KIND)


def log(brand_id: UUID, run_id: UUID | None, settled: Sequence[Settled]) -> None:
    """Log a line for each credit; of many at once only at the level `debug`, as what settles many logs how many."""
    number = sum(len(one.ids) for one in settled)
    is_told = run_id is None and number < limits.current.settling.fewest_sharing
    level = logging.INFO if is_told else logging.DEBUG
    if not logging.getLogger().isEnabledFor(level):
        return
    for membership_id, outcome in ((one, some.outcome) for some in settled for one in some.ids):
        for key in outcome.issued:
            logger.log(
                level,
                "credit_issued",
                brand=str(brand_id),
                run=run_id and str(run_id),
                membership=membership_id,
                rule=str(key.credit_rule_id),
                occurrence=key.period_start.isoformat(),
                outcome=Reason.ISSUED.value,
                **origins.told_of(membership_id),
            )
