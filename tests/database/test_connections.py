"""Connections are kept, and one that broke meanwhile is nobody's failure. Past a pooler, where there is one: behind it
each transaction may have another of the server's backends."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, make_url, text

from issuance.database import schema
from issuance.database.connections import SILENCE, engine_for, is_pooled, transaction


@pytest.fixture
def url(database_url: str, direct: Callable[[str], str]) -> str:
    return direct(database_url)


@pytest.fixture
def new_engine(url: str) -> Iterator[Callable[[float], Engine]]:
    """Makes engines with connections of their own: `new_engine(trusted)`."""
    made: list[Engine] = []

    def new(trusted: float) -> Engine:
        made.append(engine_for.__wrapped__(url, trusted))
        return made[-1]

    yield new
    for own in made:
        own.dispose()


def backend(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


@pytest.mark.parametrize("trusted", [0.0, 3600.0])
def test_a_connection_that_was_ended_is_made_anew(
    new_engine: Callable[[float], Engine], engine: Engine, trusted: float
) -> None:
    """Trusted or not: its server said that it ends, and was heard before the work began."""
    own = new_engine(trusted)
    ended = backend(own)
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": ended})
    assert backend(own) != ended


@pytest.mark.parametrize(("trusted", "times"), [(3600.0, 0), (0.0, 1)])
def test_only_a_connection_that_has_lain_idle_is_asked_whether_it_is_good(
    new_engine: Callable[[float], Engine], monkeypatch: pytest.MonkeyPatch, trusted: float, times: int
) -> None:
    """To ask is a round trip, as long as a statement's."""
    own = new_engine(trusted)
    asked: list[object] = []
    monkeypatch.setattr(own.dialect, "do_ping", asked.append)
    first = backend(own)
    asked.clear()
    assert backend(own) == first
    assert len(asked) == times


def test_a_host_may_be_silent_for_so_long(url: str) -> None:
    """Where the address does not say how long: one that is gone without a word is noticed in seconds."""
    own = engine_for.__wrapped__(f"{url}?connect_timeout=3")
    with own.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        said = driver.info.get_parameters()
    own.dispose()
    assert said["connect_timeout"] == "3"
    assert {name: said[name] for name in SILENCE.keys() - {"connect_timeout"}} == {
        name: str(value) for name, value in SILENCE.items() if name != "connect_timeout"
    }


@pytest.mark.parametrize("form", ["{scheme}{who}@127.0.0.1:1,{host}/{name}?target_session_attrs=read-write", "{words}"])
def test_an_address_is_read_as_libpq_reads_it(url: str, form: str) -> None:
    """Several hosts, of which the first is away, and words: for processes, and for work on the schema."""
    own = make_url(url)
    words = f"host={own.host} port={own.port} user={own.username} password={own.password} dbname={own.database}"
    named = {"who": f"{own.username}:{own.password}", "host": f"{own.host}:{own.port}", "name": own.database}
    address = form.format(scheme="postgresql+psycopg://", words=words, **named)
    made = engine_for.__wrapped__(address)
    assert backend(made) > 0
    made.dispose()
    assert schema.status(address).newest


def test_the_server_gives_up_a_silent_host_too(engine: Engine) -> None:
    """With its locks and its place among the connections: by itself it waits for two hours."""
    shown = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
    with transaction(engine) as connection:
        if is_pooled(connection):
            pytest.skip("sessions are the pooler's")
        assert [connection.scalar(text(f"SHOW {name}")) for name in shown] == ["10", "5", "4", "30000"]
