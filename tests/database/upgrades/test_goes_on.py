"""A brand of 0.1.0 that is upgraded: its laws hold, its people are there, and what happens next is what would have."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from dramatiq.brokers.stub import StubBroker

from issuance import laws
from issuance.credits import lists
from issuance.database import schema
from issuance.database.connections import engine_for, transaction
from issuance.database.revisions import MIGRATIONS
from tests.database.clubs import Club
from tests.database.upgrades.conftest import connect

DEMO = Path(__file__).parent / "demo"
BRAND = UUID("01a2261c-8204-77b9-ad58-b349a7073956")
#: What is compared of each credit.
SHOWN = (
    *("credit_rule_id", "rule_version", "period_start", "period_end", "reissue"),
    *("valid_from", "expires_at", "status", "uses"),
)


def load(connection: psycopg.Connection, statements: str) -> None:
    """Rows as they were, in the tables of 0.1.0: their triggers have done their part already."""
    connection.execute((MIGRATIONS / "base.sql").read_bytes())
    connection.execute("SET issuance.brand_id = '*'")
    tables = [
        name for (name,) in connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity")
    ]
    for state in ("DISABLE", "ENABLE"):
        for table in tables:
            connection.execute(f"ALTER TABLE {table} {state} TRIGGER USER".encode())
        if state == "DISABLE":
            connection.execute(statements.encode())


@pytest.fixture
def old(empty_database: Callable[[], str]) -> str:
    """What the demo of 0.1.0 left in its database."""
    url = empty_database()
    with connect(url) as connection:
        load(connection, (DEMO / "0.1.0.sql").read_text())
    return url


@pytest.fixture
def demo(old: str, broker: StubBroker) -> Iterator[Callable[[], Club]]:
    """Upgrades it, and gives the brand to be worked on in this process: `demo()`."""
    engine = engine_for(old)

    def upgraded() -> Club:
        assert schema.upgrade(old).pending == []
        assert schema.diff(old) == []
        return Club(engine, broker, BRAND, uuid4(), uuid4())

    yield upgraded
    engine.dispose()


def broken(club: Club) -> list[object]:
    """What offends a law, with the law's number."""
    with transaction(club.engine, BRAND) as connection:
        steps = laws.look(connection, BRAND, laws.LAWS)
        return [(number, one) for step in steps for number, offenders in step.items() for one in offenders]


def seen(club: Club) -> list[list[object]]:
    """Its credits, as the API shows them, without ids and codes."""

    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return str(value) if isinstance(value, (date, UUID)) else value

    with transaction(club.engine, BRAND) as connection:
        rows, _ = lists.page(connection, BRAND, 1, 500)
    return sorted(([row["guest"]["name"], *(plain(row[name]) for name in SHOWN)] for row in rows), key=str)


def test_laws_hold_after_the_upgrade(demo: Callable[[], Club]) -> None:
    """All ten: what is owed is computed anew from the events, and the credits are those."""
    assert broken(demo()) == []


def test_what_happens_next_is_what_would_have_happened(demo: Callable[[], Club]) -> None:
    """Three and a half months on, its credits are those that 0.1.0 itself came to, one by one."""
    club = demo()
    before = len(seen(club))
    club.move_clock("2031-09-20")
    while club.sweep() is not None:
        pass
    assert seen(club) == json.loads((DEMO / "2031-09-20.json").read_text())
    assert len(seen(club)) > before
    assert broken(club) == []


#: Somebody with points, spent and received, and a request of theirs that was answered; guests who are no members, two
#: of them with one place, as lists told one after the other left it; and an event that waits for its sign-up.
PEOPLE = """
    INSERT INTO members (brand_id, external_user_id, created_at, updated_at)
    VALUES (:brand, 'zoe', '2031-01-01T10:00Z', '2031-01-01T10:00Z');
    INSERT INTO wallets VALUES (:brand, 'zoe', 50, 20);
    INSERT INTO redemptions (brand_id, redemption_id, points, external_user_id, created_at)
    VALUES (:brand, ':id01', 20, 'zoe', '2031-02-01T10:00Z');
    INSERT INTO ledger_entries (brand_id, entry_id, external_user_id, type, amount, redemption_id, created_at)
    VALUES (:brand, ':id02', 'zoe', 'credit', 50, NULL, '2031-01-01T10:00Z'),
           (:brand, ':id03', 'zoe', 'spend', -20,
            ':id01', '2031-02-01T10:00Z');
    INSERT INTO idempotency_keys VALUES (:brand, 'member zoe', 'k1', 'h', 200, 'b'),
                                        (:brand, 'key 1', 'k2', 'h', 200, 'b');
    INSERT INTO memberships (brand_id, membership_id, membership_type_id, external_user_id, signed_up_at, starts_on,
                             billing_anchor, billing_frequency)
    SELECT :brand, ':id10', membership_type_id, 'zoe', '2031-01-01T10:00Z', '2031-01-01',
           '2031-01-01', 'P1M' FROM membership_types LIMIT 1;
    INSERT INTO dues (brand_id, membership_id) VALUES (:brand, ':id10');
    INSERT INTO guests (brand_id, membership_id, guest_id, place, name, external_user_id, lead_booker)
    VALUES (:brand, ':id10', ':ida1', 0, 'Zoe', 'zoe', true),
           (:brand, ':id10', ':ida2', 1, 'Ted', 'ted', false),
           (:brand, ':id10', ':ida3', 1, 'Una', NULL, false);
    INSERT INTO billing_events (brand_id, source, event_id, type, time, membership_id, data, body_hash)
    VALUES (:brand, 's', '1', 'membership.signed_up', '2031-01-01T10:00Z', ':id10',
            '{"guests": [{"guest_id": ":ida1", "external_user_id": "zoe"},
                         {"guest_id": ":ida3"}]}', ''),
           (:brand, 's', '2', 'membership.guests_changed', '2031-01-02T10:00Z', ':id10',
            '{"guests": [{"guest_id": ":ida1", "external_user_id": "zoe"},
                         {"guest_id": ":ida2", "external_user_id": "ted"}]}', ''),
           (:brand, 's', '3', 'membership.guests_changed', '2031-01-02T10:00Z', ':id11',
            '{"guests": [{"external_user_id": "ulf"}]}', '');
"""


def test_people_keep_what_is_theirs(empty_database: Callable[[], str]) -> None:
    """Points, redemptions, requests and orders are found by their new ids, and everybody who was named has one."""
    url = empty_database()
    with connect(url) as connection:
        load(
            connection,
            (DEMO / "0.1.0.sql").read_text()
            + PEOPLE.replace(":brand", f"'{BRAND}'").replace(":id", "00000000-0000-0000-0000-0000000000"),
        )
    schema.upgrade(url)
    assert schema.diff(url) == []
    with connect(url) as connection:
        connection.execute("SET issuance.brand_id = '*'")

        def found(query: str) -> list[tuple[object, ...]]:
            return connection.execute(query.encode()).fetchall()

        zoe = found("SELECT member_id FROM members WHERE external_user_id = 'zoe' AND joined_at IS NOT NULL")[0][0]
        assert found("SELECT member_id, received, spent FROM wallets") == [(zoe, 50, 20)]
        assert found("SELECT member_id, sum(amount) FROM ledger_entries GROUP BY 1") == [(zoe, 30)]
        assert found("SELECT member_id FROM redemptions WHERE points IS NOT NULL") == [(zoe,)]
        assert found("SELECT caller FROM idempotency_keys WHERE key IN ('k1', 'k2') ORDER BY key") == [
            (f"member {zoe}",),
            ("key 1",),
        ]
        assert found("SELECT external_user_id FROM members WHERE joined_at IS NULL ORDER BY 1") == [("ted",), ("ulf",)]
        order = "FROM guests g LEFT JOIN members m USING (brand_id, member_id) WHERE membership_id::text LIKE '%10'"
        assert found(f"SELECT place, name, m.external_user_id {order} ORDER BY place") == [
            (0, "Zoe", "zoe"),
            (1, "Una", None),
            (2, "Ted", "ted"),
        ]
        assert found("SELECT count(*) FROM membership_schedules") == found("SELECT count(*) FROM memberships")
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute("UPDATE ledger_entries SET amount = 1")
