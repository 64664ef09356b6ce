"""schema.sql is the only DDL: the live database and `tables` have what it says."""

from collections.abc import Callable

from sqlalchemy import text

from issuance.database import schema
from issuance.database.connections import engine_for, transaction


def test_tables_and_database_are_those_of_schema_sql(database_url: str) -> None:
    """Nothing has drifted: not a column, a type, a constraint or an index."""
    assert schema.diff(database_url) == []


def test_applying_again_changes_nothing(database_url: str) -> None:
    """Applying is idempotent."""
    schema.apply(database_url)
    assert schema.diff(database_url) == []


def test_drift_is_named(fresh_database: Callable[[], str]) -> None:
    """What differs is said, one line each."""
    url = fresh_database()
    with transaction(engine_for(url)) as connection:
        connection.execute(text("ALTER TABLE members DROP COLUMN tier"))
        connection.execute(text("ALTER TABLE brands ALTER name DROP NOT NULL"))
        connection.execute(text("ALTER TABLE credits DROP CONSTRAINT credits_expire_after_valid"))
        connection.execute(text("CREATE INDEX credits_by_status ON credits (brand_id, expired_at)"))
    assert schema.diff(url) == [
        "column members.tier: the database does not have it",
        "constraint credits_expire_after_valid on credits: the database does not have it",
        "index credits_by_status on credits: schema.sql does not have it",
        "column brands.name: the database has (text), schema.sql has (text NOT NULL)",
    ]
    engine_for(url).dispose()
