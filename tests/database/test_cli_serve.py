"""`issuance serve`: which processes it runs. That they work together is played in `tests/end_to_end`."""

from collections.abc import Mapping

import pytest

from issuance.embedded.processes import Processes, Renewal
from tests.database.cli import Cli


@pytest.mark.parametrize("size", [[], ["--small"]])
def test_all_but_web_run_while_a_backup_is_brought_back(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, size: list[str]
) -> None:
    """What fell due is caught up with, and nobody redeems what the facts since then will take back."""
    told: list[tuple[Mapping[str, str], bool]] = []

    def run(self: Processes, *, renewal: Renewal | None = None) -> int:
        told.append((self._commands, renewal is not None))
        return 0

    monkeypatch.setattr(Processes, "run", run)
    assert cli("serve", *size).code == 0
    assert cli("serve", *size, "--without-web").code == 0
    (everything, renewed), (others, hangs_up) = told
    assert set(everything) - set(others) == {"web"}
    assert "scheduler" in others
    assert (renewed, hangs_up) == (True, False)
