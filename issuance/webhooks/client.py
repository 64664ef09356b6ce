"""The HTTP client: sends signed messages to one webhook, many at the same time.

It is the only asynchronous code of a worker: only an event loop can surely end an attempt when its time is up, whatever
the receiver does.
"""

import asyncio
import ssl
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import httpcore
import httpx

from issuance import limits, origins, tracing
from issuance.log import logger
from issuance.origins import NOWHERE, Origin
from issuance.webhooks import addresses, lookups, signatures
from issuance.webhooks.addresses import AddressRefused
from issuance.webhooks.lookups import TooManyLookups, UnknownHost

#: Seconds within which the status of an answer must arrive. Bodies are not read.
PATIENCE = 15.0
#: The longest time for which a receiver is left alone because its Retry-After asks for that.
LONGEST_REST = timedelta(hours=1)

_HEADERS = {"content-type": "application/json", "user-agent": "Issuance-Webhooks/1", "accept": "*/*"}


@dataclass(frozen=True, slots=True)
class Message:
    """What one delivery sends. `message_id` is the event's id, the same in each attempt, so that receivers recognise a
    message that they have already had."""

    message_id: str
    body: bytes
    #: The request and the trace that its event is due to.
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one attempt: the status of the answer, and the error if it was not delivered."""

    status: int | None
    error: str | None
    #: How long the receiver asked to be left alone.
    retry_after: timedelta | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no more messages."""
        return self.status == 410


@dataclass(frozen=True, slots=True)
class Signing:
    """What messages are signed with: each of the secrets, and the instant that they state. The instant is PostgreSQL's,
    because receivers refuse what a host with a wrong clock would state."""

    secrets: Sequence[bytes] = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whom messages are sent to: the webhook of a brand."""

    url: str
    brand_id: UUID
    sandbox: bool
    #: Whether the webhook is failing.
    failing: bool


def send_all(to: Receiver, signing: Signing, messages: Sequence[Message], *, patience: float) -> list[Answer]:
    """Sign messages and send them at the same time; returns the result of each, in their order. Takes at most
    `patience` seconds.

    Raises TooManyLookups before anything is tried."""
    return asyncio.run(_send_all(to, signing, messages, until=time.monotonic() + patience))


async def _send_all(to: Receiver, signing: Signing, messages: Sequence[Message], *, until: float) -> list[Answer]:
    try:
        target = addresses.parse(to.url, sandbox=to.sandbox)
        found = await addresses.resolve(target, sandbox=to.sandbox, brand_id=to.brand_id, failing=to.failing)
    except TooManyLookups:
        raise
    except AddressRefused as error:
        return [Answer(None, error.message)] * len(messages)
    except UnknownHost:
        return [Answer(None, "the host's name is not known")] * len(messages)
    except TimeoutError:
        return [Answer(None, f"the host's name was not found within {lookups.LIMIT:.0f} s")] * len(messages)
    except Exception as error:  # whatever it is, it concerns these messages and no others
        return [_failed(error)] * len(messages)
    # httpcore knows no proxy and no redirect: both would connect to an address that was not checked.
    async with httpcore.AsyncConnectionPool(_tls(), max_connections=len(messages), network_backend=_Network()) as pool:
        return await asyncio.gather(
            *(_traced(message, _send(pool, target, found, signing, message, until)) for message in messages)
        )


async def _traced(message: Message, sending: Coroutine[Any, Any, Answer]) -> Answer:
    origin = origins.here() if message.origin == NOWHERE else message.origin
    with (
        origins.working_for(origin),
        tracing.span("deliver webhook", "client", event=message.message_id) as span,
    ):
        outcome = await sending
        if outcome.status is not None:
            span.set_attribute("http.response.status_code", outcome.status)
        span.set_attribute("issuance.delivered", outcome.delivered)
        return outcome


async def _send(
    pool: httpcore.AsyncConnectionPool,
    target: httpx.URL,
    found: Sequence[str],
    signing: Signing,
    message: Message,
    until: float,
) -> Answer:
    patience = max(0.0, until - time.monotonic())
    try:
        async with asyncio.timeout(patience):
            status, retry_after = await _post(pool, target, found, signing, message)
    except TimeoutError:
        return Answer(None, f"no answer within {patience:.0f} s")
    except HeadTooLong:
        return Answer(None, f"no answer within {limits.current.webhooks.longest_head:,} bytes")
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        return Answer(None, f"no answer: {type(error).__name__}")
    except Exception as error:  # whatever it is, it is this delivery's outcome
        return _failed(error)
    if 300 <= status < 400:
        return Answer(status, "redirects are not followed")
    return Answer(status, None if 200 <= status < 300 else f"answered {status}", retry_after)


def _failed(error: Exception) -> Answer:
    """The outcome of a delivery that failed in an unexpected way."""
    logger.error("delivery_failed", error=type(error).__name__)
    return Answer(None, f"could not be sent: {type(error).__name__}")


async def _post(
    pool: httpcore.AsyncConnectionPool, target: httpx.URL, found: Sequence[str], signing: Signing, message: Message
) -> tuple[int, timedelta | None]:
    """Post to the first of the checked addresses that takes the connection; the name is not looked up again. Returns
    the status, and how long the receiver wants to be left alone."""
    timestamp = int(signing.at.timestamp())
    headers = {
        **_HEADERS,
        **signatures.headers(signing.secrets, message.message_id, timestamp, message.body),
        "host": target.netloc.decode("ascii"),
    }
    for last, address in enumerate(found, start=1 - len(found)):
        try:
            async with pool.stream(
                "POST",
                httpcore.URL(scheme=target.raw_scheme, host=address, port=target.port, target=target.raw_path),
                content=message.body,
                headers=list(headers.items()),
                extensions={"sni_hostname": addresses.host_of(target)},  # the certificate must be the name's
            ) as response:
                return response.status, _rest(response, signing.at)
        except httpcore.ConnectError:
            if last == 0:
                raise
    raise UnknownHost(addresses.host_of(target))


def _rest(response: httpcore.Response, now: datetime) -> timedelta | None:
    """How long the Retry-After of a 429 or 503 asks to wait; it has seconds or a date. None if there is none that can
    be read."""
    said = httpx.Headers(response.headers).get("retry-after", "") if response.status in (429, 503) else ""
    try:
        seconds = int(said) if said[:9].isdecimal() else parsedate_to_datetime(said).timestamp() - now.timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return timedelta(seconds=min(max(seconds, 0), LONGEST_REST.total_seconds()))


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class HeadTooLong(Exception):
    """A receiver goes on and on before it says a status: with interim answers (1xx), or with headers."""


class _Network(httpcore.AnyIOBackend):
    """Connections of which so much is read as a status and headers may take: bodies are not read."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Head(await super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Head(httpcore.AsyncNetworkStream):
    """The beginning of what a receiver answers. Raises HeadTooLong beyond it."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left = limits.current.webhooks.longest_head

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._left <= 0:
            raise HeadTooLong
        came = await self._stream.read(min(max_bytes, self._left), timeout)
        self._left -= len(came)
        return came

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Head(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
