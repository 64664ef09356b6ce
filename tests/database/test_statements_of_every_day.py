"""Statements that go to psycopg directly say what SQLAlchemy's say, and fail as they do."""

import pytest
from sqlalchemy import Connection, Engine, Text, bindparam, event, literal, select, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from issuance.database import transaction
from issuance.database.statements import Statement, driver_of


def test_what_a_statement_brings_along_stands_in_it(connection: Connection) -> None:
    """Whatever it is; parameters come from whoever executes it."""
    odd = 'it\'s 100 %(s)s %s :x \\ "ü"'
    statement = Statement(select(literal(odd, Text).label("odd"), bindparam("given", type_=Text).label("given")))
    assert statement.rows(connection, {"given": odd}) == [{"odd": odd, "given": odd}]


def test_a_statement_is_asked_for_what_is_wanted(connection: Connection) -> None:
    """Its rows by name or by attribute, its only column, or how many rows it wrote. Whoever listens hears of each."""
    heard: list[str] = []

    def listen(connection: object, clauseelement: object, *_: object) -> None:
        heard.append(str(clauseelement))

    event.listen(connection, "before_execute", listen)
    two = Statement("SELECT n AS one, n * :by AS other FROM generate_series(1, 2) n")
    assert two.rows(connection, {"by": 2}) == [{"one": 1, "other": 2}, {"one": 2, "other": 4}]
    assert [(row.one, row.other) for row in two.found(connection, {"by": 3})] == [(1, 3), (2, 6)]
    assert Statement("SELECT generate_series(1, :last)").column(connection, {"last": 3}) == [1, 2, 3]
    connection.execute(text("CREATE TEMPORARY TABLE three ON COMMIT DROP AS SELECT generate_series(1, 3) AS n"))
    assert Statement("DELETE FROM three WHERE n > :n").written(connection, {"n": 1}) == 2
    assert len(heard) == 5


def test_errors_are_those_of_sqlalchemy(connection: Connection) -> None:
    """So that whoever catches those catches these; without parameters, which may be secrets."""
    failing = Statement("SELECT CAST('a secret' || CAST(clock_timestamp() AS text) AS integer)")
    with pytest.raises(DataError) as said, connection.begin_nested():
        failing.rows(connection, {})
    assert "[parameters" not in str(said.value)
    with pytest.raises(IntegrityError), connection.begin_nested():
        Statement("INSERT INTO brands (brand_id, name) VALUES (gen_random_uuid(), NULL)").rows(connection, {})


def test_a_connection_that_is_gone_is_used_no_more(engine: Engine) -> None:
    """The error says that PostgreSQL is away, and the next transaction has another connection."""
    one = Statement("SELECT pg_backend_pid() AS pid")
    pids: list[int] = []

    def end_itself() -> None:
        with transaction(engine) as connection:
            pids.append(one.rows(connection, {})[0]["pid"])
            with transaction(engine) as other:
                assert one.rows(other, {})[0]["pid"] != pids[0]
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pids[0]})
            one.rows(connection, {})

    with pytest.raises(OperationalError):
        end_itself()
    with transaction(engine) as connection:
        assert one.rows(connection, {})[0]["pid"] != pids[0]
        assert not driver_of(connection).closed
