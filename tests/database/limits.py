"""Rate limits that count the same on any machine."""

import pytest

from issuance.tenancy import rates
from tests.waiting import PATIENCE_SECONDS


def count_at_leisure(monkeypatch: pytest.MonkeyPatch, window: int = 10**7) -> None:
    """No window ends, and a broker that answers slowly is waited for: else what is asked meanwhile is not counted."""
    monkeypatch.setattr(rates, "WINDOW", window)
    monkeypatch.setattr(rates, "_PATIENCE", PATIENCE_SECONDS)
