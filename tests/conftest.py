"""Real servers for the tests: databases of their own on DATABASE_URL's server, and an empty number of REDIS_URL's.

`./test` and `./run pytest` set both. What was on the servers before is never touched; what the tests made is dropped.
With `--pooler` every test reaches PostgreSQL through PgBouncer, but for those that ask for the address past it
(`direct`) and say why.
"""

import os
import secrets
from collections.abc import Callable, Iterator

import psycopg
import pytest
from dramatiq.brokers.stub import StubBroker
from hypothesis import HealthCheck, settings
from psycopg import sql
from sqlalchemy import make_url

from campaigns.databases import drop_database
from campaigns.pooler.pgbouncer import pgbouncer
from issuance import hints
from issuance.addresses import libpq_url
from issuance.database import outages, schema
from issuance.errors import SettingsError
from issuance.settings import Settings, read
from issuance.tenancy import rates
from tests.limits import limit
from tests.serving import MARK, empty_redis, server

__all__ = ["limit", "server"]

# How long an example takes, and how many had to be drawn for it, says nothing of the product: no law is a timed test.
_LUCK = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
settings.register_profile("laws", deadline=None, suppress_health_check=_LUCK)
settings.load_profile("laws")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pooler", action="store_true", help="reach PostgreSQL through PgBouncer in transaction mode")


def pytest_runtest_teardown() -> None:
    """What a process knows of outages goes with the test that made one: whoever was away is not asked for a while."""
    for outage in (hints.outage, rates.outage, outages.outage, outages.full):
        outage.is_over()


@pytest.fixture(scope="session")
def given(pytestconfig: pytest.Config) -> Iterator[Settings]:
    """The servers that the tests were given."""
    try:
        own = read(Settings)
    except SettingsError as error:
        pytest.exit(f"{error.message} (or through ./test)", returncode=2)
    # It leads to that one database, and tests have their own.
    os.environ.pop("DATABASE_DIRECT_URL", None)
    if not pytestconfig.getoption("pooler"):
        yield own
        return
    with pgbouncer(libpq_url(own.schema_url)) as (host, port):
        through = make_url(own.schema_url).set(host=host, port=port).render_as_string(hide_password=False)
        yield own.model_copy(update={"database_url": through, "database_direct_url": own.schema_url})


@pytest.fixture(scope="session")
def direct(given: Settings) -> Callable[[str], str]:
    """The address of a test's database past the pooler, where there is one: `direct(url)`."""
    server = make_url(given.schema_url)

    def past(url: str) -> str:
        return server.set(database=make_url(url).database).render_as_string(hide_password=False)

    return past


@pytest.fixture(scope="session")
def fresh_database(given: Settings, direct: Callable[[str], str]) -> Iterator[Callable[[], str]]:
    """Makes databases that hold the schema and nothing else: `fresh_database()` is the address of a new one.

    Each is a copy of one template and takes a few hundredths of a second. All are dropped at the end of the session.
    """
    prefix = f"{MARK}_{secrets.token_hex(4)}"
    made: list[str] = []

    def create(name: str, template: str) -> str:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        made.append(name)
        return make_url(given.database_url).set(database=name).render_as_string(hide_password=False)

    def fresh() -> str:
        return create(f"{prefix}_{len(made)}", f"{prefix}_template")

    try:
        connection = psycopg.connect(libpq_url(given.schema_url), autocommit=True)
    except psycopg.OperationalError as error:
        pytest.exit(f"DATABASE_URL can not be used: {str(error).splitlines()[0]}", returncode=2)
    with connection:
        try:
            template = create(f"{prefix}_template", "template0")
        except psycopg.errors.InsufficientPrivilege:
            user = sql.Identifier(connection.info.user).as_string(connection)
            pytest.exit(f"the tests make databases of their own: ALTER ROLE {user} CREATEDB", returncode=2)
        schema.apply(direct(template))  # as all work on the schema; and a pooler would stay connected to the template
        yield fresh
        for name in reversed(made):
            drop_database(connection, name)


@pytest.fixture(scope="session")
def database_url(fresh_database: Callable[[], str]) -> str:
    """A database with the schema, shared by the session's tests."""
    return fresh_database()


@pytest.fixture(scope="session")
def redis_url(given: Settings) -> Iterator[str]:
    """An empty database number of the Redis server, shared by the session's tests."""
    with empty_redis(given.redis_url) as url:
        yield url


@pytest.fixture
def broker() -> Iterator[StubBroker]:
    """A queue in memory: what was hinted at can be counted."""
    broker = StubBroker(middleware=[])
    for queue in hints.QUEUES:
        broker.declare_queue(queue)
    yield broker
    broker.close()
