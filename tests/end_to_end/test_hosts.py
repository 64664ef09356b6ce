"""A share of the campaign with several hosts; all of it is `./run python -m campaigns.hosts`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from campaigns.hosts.network import missing
from campaigns.hosts.play import Case, play

LACKING = missing()
pytestmark = pytest.mark.skipif(LACKING is not None, reason=f"there are no several hosts here: {LACKING}")


def test_hosts_that_are_cut_apart_and_have_wrong_clocks_cost_nothing_but_time() -> None:
    """The workers are cut off as midnight comes, and the other host, which goes on for them, is ten minutes ahead."""
    # PostgreSQL's user reads the clock; pytest closes its own folder to others each time that another pytest begins.
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        account = play(Path(folder), Case("workers", 600, lasting=60.0, lead=25.0))
    assert account.wrong == []
    assert account.taken > 0
    assert account.pause < 60
