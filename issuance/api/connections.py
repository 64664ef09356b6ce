"""Connections of strangers: how many a source may have open, and how long each one may take (docs/security.md).

Usually a proxy in front of a server does this; here the web process does it itself, for servers without one.
"""

import asyncio
from collections import deque
from typing import Any

from uuid_utils.compat import uuid7
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from issuance import limits
from issuance.api import problems
from issuance.api.headers import HEADERS
from issuance.api.sources import Counts, Sources, Untaken
from issuance.errors import HeadersTooLarge, IssuanceError, NoRequest, TooLarge, TooManyConnections
from issuance.log import Few, logger
from issuance.settings import OwnSettings

#: The most bytes of a request's headers: no more is kept while their end is awaited.
LONGEST_HEADERS = 64 * 1024
#: The most lines of headers, with those that follow a body.
MOST_HEADERS = 100
#: The most requests of a connection that wait for the one in work. Then the connection ends with the answer to the last
#: of them.
MOST_WAITING = 4

_HEAD = (
    b"Content-Type: application/json\r\nConnection: close\r\n"
    + b"".join(f"{name}: {value}\r\n".encode() for name, value in HEADERS.items())
    + b"X-Request-Id: %s\r\n%sContent-Length: %d\r\n\r\n"
)


_refusals, _too_many, _too_much = Few(), Few(), Few()


def _refusal(path: str, error: IssuanceError) -> bytes:
    """An answer to what is no request yet, in the form of every error."""
    request_id = str(uuid7())
    if (more := _refusals.next()) is not None:
        logger.info("refused_unread", status=error.status, code=error.code, request_id=request_id, **more)
    body = bytes(problems.answer(path, error.status, error.code, error.message).body)
    again = b"Retry-After: %d\r\n" % error.retry_after if error.status == 429 else b""
    return STATUS_LINE[error.status] + _HEAD % (request_id.encode(), again, len(body)) + body


class _EnoughError(Exception):
    """Ends the parser's work on the data that has come."""


class _Flow(FlowControl):
    """Reads nothing while requests wait or answers wait to be taken, and nothing after `end`."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting
        self._is_wanted = False
        self._is_over = False

    def end(self) -> None:
        """Read no more."""
        self._is_over = True
        self.pause_reading()

    def pause_reading(self) -> None:
        self._is_wanted = False
        super().pause_reading()

    def resume_reading(self) -> None:
        self._is_wanted = self._is_over or bool(self._waiting) or self.write_paused
        if not self._is_wanted:
            super().resume_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_wanted and not self._transport.is_closing():
            self.resume_reading()


def protocol_for(settings: OwnSettings, counts: Counts, process: int) -> type[HttpToolsProtocol]:
    """uvicorn's protocol with limits: on the connections of a source, on headers, on requests sent ahead, and on the
    time of headers and answers."""
    sources = Sources(settings.connections_a_source, settings.proxies, counts, process)
    untaken = Untaken()

    class Limited(HttpToolsProtocol):
        flow: _Flow
        url = b""
        _source: str | None = ""
        _waits: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None
        _ends_soon = False
        #: Whether headers have come whose body has not ended, and how many bytes of headers, or around a body, have
        #: come so far.
        _in_body = False
        _unended = 0
        #: How many lines the present request's headers have, and how many parts its body.
        _lines = _chunks = 0
        #: A request that begins once the answers before it are taken.
        _held: Any = None
        #: Whether nothing more is read: the requests that came before are answered, and the connection ends.
        _is_deaf = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.flow = _Flow(transport, self.pipeline)
            self._source = sources.enter(self.client[0] if self.client else None)
            if self._source is None:
                if (more := _too_many.next()) is not None:
                    logger.warning("too_many_connections", most=sources.most, **more)
                message = f"This address has too many connections open: at most {sources.most}."
                transport.write(_refusal("", TooManyConnections(message)))
                transport.close()
            else:
                self._wait_for_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._waits, self._stuck):
                if timer is not None:
                    timer.cancel()
            untaken.note(self._source or "", self, 0)
            if self._source:
                sources.leave(self._source)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._source is None or self._is_deaf:
                return
            self._unended += len(data)
            super().data_received(data)
            if not self._in_body and self._is_idle():
                self._wait_for_headers()
            if self._unended > LONGEST_HEADERS and not self.transport.is_closing():
                self._refuse(HeadersTooLarge(f"The headers have more than {LONGEST_HEADERS} bytes."))

        def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says more
            if not self._is_deaf:
                self._refuse(NoRequest())

        def on_message_begin(self) -> None:
            if len(self.pipeline) >= MOST_WAITING:
                self._end_with_these()
                raise _EnoughError
            self._lines = self._chunks = 0
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            self._lines += 1
            if self._lines > MOST_HEADERS:
                self._refuse(HeadersTooLarge(f"The headers have more than {MOST_HEADERS} lines."))
                raise _EnoughError
            if not self._in_body:  # what follows a body, uvicorn would add to the headers that were checked
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            if self._waits is not None:
                self._waits.cancel()
                self._waits = None
            super().on_headers_complete()
            self._in_body, self._unended = True, 0
            if self._ends_soon:
                self.cycle.keep_alive = False

        def on_body(self, body: bytes) -> None:
            self._unended = max(0, self._unended - len(body))
            if not isinstance(self.cycle.body, bytearray):  # uvicorn would copy all that waits with each part
                self.cycle.body = bytearray(self.cycle.body)
            super().on_body(body)

        def on_chunk_complete(self) -> None:
            self._unended, self._chunks = 0, self._chunks + 1
            if self._chunks > (most := limits.current.doors.chunks):
                self._refuse(TooLarge(f"The body comes in too many parts: it may come in {most}."))
                raise _EnoughError

        def on_message_complete(self) -> None:
            # Of another request that came with the end of this one, only what comes later is counted.
            self._in_body, self._unended = False, 0
            super().on_message_complete()

        def on_response_complete(self) -> None:
            is_early = self._in_body and not self.pipeline
            super().on_response_complete()
            if is_early:
                self.transport.close()  # it was answered before all of it had come, and nobody waits for the rest

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            if self.flow.write_paused:
                self._held = cycle, app
            else:
                super()._start_asgi_task(cycle, app)

        def end_soon(self) -> None:
            """The process ends: from now on answers say that the connection ends too."""
            self._ends_soon = True
            if self.cycle is not None:
                self.cycle.keep_alive = False

        def cut(self) -> None:
            """Close the connection if only a part of a request's headers has come."""
            if self._is_idle() and self._unended and not self.transport.is_closing():
                self.transport.close()

        def pause_writing(self) -> None:
            super().pause_writing()
            patience = limits.current.doors.answer_seconds
            self._stuck = self._stuck or self.loop.call_later(patience, self.transport.abort)
            size = self.transport.get_write_buffer_size()
            goes = None
            while goes is not self and isinstance(goes := untaken.note(self._source or "", self, size), Limited):
                if (more := _too_much.next()) is not None:
                    logger.warning("too_much_untaken", bytes=goes.transport.get_write_buffer_size(), **more)
                goes.transport.abort()

        def resume_writing(self) -> None:
            super().resume_writing()
            untaken.note(self._source or "", self, 0)
            if self._held is not None:
                held, self._held = self._held, None
                self._start_asgi_task(*held)
            if self._stuck is not None:
                self._stuck.cancel()
                self._stuck = None

        def _refuse(self, error: IssuanceError) -> None:
            """Answer data that is no request. If earlier requests wait for their answers, the connection ends after
            those instead."""
            self._is_deaf = True
            if self._is_idle() or (self._in_body and not self.pipeline and not self.cycle.response_started):
                self.transport.write(_refusal(self.url.decode("latin-1"), error))
                self.transport.close()
            else:
                self._end_with_these()

        def _end_with_these(self) -> None:
            """Read no more, and end the connection after the answer to its last request."""
            self._is_deaf, self.cycle.keep_alive = True, False
            self.flow.end()

        def _is_idle(self) -> bool:
            """Whether no request is being worked on: at most the beginning of one has come."""
            return self.cycle is None or self.cycle.response_complete

        def _wait_for_headers(self) -> None:
            # The time does not start again with each byte, or a stranger could drip them for ever.
            self._waits = self._waits or self.loop.call_later(limits.current.doors.header_seconds, self._give_up)

        def _give_up(self) -> None:
            self._waits = None
            if self._is_idle() and not self._in_body and not self.transport.is_closing():
                self.transport.abort()

    return Limited


def options(settings: OwnSettings, counts: Counts | None = None, process: int = 0) -> dict[str, Any]:
    """uvicorn's options with which these limits hold, and a stranger can not choose the address that they seem to call
    from. The web processes of a port share `counts`; `process` is the place of this one among them."""
    return {
        "http": protocol_for(settings, counts or Counts(), process),
        "loop": "uvloop",
        "proxy_headers": bool(settings.proxies),
        "forwarded_allow_ips": settings.proxies,
        "ws": "none",
    }
