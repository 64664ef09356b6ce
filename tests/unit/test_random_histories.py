"""Random histories in memory: the credits that are decided are the oracle's."""

import pytest

from campaigns.model.decided import failure
from campaigns.model.histories import history, in_mode
from campaigns.model.shrink import account, shrink


@pytest.mark.parametrize("jump", [None, False, True])
@pytest.mark.parametrize("seed", [3, 5, 7, 11, 13, 17, 19, 23, 1019])
def test_what_is_decided_is_what_the_oracle_says(seed: int, jump: bool | None) -> None:
    """SEMANTICS 2 to 9 and 18, after every step: as drawn, while time passes, and with a clock that jumps."""
    whole = history(seed) if jump is None else in_mode(history(seed), jump=jump)
    mismatch = failure(whole)
    assert mismatch is None, account(*shrink(failure, whole, mismatch, 30))
