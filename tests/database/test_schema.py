"""schema.sql is the only DDL: the live database and `tables` have what it says.

Work on the schema goes past a pooler.
"""

from collections.abc import Callable

from sqlalchemy import Engine, text

from issuance.database import schema
from issuance.database.connections import engine_for, transaction

_COLUMNS = text("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()")


def test_tables_and_database_are_those_of_schema_sql(database_url: str, direct: Callable[[str], str]) -> None:
    """Nothing has drifted: not a column, a type, a constraint or an index."""
    assert schema.diff(direct(database_url)) == []


def test_applying_again_changes_nothing(database_url: str, direct: Callable[[str], str]) -> None:
    """Applying is idempotent."""
    schema.apply(direct(database_url))
    assert schema.diff(direct(database_url)) == []


def test_members_alone_have_the_id_that_the_brand_gave(engine: Engine) -> None:
    """Every other table knows people by Issuance's own id, and names it alike."""
    with engine.connect() as connection:
        columns = {(row.table_name, row.column_name) for row in connection.execute(_COLUMNS)}
    assert {table for table, column in columns if "external" in column} == {"members"}
    assert {table for table, column in columns if column == "member_id"} == {
        "erased_names",
        "guests",
        "ledger_entries",
        "members",
        "memberships",
        "redemptions",
        "transfers",
        "wallets",
    }


def test_drift_is_named(fresh_database: Callable[[], str], direct: Callable[[str], str]) -> None:
    """What differs is said, one line each."""
    url = direct(fresh_database())
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
