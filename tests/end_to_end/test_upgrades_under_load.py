"""A share of the campaign of upgrades (`./run python -m campaigns.upgrades`)."""

from collections.abc import Callable
from pathlib import Path

from campaigns.upgrades.campaign import Campaign


def test_two_versions_work_while_the_schema_is_upgraded(
    tmp_path: Path, fresh_database: Callable[[], str], redis_url: str
) -> None:
    """100,000 credits, an upgrade that is killed five times, old and new processes side by side, back by a version and
    on again: no request fails, nobody waits for the upgrade as long as it takes, and every law holds. That nobody waits
    longer than a second is for the campaign, on a machine that does nothing else."""
    campaign = Campaign(tmp_path, fresh_database(), redis_url, credits_=100_000, seconds=3, seed=1, say=print)
    found = campaign.run(kills=5)
    assert found.wrong(longest_wait=10.0) == []
    assert found.kills == 5
    assert found.requests > 500, "there was a load, or this shows nothing"
