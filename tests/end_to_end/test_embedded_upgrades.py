"""`./run` on a home that an older version made: its database is upgraded, and a copy is kept until all has worked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from issuance.database import schema
from issuance.database.revisions import MIGRATIONS
from issuance.embedded import majors
from issuance.embedded.postgres import Postgres
from issuance.embedded.server import ServerError
from issuance.embedded.servers import Servers
from issuance.embedded.up import prepare_database
from tests.end_to_end.test_embedded_servers import query

pytestmark = pytest.mark.usefixtures("no_servers_given")


@pytest.fixture
def servers(home: Path, no_servers_given: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """The servers of a home, running, as the processes find them."""
    servers = Servers(home, ours=True, durable=False)
    servers.start()
    for name, address in servers.addresses().items():
        monkeypatch.setenv(name, address)
    yield servers
    servers.stop()


@pytest.fixture
def postgres(servers: Servers) -> Postgres:
    assert servers.postgres is not None
    return servers.postgres


def url(postgres: Postgres) -> str:
    return postgres.url.replace("postgresql://", "postgresql+psycopg://")


def test_the_database_of_0_1_0_is_upgraded(servers: Servers, postgres: Postgres) -> None:
    """It comes to the newest schema, its rows stay, and what was there can be put back until everything has worked."""
    query(postgres, (MIGRATIONS / "base.sql").read_text())
    query(postgres, "SET issuance.brand_id = '*'; INSERT INTO brands VALUES (gen_random_uuid(), 'Spa', 'UTC', 'live')")
    prepare_database(servers)
    assert schema.diff(url(postgres)) == []
    query(postgres, "DELETE FROM brands")
    postgres.stop()

    postgres.folder, newest = postgres.before, postgres.folder
    postgres.start()
    was_there = "SELECT count(*) FROM pg_class WHERE relname IN ('brands', 'alembic_version')"
    assert query(postgres, was_there) == [(1,)], "what was there knows nothing of the upgrade"
    postgres.stop()

    postgres.folder = newest
    majors.forget(postgres)
    assert not postgres.before.exists()
    postgres.start()
    prepare_database(servers)
    assert not postgres.before.exists(), "what is new is not copied"


def test_an_upgrade_that_fails_says_where_the_copy_is(servers: Servers, postgres: Postgres) -> None:
    """And the next start does not take its copy of what was upgraded by half."""
    query(postgres, (MIGRATIONS / "base.sql").read_text())
    query(postgres, "ALTER TABLE members DROP COLUMN tier")
    with pytest.raises(ServerError, match=rf"not those of 0\.1\.0: .* is in {postgres.before}\)"):
        prepare_database(servers)
    made = postgres.before.stat().st_ino
    with pytest.raises(ServerError):
        prepare_database(servers)
    assert postgres.before.stat().st_ino == made


def test_a_new_home_is_given_the_newest_schema(servers: Servers, postgres: Postgres) -> None:
    """Without a copy of nothing."""
    prepare_database(servers)
    assert schema.status(url(postgres)).newest
    assert not postgres.before.exists()
