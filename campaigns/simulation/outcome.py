"""What came of a history: credits against the oracle's, and the laws."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Container
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from campaigns.model.driver import FIELDS, difference, predicted
from campaigns.model.oracle import Oracle
from campaigns.model.reasons import reasons, unexplained
from campaigns.model.words import GRANT, NO_PERIOD
from campaigns.simulation.mirror import NotFollowed
from issuance.credits import lists
from issuance.database.connections import transaction
from issuance.laws import LAWS, look
from issuance.memberships import explanations


class Mismatch(AssertionError):
    """The engine and the oracle disagree, or a law is broken; the message says after which step, and how."""

    def __init__(self, step: int, message: str) -> None:
        super().__init__(message)
        self.step = step


def complaint(error: Exception) -> str:
    """What a program, or the oracle, raised, and where."""
    where = "" if isinstance(error, NotFollowed) else "".join(traceback.format_exception(error)[-4:])
    return f"{type(error).__name__}: {error}\n{where}"


def differences(engine: Engine, brand_id: UUID, oracle: Oracle, names: dict[str, str]) -> list[str]:
    """A line for each credit that is not as predicted, missing, or one too many."""
    with transaction(engine, brand_id) as connection:
        rows, _ = lists.page(connection, brand_id, 1, 100_000)
    actual: dict[tuple[Any, ...], dict[str, Any]] = {}
    grants: Counter[str] = Counter()
    lines = []
    for row in reversed(rows):  # the oldest first
        membership = names[str(row["membership_id"])]
        guest = names.get(str(row["guest"]["id"]), f"{membership} member")
        key = (names.get(str(row["credit_rule_id"]), GRANT), membership, guest, row["period_start"], row["reissue"])
        if row["credit_rule_id"] is None:
            key = (GRANT, membership, guest, NO_PERIOD, grants[membership])
            grants[membership] += 1
        if key in actual:
            lines.append(f"  law 1: two credits on {key}")
        said = {"rule_version": row["rule_version"] or 0, "flagged": row["flagged_at"] is not None}
        actual[key] = {name: row[name] for name in FIELDS if name not in said} | said
    expected = {credit.key: predicted(credit, oracle.now) for credit in oracle.credits}
    for key in sorted(actual.keys() | expected.keys(), key=str):
        if actual.get(key) != expected.get(key):
            lines += difference(key, expected.get(key), actual.get(key))
    return lines


def unexplained_turns(
    engine: Engine, brand_id: UUID, oracle: Oracle, ids: dict[str, UUID], memberships: Container[str]
) -> list[str]:
    """A line for each turn of `memberships` of which explain names a reason that does not hold, or says nothing."""
    names = {str(identity): name for name, identity in ids.items()}
    lines = []
    with transaction(engine, brand_id) as connection:
        explained = {
            reading: explanations.explain(connection, brand_id, ids[reading.membership], first=reading.starts_on).rows
            for reading in oracle.readings()
            if reading.membership in memberships
        }
    for reading, rows in explained.items():
        membership = reading.membership
        for rule, versions in oracle.rules.items():
            told = {
                (names.get(str(row["guest"]["id"]), f"{membership} member"), row["period_start"]): row["reason"]
                for row in rows
                if row["credit_rule_id"] == ids[rule]
            }
            given = reasons(versions, reading, oracle.own(rule, membership))
            back = oracle.revived.get(membership)
            for (_, day), holding in given.items():
                if membership in oracle.archived or (back is not None and reading.midnight(day) < back):
                    holding.add("member_archived")
            lines += [f"  {rule} {membership} {line}" for line in unexplained(told, given)]
    return lines


def broken_laws(engine: Engine, brand_id: UUID) -> str:
    """The offenders against each law, as lines."""
    names = {law.number: law.name for law in LAWS}
    with transaction(engine, brand_id) as connection:
        return "\n".join(
            f"  law {number}, {names[number]}: {offender}"
            for found in look(connection, brand_id, LAWS)
            for number, offenders in found.items()
            for offender in offenders
        )
