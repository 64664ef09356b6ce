"""Connections of strangers: how many a source may have open, and how long each may take (docs/security.md).

A server's usual place for this is a proxy in front of it; without one, the web process holds to it by itself.
"""

import asyncio
from collections import Counter
from ipaddress import ip_address, ip_network
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from issuance.log import logger
from issuance.settings import OwnSettings
from issuance.tenancy.rates import source_of

#: Seconds within which a request's headers must have come, from the connection or from the answer before on.
HEADER_SECONDS = 10.0
#: Seconds for which a receiver may take nothing of its answer.
ANSWER_SECONDS = 30.0

_REFUSAL = (
    b'{"error":{"code":"too_many_connections","message":"This address has too many connections open: at most %d."}}'
)
_HEAD = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Content-Length: %d\r\n\r\n"
)


class Sources:
    """How many connections each source has open. Trusted proxies, which speak for many, are not counted."""

    def __init__(self, most: int, proxies: list[str]) -> None:
        self.most = most
        self._proxies = [ip_network(proxy) for proxy in proxies]
        self._open: Counter[str] = Counter()

    def enter(self, host: str | None) -> str | None:
        """Count one more connection; the name that it is counted under, "" if it is not. None: there are too many."""
        source = source_of(host)
        if source is None or any(ip_address(host or "") in proxy for proxy in self._proxies):
            return ""
        if self._open[source] >= self.most:
            return None
        self._open[source] += 1
        return source

    def leave(self, source: str) -> None:
        """Count one less."""
        self._open[source] -= 1
        if self._open[source] <= 0:
            del self._open[source]


def protocol_for(settings: OwnSettings) -> type[H11Protocol]:
    """uvicorn's protocol with limits: on a source's connections, and on the time of headers and of answers."""
    sources = Sources(settings.connections_a_source, settings.proxies)

    class Limited(H11Protocol):
        _source: str | None = ""
        _waits: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._source = sources.enter(self.client[0] if self.client else None)
            if self._source is None:
                logger.warning("too_many_connections", most=sources.most)
                body = _REFUSAL % sources.most
                transport.write(_HEAD % len(body) + body)
                transport.close()
            else:
                self._wait_for_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._waits, self._stuck):
                if timer is not None:
                    timer.cancel()
            if self._source:
                sources.leave(self._source)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._source is None:
                return
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self._wait_for_headers()
            elif self._waits is not None:
                self._waits.cancel()
                self._waits = None

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stuck = self._stuck or self.loop.call_later(ANSWER_SECONDS, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._stuck is not None:
                self._stuck.cancel()
                self._stuck = None

        def _wait_for_headers(self) -> None:
            # Not begun anew with each byte, or a stranger could drip them for ever.
            self._waits = self._waits or self.loop.call_later(HEADER_SECONDS, self._give_up)

        def _give_up(self) -> None:
            self._waits = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.abort()

    return Limited


def options(settings: OwnSettings) -> dict[str, Any]:
    """What uvicorn is told, so that these limits hold and a stranger can not say from where they call."""
    return {
        "http": protocol_for(settings),
        "proxy_headers": bool(settings.proxies),
        "forwarded_allow_ips": settings.proxies,
        "ws": "none",
    }
