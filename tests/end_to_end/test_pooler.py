"""Through PgBouncer in transaction mode everything works as on the server itself, and nobody has to say so."""

import sys
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import make_url

from campaigns.pooler.pgbouncer import PROGRAM, pgbouncer
from issuance.addresses import libpq_url
from issuance.database.connections import engine_for, is_pooled, transaction
from issuance.settings import Settings
from tests.end_to_end.client import Client
from tests.logs import complaints
from tests.serving import Server, empty_redis, running

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer here: apt-get install pgbouncer")


@pytest.fixture(scope="module")
def pooled(
    given: Settings,
    fresh_database: Callable[[], str],
    direct: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """The processes of a small host, whose every word to PostgreSQL goes through the pooler."""
    log = tmp_path_factory.mktemp("pooler") / "log"
    url = direct(fresh_database())
    serve = [sys.executable, "-c", "from issuance.cli.main import main; main()", "serve", "--small"]
    # One session for each process would hide what does not last: with three they change hands all the time.
    with pgbouncer(libpq_url(url), pool=3) as (host, port), empty_redis(given.redis_url) as redis_url:
        through = make_url(url).set(host=host, port=port).render_as_string(hide_password=False)
        with running([serve], url, redis_url, log, through=through) as server:
            engine = engine_for(through)
            with transaction(engine) as connection:
                assert is_pooled(connection)
            engine.dispose()
            yield server


def test_members_get_their_credits_through_a_pooler(pooled: Server) -> None:
    """Keys are found, more sign-ups come in than statements are repeated before they are prepared, events become
    credits, months pass, and no process complains."""
    made = pooled.new_brand("Europe/Berlin")
    with pooled.client(made.key) as http:
        brand = Client(http)
        brand.rule(issue_on_signup=True)
        for number in range(25):
            brand.member(external_user_id=f"member {number}")
        brand.until("2031-03-02T00:00:00Z")
        assert len(brand.data("/customers/credits", per_page=100)) == 25
    assert complaints(pooled.log) == []


def test_brands_are_kept_apart_through_a_pooler(pooled: Server) -> None:
    """What a session was shown by one transaction, the next one on it does not see."""
    brands = [pooled.new_brand(), pooled.new_brand()]
    with pooled.client(brands[0].key) as one, pooled.client(brands[1].key) as other:
        mine, its = Client(one), Client(other)
        for _ in range(10):
            assert [kind["id"] for kind in mine.data("/customers/membership-types")] == [mine.type_id]
            assert [kind["id"] for kind in its.data("/customers/membership-types")] == [its.type_id]
