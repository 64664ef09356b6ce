"""Moving a sandbox's clock waits for the workers, for minutes if need be. It has threads of its own, of which each
brand has a share, so that no other request waits for it."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import anyio
import anyio.to_thread

from issuance.errors import IssuanceError
from issuance.tenancy.shares import Shares

Moment = TypeVar("Moment")

#: The most calls that wait, of all brands and of one.
MOST, MOST_A_BRAND = 100, 10

_threads = anyio.CapacityLimiter(MOST)
_of_a_brand, _of_all = Shares(MOST_A_BRAND), Shares(MOST)


class MoveLimit(IssuanceError):
    """10 calls are moving this brand's clock already, or 100 all brands'. Try again when one of them is done."""

    code = "too_many_moves"
    status = 429


async def apart(brand_id: UUID, move: Callable[[], Moment]) -> Moment:
    """Call `move` in a thread that no other request needs, and return what it returns. Raises MoveLimit."""
    with _of_a_brand.of(brand_id) as ours, _of_all.of(None) as anyones:
        if not (ours and anyones):
            raise MoveLimit
        return await anyio.to_thread.run_sync(move, limiter=_threads)
