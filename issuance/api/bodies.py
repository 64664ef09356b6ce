"""Long bodies: only a few are in memory at once, each in a place of its own.

Requests with keys that were good before have places that brands share; all other requests have places that addresses
share. A request holds its place for at least a second. If its body has not come by then, the place goes to an owner who
waits and has fewer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Message, Receive

from issuance import limits
from issuance.errors import TooSlow
from issuance.tenancy.fairness import Fair
from issuance.tenancy.rates import Known

#: How many long bodies are in memory at once: of keys that were good before, and of everybody else.
of_keys, of_others = Fair(12), Fair(8)
#: Seconds between looks at who waits, when a request may lose its place.
LOOKS = 0.25


@asynccontextmanager
async def place(receive: Receive, known: Known | None, source: str | None) -> AsyncIterator[Receive]:
    """Wait for a place for a long body and hold it. Gives the function that receives the body's parts meanwhile; it
    raises TooSlow."""
    fair, owner = (of_keys, known.brand_id) if known is not None and known.is_key else (of_others, source)
    async with fair.place(owner):
        own_until = asyncio.get_running_loop().time() + limits.current.doors.place_seconds

        async def part() -> Message:
            while True:
                left = own_until - asyncio.get_running_loop().time()
                if left <= 0 and fair.is_wanted(owner):
                    raise TooSlow("The body came slowly while others waited to send theirs.")
                try:
                    async with asyncio.timeout(max(left, LOOKS)):
                        return await receive()
                except TimeoutError:
                    continue

        yield part
