"""The random histories play beside the other tests, which mostly wait: for processes, for clocks, for each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from tests.serving import REPO

#: A share of the campaign: `./run simulate --seeds 1000` plays more.
SEEDS = os.environ.get("ISSUANCE_SIMULATION_SEEDS", "120")
START = os.environ.get("ISSUANCE_SIMULATION_START", "0")
_PLAYS = "test_random_histories_end_as_the_oracle_says"


class Campaign:
    """Random histories in processes of their own, which let others go first."""

    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the campaign
        command = ["nice", "-n", "10", sys.executable, "-m", "campaigns.simulation", "--seeds", SEEDS, "--seed", START]
        # Past a pooler: the simulation's own driver prepares its statements.
        past = os.environ.get("DATABASE_DIRECT_URL") or os.environ["DATABASE_URL"]
        self._playing = subprocess.Popen(
            command,
            cwd=REPO,
            env={**os.environ, "DATABASE_URL": past},
            stdout=self._said,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def end(self) -> tuple[int, str]:
        """Waits for it; how it ended, and what it said."""
        code = self._playing.wait()
        self._said.seek(0)
        return code, self._said.read()

    def close(self) -> None:
        """Ends it, done or not: its databases are dropped."""
        if self._playing.poll() is None:
            os.killpg(self._playing.pid, signal.SIGINT)
            self._playing.wait()
        self._said.close()


_campaign = pytest.StashKey[Campaign]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.name == _PLAYS)  # asked how it ended when all others are through


def pytest_collection_finish(session: pytest.Session) -> None:
    chosen = any(item.name == _PLAYS for item in session.items)
    # Without a server there are no tests at all; `given` says so.
    if chosen and not session.config.option.collectonly and "DATABASE_URL" in os.environ:
        session.stash[_campaign] = Campaign()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _campaign in session.stash:
        session.stash[_campaign].close()


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Campaign:
    return request.session.stash[_campaign]
