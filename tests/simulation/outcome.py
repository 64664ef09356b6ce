"""What came of a history: credits against the oracle's, and the laws."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from issuance import credits  # noqa: A004 - the word is the domain's
from issuance.database import transaction
from issuance.laws import LAWS
from tests.model.driver import FIELDS, difference, predicted
from tests.model.oracle import Oracle


def differences(engine: Engine, brand_id: UUID, oracle: Oracle, names: dict[str, str]) -> list[str]:
    """A line for each credit that is not as predicted, missing, or one too many."""
    with transaction(engine, brand_id) as connection:
        rows, _ = credits.page(connection, brand_id, 1, 100_000)
    actual: dict[tuple[Any, ...], dict[str, Any]] = {}
    lines = []
    for row in rows:
        membership = names[str(row["membership_id"])]
        guest = names.get(str(row["guest"]["id"]), f"{membership} member")
        key = (names[str(row["credit_rule_id"])], membership, guest, row["period_start"], row["reissue"])
        if key in actual:
            lines.append(f"  law 1: two credits on {key}")
        actual[key] = {name: row[name] for name in FIELDS}
    expected = {credit.key: predicted(credit, oracle.now) for credit in oracle.credits}
    for key in sorted(actual.keys() | expected.keys(), key=str):
        if actual.get(key) != expected.get(key):
            lines += difference(key, expected.get(key), actual.get(key))
    return lines


def broken_laws(engine: Engine, brand_id: UUID) -> str:
    """The offenders against each law, as lines."""
    lines = []
    with transaction(engine, brand_id) as connection:
        for law in LAWS:
            offenders = [offender for batch in law.find(connection, brand_id) for offender in batch]
            lines += [f"  law {law.number}, {law.name}: {offender}" for offender in offenders]
    return "\n".join(lines)
