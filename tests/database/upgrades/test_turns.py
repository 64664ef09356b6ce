"""Work on a schema is done in a session of its own, one at a time; a pooler's sessions are others' too."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from sqlalchemy import make_url

from campaigns.pooler.pgbouncer import PROGRAM, pgbouncer
from issuance.addresses import libpq_url
from issuance.settings import Settings
from tests.database.cli import Cli, cli
from tests.database.upgrades.conftest import connect

__all__ = ["cli"]

LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
OF_HERE = "(SELECT oid FROM pg_database WHERE datname = current_database())"


@pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer here: apt-get install pgbouncer")
def test_a_pooler_is_refused_and_nothing_of_it_stays(
    cli: Cli,
    given: Settings,
    empty_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line names DATABASE_DIRECT_URL, as often as it is tried; the next upgrade past the pooler finds no lock."""
    url = empty_database()
    with pgbouncer(libpq_url(given.schema_url), pool=1) as (host, port), connect(url) as direct:
        through = make_url(url).set(host=host, port=port).render_as_string(hide_password=False)
        monkeypatch.setenv("DATABASE_URL", through)
        monkeypatch.delenv("DATABASE_DIRECT_URL", raising=False)
        for command in ("upgrade", "upgrade", "apply", "diff"):
            refused = cli("schema", command)
            assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
            assert "set DATABASE_DIRECT_URL to " in refused.err
        assert direct.execute(f"{LOCKS}{OF_HERE}").fetchone() == (0,)
        with connect(through) as after:
            brand = after.execute("SELECT current_setting('issuance.brand_id', true)", prepare=False).fetchone()
            assert brand in [(None,), ("",)], "nobody else's session sees all brands"
        monkeypatch.setenv("DATABASE_DIRECT_URL", url)
        assert cli("schema", "upgrade").out.startswith("The database has the newest schema")


def test_who_waits_for_its_turn_says_for_whom(
    cli: Cli, empty_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of the log names the holder as PostgreSQL knows it; it goes on when that one has ended."""
    said: list[tuple[str, str]] = []
    log = SimpleNamespace(warning=lambda event, holder: said.append((event, holder)))
    monkeypatch.setattr("issuance.database.schema.sessions.logger", log)
    url = empty_database()
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("DATABASE_DIRECT_URL", raising=False)
    with connect(url, name="issuance schema") as other:
        other.execute("SELECT pg_advisory_lock(hashtext('issuance schema'))")
        process = other.info.backend_pid
        monkeypatch.setattr("issuance.database.schema.sessions.time.sleep", lambda _: other.close())
        ran = cli("schema", "upgrade")
    assert ran.out.startswith("The database has the newest schema")
    ((event, holder),) = said
    assert event == "waits_for_others_work_on_the_schema"
    assert f"issuance schema (process {process} from " in holder
