"""A share of the campaign with several hosts; all of it is `./run python -m campaigns.hosts`."""

from pathlib import Path

import pytest

from campaigns.hosts.network import missing
from campaigns.hosts.play import Case, play

LACKING = missing()
pytestmark = pytest.mark.skipif(LACKING is not None, reason=f"there are no several hosts here: {LACKING}")


def test_hosts_that_are_cut_apart_and_have_wrong_clocks_cost_nothing_but_time(tmp_path: Path) -> None:
    """The workers are cut off as midnight comes, and the other host, which goes on for them, is ten minutes ahead."""
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    account = play(tmp_path, Case("workers", 600, lasting=60.0, lead=25.0))
    assert account.wrong == []
    assert account.taken > 0
    assert account.pause < 60
