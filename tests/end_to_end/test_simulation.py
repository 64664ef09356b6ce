"""Histories in a simulated world end as the oracle says: so many of a seed, and those that once did not."""

from __future__ import annotations

import os
import subprocess
import sys

from issuance.settings import Settings
from tests.end_to_end.simulated import Campaign
from tests.serving import REPO


def test_histories_that_failed_once_end_as_the_oracle_says(given: Settings) -> None:
    """Each showed a fault, and is kept (campaigns/simulation/kept) so that the fault does not come back. Past a pooler:
    the simulation's own driver prepares its statements."""
    environment = {**os.environ, "DATABASE_URL": given.schema_url}
    command = [sys.executable, "-m", "campaigns.simulation", "--kept"]
    told = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_random_histories_end_as_the_oracle_says(given: Settings, campaign: Campaign) -> None:
    """Whatever dies, fails, is lost, doubled or late: the credits are those that SEMANTICS says, and the laws hold."""
    code, said = campaign.end()
    assert code == 0, said
