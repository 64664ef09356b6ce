"""How a web process ends: it answers requests that it has begun, refuses the others, and leaves no open connection
without an answer.

From SIGTERM on its port takes nothing new. For LAST_WORDS, requests on open connections are answered as usual, with
`Connection: close`; then they are refused with 503, as JSON. Requests that are half sent after HALF_SENT are cut off,
and those without an answer after GRACE are refused too.
"""

import asyncio
from collections.abc import Callable
from socket import socket
from typing import Any, cast

import uvicorn

from issuance.api.problems import Unavailable

#: Seconds after SIGTERM until requests are refused, until half-sent ones are cut off, and until all others must have
#: ended.
LAST_WORDS, HALF_SENT, GRACE = 1.0, 2.0, 8.0
_LOOKS = 0.05


class Stopping(Unavailable):
    """This process is being stopped. Try again in a moment."""


class State:
    """Whether a process is being stopped, and the requests whose bodies it waits for."""

    def __init__(self) -> None:
        self.refuses = False
        self._cut_at: float | None = None
        self._reading: set[asyncio.Timeout] = set()

    def patience(self, seconds: float) -> "_Patience":
        """Allow the block so many seconds at most, and fewer once the process is told to stop. Raises TimeoutError, or
        Stopping."""
        return _Patience(self, seconds)

    def begin(self) -> None:
        """Note that the process was told to stop."""
        self._cut_at = asyncio.get_running_loop().time() + HALF_SENT
        for timeout in self._reading:
            self.bound(timeout)

    def bound(self, timeout: asyncio.Timeout) -> None:
        when = timeout.when()
        if self._cut_at is not None and when is not None and when > self._cut_at:
            timeout.reschedule(self._cut_at)

    def enter(self, timeout: asyncio.Timeout) -> None:
        self._reading.add(timeout)
        self.bound(timeout)

    def leave(self, timeout: asyncio.Timeout) -> bool:
        """Whether it was cut."""
        self._reading.discard(timeout)
        return self._cut_at is not None


class _Patience:
    def __init__(self, state: State, seconds: float) -> None:
        self._state = state
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._state.enter(self._timeout)

    async def __aexit__(self, *raised: Any) -> None:
        is_cut = self._state.leave(self._timeout)
        try:
            await self._timeout.__aexit__(*raised)
        except TimeoutError:
            if is_cut:
                raise Stopping from None
            raise


class Server(uvicorn.Server):
    """uvicorn's server, which also says when it is ready, and ends in order."""

    def __init__(self, config: uvicorn.Config, state: State, is_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._state = state
        self._is_ready = is_ready
        config.timeout_graceful_shutdown = round(LAST_WORDS)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._is_ready()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._state.begin()
        await self._close_doors(sockets or [])
        for connection in self._connections():
            connection.end_soon()
        while self._connections() and loop.time() - began < LAST_WORDS:
            await asyncio.sleep(_LOOKS)
        self._state.refuses = True
        while self.server_state.tasks and loop.time() - began < GRACE - LAST_WORDS:
            await asyncio.sleep(_LOOKS)
            if loop.time() - began > HALF_SENT:
                for connection in self._connections():
                    connection.cut()
        await super().shutdown(sockets)

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)

    async def _close_doors(self, sockets: list[socket]) -> None:
        """Take nothing new, except connections that the kernel has accepted already."""
        ours = [door.dup() for door in sockets]
        for server in self.servers:
            server.close()
        for door in sockets:
            door.close()
        for door in ours:
            door.setblocking(False)
            with door:
                while (let_in := _accept(door)) is not None:
                    await asyncio.get_running_loop().connect_accepted_socket(self._new_connection, let_in)

    def _new_connection(self) -> asyncio.Protocol:
        kind = cast(Any, self.config.http_protocol_class)
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _accept(door: socket) -> socket | None:
    try:
        return door.accept()[0]
    except OSError:
        return None
