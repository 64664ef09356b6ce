"""Limits of the product (`issuance.limits`) that a test makes smaller or longer than they are."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from campaigns.limited import limited
from tests.waiting import PATIENCE_SECONDS

#: Puts other limits in place of some of a room's, until the test ends: `limit("settling", batch=5)`.
Limit = Callable[..., None]


@pytest.fixture
def limit() -> Iterator[Limit]:
    with ExitStack() as stack:

        def others(room: str, **numbers: object) -> None:
            stack.enter_context(limited(room, **numbers))

        yield others


def count_at_leisure(limit: Limit, window: int = 10**7) -> None:
    """Rates are counted the same on any machine: no window ends, and a broker that answers slowly is waited for. Else
    what is asked meanwhile is not counted."""
    limit("callers", window=window, day=window, patience=PATIENCE_SECONDS)
