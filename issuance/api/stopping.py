"""How a web process ends: it answers requests that it has begun, refuses the others, and leaves no open connection
without an answer.

From SIGTERM on its port takes nothing new. For `last_words` (`limits.Doors`), requests on open connections are answered
as usual, with `Connection: close`; then they are refused with 503, as JSON. Requests that are half sent after
`half_sent` are cut off, and those without an answer after `grace` are refused too.
"""

import asyncio
from collections.abc import Callable
from socket import socket
from typing import Any, cast

import uvicorn

from issuance import limits
from issuance.api.problems import Unavailable

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
        self._cut_at = asyncio.get_running_loop().time() + limits.current.doors.half_sent
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
        config.timeout_graceful_shutdown = round(limits.current.doors.last_words)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._is_ready()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        began, bounds = loop.time(), limits.current.doors
        self._state.begin()
        await self._close_doors(sockets or [])
        for connection in self._connections():
            connection.end_soon()
        while self._connections() and loop.time() - began < bounds.last_words:
            await asyncio.sleep(_LOOKS)
        self._state.refuses = True
        while self.server_state.tasks and loop.time() - began < bounds.grace - bounds.last_words:
            await asyncio.sleep(_LOOKS)
            if loop.time() - began > bounds.half_sent:
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
