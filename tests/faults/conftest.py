"""One site for all faults: it must live through each of them."""

import os
from collections.abc import Callable, Iterator

import pytest

from issuance.settings import Settings
from tests.faults.club import Club, new_club
from tests.faults.site import Site, running_site
from tests.serving import empty_redis


@pytest.fixture(scope="module")
def site(
    given: Settings, fresh_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with (
        empty_redis(given.redis_url) as redis_url,
        running_site(fresh_database(), redis_url, tmp_path_factory.mktemp("site") / "log") as site,
    ):
        yield site


@pytest.fixture
def club(site: Site) -> Iterator[Club]:
    """A brand on the site with a monthly rule, its clock at noon on 31 January 2031."""
    with new_club(site) as club:
        yield club


@pytest.fixture
def size() -> int:
    """How many memberships; `python -m tests.faults --members N` says."""
    return int(os.environ.get("ISSUANCE_TEST_MEMBERS", "3000"))
