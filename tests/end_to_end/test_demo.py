"""The demo (INTERFACE 1): it plays to its end on a running server, and it notices when something is wrong."""

import os
import subprocess
import sys
from typing import Any

import pytest

from issuance.cli.demo.narrator import Narrator
from issuance.cli.demo.sandbox import DemoFailed, Sandbox
from issuance.cli.demo.story import Story
from tests.serving import Server


def test_the_demo_plays_to_its_end(server: Server, redis_url: str) -> None:
    """Four billing cycles issue, roll over, expire and use what was counted by hand; every law holds after it."""
    environment = {
        **os.environ,
        "DATABASE_URL": server.engine.url.render_as_string(hide_password=False),
        "REDIS_URL": redis_url,
        "ISSUANCE_PORT": server.url.rpartition(":")[2],
    }
    command = [sys.executable, "-m", "issuance.cli", "demo"]
    played = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert (played.returncode, played.stderr) == (0, "")
    assert "31 Jan, 28 Feb, 31 Mar, 30 Apr, 31 May" in played.stdout
    assert "Everything is as it must be" in played.stdout
    assert "broken" not in played.stdout


class Forgetful(Sandbox):
    """A server that has lost a credit."""

    def credits(self) -> dict[str, dict[str, Any]]:
        known = super().credits()
        lost = min(
            (credit["period_start"], credit["id"])
            for credit in known.values()
            if credit["guest"]["name"] == "Ben Bakker"
        )
        return {credit_id: credit for credit_id, credit in known.items() if credit_id != lost[1]}


def test_the_demo_notices_a_lost_credit(server: Server) -> None:
    """The demo is a test of the engine: a credit too few and it fails."""
    with pytest.raises(DemoFailed, match="January"):
        Story(Forgetful(server.url, server.new_brand("Europe/Lisbon").key), Narrator()).tell()


def test_the_demo_without_a_server_is_one_line(redis_url: str, database_url: str) -> None:
    """No server: one line that says what to do."""
    environment = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "ISSUANCE_PORT": "1"}
    command = [sys.executable, "-m", "issuance.cli", "demo"]
    played = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert (played.returncode, played.stdout) == (1, "")
    start = "issuance up (in the clone ./run), or issuance serve"
    assert played.stderr == f"issuance: No server answers at http://127.0.0.1:1. Start one: {start}\n"
