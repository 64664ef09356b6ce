"""What the benchmark measures on is what the product would have made."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection, sql

from benchmarks.club import LIVES, OPENED, Club
from benchmarks.copies import copy_membership
from benchmarks.stage import Stage, set_up

MEMBERS = 3 * LIVES + 1


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        # Put back afterwards: the other tests' servers are not the benchmark's.
        for name in ("DATABASE_URL", "REDIS_URL"):
            patch.delenv(name, raising=False)
        with set_up(tmp_path_factory.mktemp("stage")) as made:
            yield made


@pytest.fixture(scope="module")
def automatic(stage: Stage) -> Club:
    return Club(stage, stage.database("automatic"), MEMBERS, rules=2)


@pytest.fixture(scope="module")
def external(stage: Stage) -> Club:
    return Club(stage, stage.database("external"), MEMBERS, billing="external")


def some_membership(connection: Connection[Any]) -> Any:
    row = connection.execute("SELECT membership_id FROM memberships LIMIT 1").fetchone()
    assert row, "there are memberships"
    return row[0]


@pytest.mark.parametrize("kind", ["automatic", "external"])
def test_copied_memberships_keep_every_law(stage: Stage, kind: str, request: pytest.FixtureRequest) -> None:
    """Copies are as the product leaves its own: settled again on paper, nothing is missing and nothing too much."""
    club: Club = request.getfixturevalue(kind)
    assert club.credits(OPENED.date()) == club.rules * MEMBERS
    said = stage.issuance(club.url, "check", "--brand", str(club.brand_id), "--json")
    assert json.loads(said)["holds"] is True


@pytest.mark.parametrize("kind", ["automatic", "external"])
def test_a_copy_shares_no_id_with_another(kind: str, request: pytest.FixtureRequest) -> None:
    """Every copy has a member, a guest, events and credits of its own, and its events tell of that membership."""
    club: Club = request.getfixturevalue(kind)
    events, charges = (3 * MEMBERS, MEMBERS) if kind == "external" else (MEMBERS, 0)
    counts = {
        "SELECT count(DISTINCT member_id) FROM memberships": MEMBERS,
        "SELECT count(DISTINCT guest_id) FROM guests": MEMBERS,
        "SELECT count(DISTINCT event_id) FROM billing_events": events,
        "SELECT count(*) FROM billing_events WHERE data->>'external_user_id' = 'member of ' || membership_id": MEMBERS,
        "SELECT count(DISTINCT charge_id) FROM charges WHERE strpos(charge_id, membership_id::text) > 0": charges,
        "SELECT count(DISTINCT code) FROM credits": club.rules * MEMBERS,
    }
    assert {count: club.value(count) for count in counts} == counts


def test_lives_began_in_different_months(automatic: Club) -> None:
    """Members have as many different lives as are told, evenly shared."""
    with automatic.connected() as connection:
        joined = Counter(connection.execute("SELECT starts_on FROM memberships"))
    assert len(joined) == LIVES
    assert set(joined.values()) <= {MEMBERS // LIVES, MEMBERS // LIVES + 1}


def test_copies_know_tables_by_their_columns(stage: Stage, automatic: Club) -> None:
    """A table is copied that the benchmark has never heard of, and one whose row goes by the membership's own id."""
    with stage.admin("automatic") as connection, connection.transaction(force_rollback=True):
        connection.execute("CREATE TABLE plans (plan_id uuid PRIMARY KEY)")
        # By name before what it refers to: the order is that of the keys.
        connection.execute("CREATE TABLE at_work (membership_id uuid, plan_id uuid REFERENCES plans, told text)")
        one = some_membership(connection)
        connection.execute("INSERT INTO plans VALUES (%s)", [one])
        connection.execute("INSERT INTO at_work VALUES (%s, %s, 'the same')", [one, one])
        copy_membership(connection, one, 3)
        for table in ("plans", "at_work"):
            found = connection.execute(
                sql.SQL("SELECT count(DISTINCT plan_id) FROM {}").format(sql.Identifier(table))
            ).fetchone()
            assert found == (4,), table
        alike = "SELECT count(*) FROM at_work JOIN memberships USING (membership_id) WHERE plan_id = membership_id"
        assert connection.execute(alike).fetchone() == (4,)


def test_a_table_that_is_left_out_has_no_copies(stage: Stage, automatic: Club) -> None:
    """Only the rows of the first one stay, where somebody measures what does not look at them."""
    with stage.admin("automatic") as connection, connection.transaction(force_rollback=True):
        one = some_membership(connection)
        copy_membership(connection, one, 3, leave_out=("credits",))
        assert connection.execute("SELECT count(*) FROM memberships").fetchone() == (MEMBERS + 3,)
        assert connection.execute("SELECT count(*) FROM credits").fetchone() == (automatic.rules * MEMBERS,)
