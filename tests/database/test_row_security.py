"""PostgreSQL itself keeps brands apart: row-level security, forced for the role that the processes use."""

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from issuance.database import schema
from issuance.database.connections import engine_for, show, transaction
from issuance.database.tables import metadata
from issuance.laws import apart
from issuance.tenancy import brands

WITH_BRAND = [table.name for table in metadata.sorted_tables if "brand_id" in table.columns]


@pytest.fixture
def unshown(engine: Engine) -> Iterator[Connection]:
    """A connection as the processes have it, in a transaction that was shown no brand; undone after the test."""
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def names(connection: Connection) -> set[str]:
    return set(connection.scalars(text("SELECT name FROM brands")))


def test_every_table_with_a_brand_has_a_forced_policy(engine: Engine) -> None:
    """A table that is added without one fails here, and the processes do not call themselves ready."""
    with engine.connect() as connection:
        assert schema.open_tables(connection) == []
        forced = set(connection.scalars(text("SELECT tablename FROM pg_policies WHERE schemaname = current_schema()")))
        parts = set(connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")))
    assert forced - parts == set(WITH_BRAND)


def test_a_table_without_a_policy_is_named(fresh_database: Callable[[], str], direct: Callable[[str], str]) -> None:
    """New tables, and old ones whose policy somebody took away. Past a pooler, as all work on the schema."""
    url = direct(fresh_database())
    with transaction(engine_for(url)) as connection:
        connection.execute(text("CREATE TABLE wishes (brand_id uuid PRIMARY KEY)"))
        connection.execute(text("ALTER TABLE members NO FORCE ROW LEVEL SECURITY"))
        connection.execute(text("DROP POLICY of_one_brand ON credits"))
        assert schema.open_tables(connection) == ["credits", "members", "wishes"]
    assert {line.partition(":")[0] for line in schema.diff(url) if "wishes" not in line} == {
        "policy of_one_brand on credits",
        "table members",
    }
    schema.apply(url)
    with transaction(engine_for(url)) as connection:
        assert schema.open_tables(connection) == []
    engine_for(url).dispose()


def test_the_processes_role_is_bound(unshown: Connection) -> None:
    """Neither a superuser nor one whom row-level security does not hold."""
    bound = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
    assert unshown.scalar(bound) is False


@pytest.mark.parametrize("table", WITH_BRAND)
def test_who_was_shown_no_brand_sees_nothing(unshown: Connection, brand_id: UUID, table: str) -> None:
    """Forgetting to name the brand is safe."""
    assert unshown.execute(text(f"SELECT FROM {table} LIMIT 1")).all() == []


def test_a_brand_sees_itself_alone(unshown: Connection, brand_id: UUID, other_brand_id: UUID) -> None:
    """One brand's rows, whatever the statement asks for."""
    show(unshown, brand_id)
    assert names(unshown) == {"test"}
    show(unshown, other_brand_id)
    assert names(unshown) == {"other"}
    show(unshown, uuid4())
    assert names(unshown) == set()
    show(unshown, None)
    assert names(unshown) >= {"test", "other"}


def test_what_was_shown_ends_with_the_transaction(engine: Engine, brand_id: UUID) -> None:
    """A connection goes back to the pool blind."""
    with engine.connect() as connection:
        show(connection, brand_id)
        connection.commit()
        assert names(connection) == set()


@pytest.mark.parametrize("shown", [False, True], ids=["no brand", "another brand"])
def test_nobody_writes_for_another_brand(
    unshown: Connection, brand_id: UUID, other_brand_id: UUID, *, shown: bool
) -> None:
    """Updates and deletions find nothing; inserts, and rows that would move to another brand, are refused."""
    if shown:
        show(unshown, other_brand_id)
    row = {"brand_id": brand_id}
    assert unshown.execute(text("UPDATE brands SET name = 'x' WHERE brand_id = :brand_id"), row).rowcount == 0
    assert unshown.execute(text("DELETE FROM api_keys WHERE brand_id = :brand_id"), row).rowcount == 0
    eve = "INSERT INTO members (brand_id, member_id, external_user_id) VALUES (:brand_id, gen_random_uuid(), 'eve')"
    with pytest.raises(ProgrammingError, match="row-level security"), unshown.begin_nested():
        unshown.execute(text(eve), row)


def test_a_row_does_not_move_to_another_brand(unshown: Connection, brand_id: UUID, other_brand_id: UUID) -> None:
    """WITH CHECK holds for what a row becomes."""
    show(unshown, brand_id)
    with pytest.raises(ProgrammingError, match="row-level security"):
        unshown.execute(text("UPDATE api_keys SET brand_id = :other"), {"other": other_brand_id})


def test_psql_is_bound_too(engine: Engine, brand_id: UUID) -> None:
    """Not only our own code: the role itself. A superuser's psql is the way past it."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        bypasses = connection.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert bypasses is not None
        if bypasses[0]:
            connection.execute("SET ROLE issuance_processes")
        assert connection.execute("SELECT count(*) FROM brands").fetchone() == (0,)


def test_law_10_finds_what_is_open(fresh_database: Callable[[], str]) -> None:
    """Silent on a database that keeps brands apart. It names a table that does not, and each brand that is seen."""
    engine = engine_for(fresh_database())
    with transaction(engine) as connection:
        ours, theirs = (brands.create(connection, name=name, timezone="UTC", sandbox=True)[0] for name in "ab")

    def offenders() -> list[dict[str, object]]:
        with engine.connect() as connection:
            return [offender for batch in apart.ask(connection, ours) for offender in batch]

    def alter(statement: str) -> None:
        with transaction(engine) as connection:
            connection.execute(text(statement))

    assert offenders() == []
    open_table = {"wrong": "no forced row-level security", "table": "brands"}
    alter("ALTER TABLE brands NO FORCE ROW LEVEL SECURITY")
    assert open_table in offenders()
    alter("ALTER TABLE brands DISABLE ROW LEVEL SECURITY")
    assert offenders() == [open_table, {"wrong": "sees another brand", "sees": theirs}]
    engine.dispose()
