"""Whoever is looked for is found by an index, though row-level security stands before it.

PostgreSQL uses no index by an expression that might give rows away before the policy has seen them, a COALESCE among
them: it reads the whole table instead, and only a large club notices.
"""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text

from issuance.corrections import receivers
from issuance.credits import credits, lists
from issuance.database.connections import transaction
from issuance.database.statements import Statement
from issuance.members import lost
from issuance.memberships import archiving, exporting
from tests.database.clubs import Club

#: Tables that grow with a club, and the columns by one of which at least they must be entered.
_GROW = ("members", "guests", "credits", "memberships", "transfers")
_BY = re.compile(r"\b(member_id|membership_id|guest_id|credit_id|transfer_id|code|external_user_id)\b")
STATEMENTS: dict[str, tuple[Statement, dict[str, Any]]] = {
    "a credit by its code": (credits._BY_CODE, {"code": "AAAA"}),
    "credits that are told of": (Statement(credits._BY_ID), {"credit_ids": [uuid4()], "now": "2031-01-01T00:00Z"}),
    "a member's credits": (lists._list(frozenset({"external_user_id"}), False), {"external_user_id": "ada"}),
    "a guest's credits": (lists._list(frozenset({"guest_id"}), False), {"guest_id": uuid4()}),
    "a membership's credits": (lists._list(frozenset({"membership_id"}), False), {"membership_id": uuid4()}),
    "who lost a credit with a member": (Statement(lost._HOLDER), {"credit_id": uuid4()}),
    "the orders of who is removed": (
        Statement(archiving._ON_ORDERS),
        {"member_id": uuid4(), "now": "2031-01-01T00:00Z", "party": "{}", "most": None},
    ),
    "the credits of who is exported": (
        Statement(exporting._THEIRS["credits"]),
        {"member_id": uuid4(), "most": None},
    ),
    "who holds a credit": (Statement(receivers._HOLDER), {"credit_id": uuid4()}),
}
_GIVEN = text("""
    INSERT INTO transfers (brand_id, transfer_id, credit_id, code, membership_id, guest_id, member_id, transferred_at)
    SELECT brand_id, gen_random_uuid(), credit_id, way || code, CASE way WHEN 'G' THEN membership_id END,
           CASE way WHEN 'G' THEN guest_id END, CASE way WHEN 'M' THEN member_id END, now()
      FROM credits JOIN memberships USING (brand_id, membership_id) CROSS JOIN unnest(ARRAY['G', 'M']) AS way
""")
_OF_LISTS = {"most": 100, "rows": 25, "passed": 0}


@pytest.fixture
def large(club: Club) -> Club:
    """Large enough for a plan."""
    club.sign_up(200)
    with transaction(club.engine, club.brand_id) as connection:
        connection.execute(_GIVEN)
    with club.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("RESET ROLE"))
        connection.execute(text(f"ANALYZE {', '.join(_GROW)}"))
    return club


@pytest.mark.parametrize("name", STATEMENTS)
def test_who_is_looked_for_is_found_by_an_index(large: Club, name: str) -> None:
    """Each table that grows is entered by more than the brand."""
    statement, parameters = STATEMENTS[name]
    with transaction(large.engine, large.brand_id) as connection:
        plan = _plan(connection, statement, {"brand_id": large.brand_id, **_OF_LISTS, **parameters})
    scans = [node for node in _nodes(plan) if node.get("Relation Name") in _GROW]
    assert scans
    whole = [node for node in scans if not _BY.search(node.get("Index Cond", ""))]
    assert not whole, [(node["Node Type"], node["Relation Name"], node.get("Filter")) for node in whole]


def _plan(connection: Connection, statement: Statement, parameters: dict[str, Any]) -> dict[str, Any]:
    driver: Any = connection.connection.dbapi_connection
    with driver.cursor() as cursor:
        for way in ("seqscan", "hashjoin", "mergejoin", "bitmapscan", "material"):
            cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(b"EXPLAIN (FORMAT json) " + statement._sql, parameters)
        (plan,) = cursor.fetchone()
    return dict(plan[0]["Plan"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
