"""Connections are kept, and one that broke meanwhile is nobody's failure."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from issuance.database import connections as database
from issuance.database.connections import engine_for, transaction


@pytest.fixture
def own(engine: Engine) -> Iterator[Engine]:
    """An engine whose connections are the test's."""
    own = engine_for.__wrapped__(engine.url.render_as_string(hide_password=False))
    yield own
    own.dispose()


def backend(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


@pytest.mark.parametrize("trusted", [0.0, 3600.0])
def test_a_connection_that_was_ended_is_made_anew(
    own: Engine, engine: Engine, trusted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trusted or not: its server said that it ends, and was heard before the work began."""
    monkeypatch.setattr(database, "TRUSTED", trusted)
    ended = backend(own)
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": ended})
    assert backend(own) != ended


def test_one_that_was_good_a_moment_ago_is_not_asked(own: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look whether a server still answers is a round trip: it is for connections that have lain idle."""
    asked: list[object] = []
    monkeypatch.setattr(own.dialect, "do_ping", asked.append)
    monkeypatch.setattr(database, "TRUSTED", 3600.0)
    first = backend(own)
    assert backend(own) == first
    assert asked == []
    monkeypatch.setattr(database, "TRUSTED", 0.0)
    assert backend(own) == first
    assert len(asked) == 1
