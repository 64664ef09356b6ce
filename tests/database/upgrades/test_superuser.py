"""Where DATABASE_URL is a superuser's, an ordinary role owns the tables, before and after an upgrade."""

from collections.abc import Iterator

import psycopg
import pytest

from issuance.database import schema
from issuance.database.connections import ORDINARY_ROLE
from issuance.database.revisions import MIGRATIONS
from issuance.database.schema.history import History
from issuance.embedded.postgres import Postgres
from issuance.errors import UpgradeRefused
from tests.database.upgrades.conftest import HISTORY, NEWEST, TICKETS, connect, fill


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL of its own: the one that tests are given has no superuser for them."""
    postgres = Postgres(tmp_path_factory.mktemp("superuser"), durable=False)
    postgres.start()
    yield postgres
    postgres.stop()


@pytest.fixture
def superuser(server: Postgres, request: pytest.FixtureRequest) -> str:
    """The address of a new database, as its superuser."""
    name = f"test_{request.node.name}"[:60]
    with psycopg.connect(server.admin_url(), autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    return server.admin_url(name).replace("postgresql://", "postgresql+psycopg://")


def owners(url: str) -> set[str]:
    with connect(url) as connection:
        return {
            owner
            for (owner,) in connection.execute(
                "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            )
        }


def test_what_0_1_0_made_for_a_superuser_is_upgraded(superuser: str) -> None:
    """Its tables belong to the ordinary role, and so does what the upgrade makes."""
    with connect(superuser) as connection:
        connection.execute((MIGRATIONS / "base.sql").read_bytes())
    schema.upgrade(superuser)
    assert schema.diff(superuser) == []
    assert owners(superuser) == {ORDINARY_ROLE}


def test_a_new_database_of_a_superuser_is_the_roles(superuser: str) -> None:
    """As `schema apply` makes it; and applying again changes nothing."""
    for _ in range(2):
        schema.apply(superuser)
        assert schema.diff(superuser) == []
        assert owners(superuser) == {ORDINARY_ROLE}


def test_every_kind_of_step_is_done_as_the_role(superuser: str) -> None:
    """The history of these tests, in a database whose tables belong to the role."""
    with connect(superuser) as connection:
        connection.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {ORDINARY_ROLE}".encode())
        connection.execute(f"SET ROLE {ORDINARY_ROLE}".encode())
        fill(connection, History(HISTORY))
    schema.upgrade(superuser, history=History(HISTORY))
    role = f"GRANT ALL ON SCHEMA issuance_wanted TO {ORDINARY_ROLE}; SET ROLE {ORDINARY_ROLE};"
    assert schema.diff(superuser, role + NEWEST) == []
    assert owners(superuser) == {ORDINARY_ROLE}
    with connect(superuser) as connection:
        assert connection.execute("SELECT count(shown_as) FROM tickets").fetchone() == (TICKETS,)


def test_the_tables_of_somebody_else_are_left_to_him(server: Postgres, superuser: str) -> None:
    """Where the user of DATABASE_URL does not own the tables, it is said whose they are."""
    schema.apply(superuser)
    with connect(superuser) as connection:
        connection.execute("GRANT ALL ON SCHEMA public TO issuance")
        connection.execute("GRANT SELECT ON alembic_version, schema_steps TO issuance")
        database = connection.info.dbname
    ordinary = server.url.replace("postgresql://", "postgresql+psycopg://").removesuffix("/issuance") + f"/{database}"
    with pytest.raises(UpgradeRefused, match=f"Tables belong to {ORDINARY_ROLE}: run it with a DATABASE_URL of that"):
        schema.upgrade(ordinary)
