"""Where DATABASE_URL is a superuser's, an ordinary role owns the tables, before and after an upgrade."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text

from issuance.cli.diagnoses.findings import Finding
from issuance.cli.diagnoses.postgresql import of_postgresql
from issuance.database import schema
from issuance.database.connections import ORDINARY_ROLE, engine_for, transaction
from issuance.database.revisions import MIGRATIONS
from issuance.database.schema.history import History
from issuance.embedded.postgres import Postgres
from issuance.errors import RightMissing, UpgradeRefused
from issuance.settings import Settings
from tests.database.upgrades.conftest import HISTORY, NEWEST, TICKETS, connect, fill
from tests.rights import statements


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


def works_as(url: str) -> str:
    """The role that processes have at an address."""
    engine = engine_for(url)
    with transaction(engine) as working:
        role = str(working.scalar(text("SELECT current_user")))
    engine.dispose()
    return role


def restore_role(connection: psycopg.Connection[Any]) -> None:
    """Put back the role of ours that was called `another`: other databases of this server have it."""
    connection.execute("DROP OWNED BY issuance_processes")
    connection.execute("DROP ROLE issuance_processes")
    connection.execute("ALTER ROLE another RENAME TO issuance_processes")


def doctor(url: str) -> list[Finding]:
    """What `issuance doctor` finds about PostgreSQL."""
    return list(of_postgresql(Settings.model_validate({"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"})))


def found_of_rights(url: str) -> str:
    """What `issuance doctor` thinks of the user."""
    (found,) = [one for one in doctor(url) if "row-level security" in one.says]
    return found.state


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


@pytest.mark.parametrize("role", ["new", "there"])
def test_what_a_dump_brought_back_is_handed_over(server: Postgres, superuser: str, role: str) -> None:
    """It belongs to whoever brought it, and a new server has no role of ours: the upgrade makes what is missing, and
    the processes are bound again. Until then it is said what to do."""
    schema.apply(superuser)
    with connect(superuser) as connection:
        connection.execute("REASSIGN OWNED BY issuance_processes TO postgres")
        connection.execute("DROP OWNED BY issuance_processes")
        if role == "there":
            with pytest.raises(RightMissing, match=r"permission denied .* `issuance schema upgrade` hands them over"):
                schema.status(superuser)
        else:
            connection.execute("ALTER ROLE issuance_processes RENAME TO another")
    try:
        assert found_of_rights(superuser) == "wrong"
        schema.upgrade(superuser)
        assert found_of_rights(superuser) == "look"
        assert schema.diff(superuser) == []
        assert owners(superuser) == {ORDINARY_ROLE}
        assert works_as(superuser) == ORDINARY_ROLE
    finally:
        if role == "new":
            with connect(superuser) as connection:
                restore_role(connection)


def test_who_bypasses_row_level_security_and_is_no_superuser_has_the_role_too(server: Postgres, superuser: str) -> None:
    """As the usual user of some managed servers: it may make roles, and is made a member of the one that it made."""
    with connect(superuser) as connection:
        connection.execute("ALTER ROLE issuance_processes RENAME TO another")
        connection.execute("CREATE ROLE managed LOGIN BYPASSRLS CREATEROLE PASSWORD 'managed'")
        connection.execute(f"ALTER DATABASE {connection.info.dbname} OWNER TO managed".encode())
    url = make_url(superuser).set(username="managed", password="managed").render_as_string(hide_password=False)
    try:
        for _ in range(2):
            schema.upgrade(url)
            assert schema.diff(url) == []
            assert owners(url) == {ORDINARY_ROLE}
        assert works_as(url) == ORDINARY_ROLE
    finally:
        with connect(superuser) as connection:
            restore_role(connection)


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
    with pytest.raises(
        UpgradeRefused, match=f"Tables belong to {ORDINARY_ROLE}: run it with a DATABASE_URL .* of that"
    ):
        schema.upgrade(ordinary)


@pytest.fixture
def web(server: Postgres, superuser: str) -> Iterator[str]:
    """The address of a user who owns nothing, with the rights of docs/installing.md; the tables are the role's."""
    schema.apply(superuser)
    create, *grants = statements("web")
    with connect(superuser) as connection:
        connection.execute(create)
        for one in grants:
            connection.execute(one.replace(b"PRIVILEGES IN", b"PRIVILEGES FOR ROLE issuance_processes IN"))
    yield make_url(superuser).set(username="issuance_web", password="web").render_as_string(hide_password=False)
    with connect(superuser) as connection:
        connection.execute("DROP OWNED BY issuance_web")
        connection.execute("DROP ROLE issuance_web")


def test_what_later_versions_bring_is_within_reach_where_the_owner_is_free(superuser: str, web: str) -> None:
    """It is made by the role, not by the superuser, whose default rights say nothing of it."""
    with connect(superuser) as owner, connect(web) as theirs:
        owner.execute("SET ROLE issuance_processes")
        owner.execute("CREATE TABLE wishes (wish text)")
        theirs.execute("INSERT INTO wishes VALUES ('one')")


def wrong(url: str) -> list[Finding]:
    """What doctor finds wrong, but for what this server does for speed."""
    return [one for one in doctor(url) if one.state == "wrong" and one.about != "durability"]


def test_doctor_says_which_right_the_processes_lack(superuser: str, web: str) -> None:
    """All is well with those of the page; without one of them it is named."""
    with connect(superuser) as owner:
        assert wrong(web) == []
        owner.execute("REVOKE UPDATE, DELETE ON offers FROM issuance_web")
        owner.execute("REVOKE EXECUTE ON FUNCTION make_month(text, date) FROM issuance_web")
        owner.execute("REVOKE USAGE ON ALL SEQUENCES IN SCHEMA public FROM issuance_web")
        (found,) = wrong(web)
        for lacking in ("DELETE, UPDATE on offers", "EXECUTE on make_month", "USAGE on search_backlog_entry_id_seq"):
            assert lacking in found.says
        owner.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM issuance_web")
        rights, unknown = wrong(web)
        assert (rights.about, unknown.about) == ("rights", "schema")
        assert "alembic_version" in unknown.says
        owner.execute("REVOKE USAGE ON SCHEMA public FROM issuance_web, public")
        assert "USAGE on the schema public" in wrong(web)[0].says


def test_who_may_make_no_schema_is_told_that_right(superuser: str, web: str) -> None:
    """`schema diff` makes one beside the tables, to compare with."""
    with pytest.raises(RightMissing, match=r"GRANT CREATE ON DATABASE .* TO .issuance_web"):
        schema.diff(web)
