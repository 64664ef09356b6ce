"""What every request gets: an id, a limit on its body, one log line, and the answer to errors that no other code
handles."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from time import perf_counter
from typing import Any, TypeVar
from uuid import UUID

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic_core import from_json
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from issuance import limits, origins, tracing
from issuance.api import bodies, hosts, metrics, problems
from issuance.api import stopping as stops
from issuance.api.headers import HEADERS
from issuance.errors import Invalid, IssuanceError, TooLarge, TooSlow
from issuance.log import Few, logger
from issuance.tenancy.fairness import FairThreads, Gone, TooManyAtOnce, until_gone
from issuance.tenancy.rates import OF_AN_ADDRESS, Known, RateLimited, Rates, RateState, source_of

#: The longest body that is accepted, and the longest one of an intake (bytes): a batch of a thousand events is much
#: shorter.
LONGEST_BODY = 64 * 1024
LONGEST_INTAKE = 3 * 512 * 1024
#: Where facts come in, which billers send in batches. Every other address takes LONGEST_BODY.
INTAKES = ("/billing-events", "/billers/stripe/", "/billers/mapped/")
#: The most values of a body, counted by commas and brackets: to read more at once would delay everybody, even in a
#: thread. A thousand events with parties have fewer.
MOST_VALUES = 100_000
_BEFORE_VALUES = b",[{"
#: The most parameters of a query.
MOST_PARAMETERS = 100
#: A thread reads a body that is longer than this, because that would hold up the event loop.
LONGEST_AT_ONCE = 8 * 1024
#: How many bytes of a body that is too long are read and thrown away, so that its sender can read the answer.
LONGEST_PATIENCE = 16 * 1024 * 1024

Result = TypeVar("Result")

#: Requests that ask again and again whether the process is well are not traced.
UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})

#: Requests beyond a limit are not logged one by one: there may be too many.
_limited = Few()
#: For applications that nobody tells to stop.
_never = stops.State()


class Edge:
    """ASGI middleware, without Starlette's base class, so that answers are not buffered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["method"] == "HEAD":  # the server leaves the body away
            scope = {**scope, "method": "GET"}
        headers = Headers(scope=scope)
        sent = headers.get("x-request-id", "")
        request_id = sent if origins.REQUEST_ID.fullmatch(sent) else str(uuid7())
        scope.setdefault("state", {})["request_id"] = request_id
        traced = tracing.is_on() and scope["path"] not in UNTRACED
        begun = origins.begin(
            request_id, origins.sane(None, headers.get("traceparent")).traceparent if traced else None
        )
        try:
            if not traced:
                await self._answer(scope, headers, receive, send, request_id)
                return None
            method = metrics.known_method(scope["method"])
            with tracing.span(method, "server") as span:
                status = await self._answer(scope, headers, receive, send, request_id)
                span.update_name(f"{method} {_route(scope)}")
                span.set_attribute("http.response.status_code", status)
        finally:
            origins.end(begun)
        return None

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send, request_id: str) -> int:
        """Answer a request, log it, and return the answer's status."""
        started = perf_counter()
        status: list[int] = []
        until_gone.set(None)  # or the request before it on its connection would be watched

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
                answered = MutableHeaders(scope=message)
                answered["X-Request-Id"] = request_id
                for name, value in HEADERS.items():
                    answered.setdefault(name, value)
                standing: RateState | None = scope["state"].get("standing")
                if standing is not None:
                    answered["RateLimit-Limit"] = str(standing.most)
                    answered["RateLimit-Remaining"] = str(standing.left)
                    answered["RateLimit-Reset"] = str(standing.seconds)
            await send(message)

        stopping: stops.State = getattr(scope["app"].state, "stopping", _never)
        try:
            longest = longest_body(scope["path"])
            if stopping.refuses:
                raise stops.Stopping
            source = source_of((scope.get("client") or [None])[0])
            await _count(scope, source)
            hosts.name_home(scope)
            if scope.get("query_string", b"").count(b"&") >= MOST_PARAMETERS:
                raise Invalid(f"The query has too many parameters: it may have {MOST_PARAMETERS}.")
            placed: AbstractAsyncContextManager[Receive] = nullcontext(receive)
            if _may_be_long(headers, longest):  # while it waits for a place, its body is not read
                placed = bodies.place(receive, _known(scope, headers), source)
            async with placed as parts:
                try:
                    async with stopping.patience(limits.current.doors.body_seconds):
                        body = await _read(headers, parts, longest)
                        scope["state"]["body_bytes"] = len(body)
                except TimeoutError:
                    raise TooSlow from None
                until_gone.set(partial(_until_gone, receive))
                await self.app(scope, _ReadBody(body, receive), send_with_id)
        except (TooLarge, TooSlow, Invalid, hosts.BadHost, TooManyAtOnce) as refused:
            await _refuse(scope, receive, send_with_id, refused, close=isinstance(refused, (TooSlow, TooManyAtOnce)))
        except RateLimited as limited:
            scope["state"]["standing"] = limited.standing
            await _refuse(scope, receive, send_with_id, limited, close=True)
        except (ClientDisconnect, Gone):
            logger.debug("hung_up", request_id=request_id)
        except (stops.Stopping, asyncio.CancelledError):
            if not status:
                await _refuse(scope, receive, send_with_id, stops.Stopping(), close=True)
        except Exception as error:
            logger.exception("unexpected_error", request_id=request_id, error=type(error).__name__)
            if not status:
                response = problems.answer(scope["path"], 500, "error", "Something went wrong. It has been noted.")
                await response(scope, receive, send_with_id)
        finally:
            _log(scope, status[0] if status else 499, perf_counter() - started, request_id)
        return status[0] if status else 499


class JsonRequest(Request):
    """A request whose JSON is strict: finite numbers, whole characters, limited depth."""

    async def json(self) -> Any:
        read, wrong = await off_the_loop(_read_json, await self.body())
        if wrong is not None:
            raise HTTPException(400, wrong)  # FastAPI lets no other exception through
        return read


def _read_json(body: bytes) -> tuple[Any, str | None]:
    """The value, or what is wrong. An exception is not raised: when it leaves a thread, it keeps the body until garbage
    is collected."""
    try:
        return from_json(body, allow_inf_nan=False), None
    except ValueError as error:
        return None, str(error)


def longest_body(path: str) -> int:
    """The most bytes of a body at an address."""
    return LONGEST_INTAKE if path.startswith(INTAKES) else LONGEST_BODY


async def off_the_loop(read: Callable[[bytes], Result], body: bytes) -> Result:
    """What `read` makes of a body. A thread reads a long one, so that nobody waits for it."""
    return await run_in_threadpool(read, body) if len(body) > LONGEST_AT_ONCE else read(body)


async def _count(scope: Scope, source: str | None) -> None:
    """Count a request for its address. Raises RateLimited."""
    rates: Rates | None = getattr(scope["app"].state, "rates", None)
    if rates is not None and source is not None:
        if rates.is_quick(OF_AN_ADDRESS, source):
            rates.take(OF_AN_ADDRESS, source)
        else:
            looking: FairThreads = scope["app"].state.looking
            await looking.run(source, rates.take, OF_AN_ADDRESS, source)


def _known(scope: Scope, headers: Headers) -> Known | None:
    rates: Rates | None = getattr(scope["app"].state, "rates", None)
    return None if rates is None else rates.known(headers.get("authorization", ""))


async def _refuse(scope: Scope, receive: Receive, send: Send, error: IssuanceError, *, close: bool = False) -> None:
    response = problems.answer(scope["path"], error.status, error.code, error.message)
    if close:
        response.headers["Connection"] = "close"
    if error.status in (429, 503):
        response.headers["Retry-After"] = str(error.retry_after)
    await response(scope, receive, send)


class _ReadBody:
    """Gives the body, which has been read already, and then the server's further messages."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        message = {"type": "http.request", "body": self._body, "more_body": False}
        self._body = None
        return message


async def _until_gone(receive: Receive) -> None:
    """Wait until the client of a request is gone; the request's body has come."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _may_be_long(headers: Headers, longest: int) -> bool:
    """Whether a body, if it is accepted, may be longer than most."""
    announced = headers.get("content-length", "" if "transfer-encoding" in headers else "0")
    return longest > LONGEST_BODY and not (announced.isdecimal() and int(announced[:20]) <= LONGEST_BODY)


async def _read(headers: Headers, receive: Receive, longest: int) -> bytes:
    """The whole body. Raises TooLarge, whatever its headers say."""
    too_large = TooLarge(f"The body is too large: here it may have {longest} bytes.")
    announced = headers.get("content-length", "0")
    too_long = not announced.isdecimal() or int(announced[:20]) > longest
    if too_long and headers.get("expect", "").lower() == "100-continue":
        raise too_large  # its sender waits for the answer before it sends the body
    chunks: list[bytes] = []
    size, more = 0, True
    while more and size <= LONGEST_PATIENCE:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect  # nobody waits for an answer, and half a body is none
        chunk = message.get("body", b"")
        size += len(chunk)
        too_long = too_long or size > longest
        if too_long:
            chunks.clear()
        else:
            chunks.append(chunk)
        more = message.get("more_body", False)
    if too_long:
        raise too_large
    body = b"".join(chunks)
    if len(body) > MOST_VALUES and len(body) - len(body.translate(None, _BEFORE_VALUES)) > MOST_VALUES:
        raise TooLarge(f"The body has too many values: it may have {MOST_VALUES}, by its commas and brackets.")
    return body


def _log(scope: Scope, status: int, seconds: float, request_id: str) -> None:
    route = _route(scope)
    caller = scope.get("state", {}).get("caller")
    brand: UUID | None = caller.brand_id if caller is not None else None
    method = metrics.known_method(scope["method"])
    metrics.count(method, route, status, seconds)
    more = _limited.next() if status == 429 else {}
    if more is None:
        return
    logger.info(
        "request",
        method=method,
        route=route,
        status=status,
        ms=round(seconds * 1000, 1),
        request_id=request_id,
        brand=str(brand) if brand else None,
        **more,
    )


def _route(scope: Scope) -> str:
    """The route, never the path: a path may contain a credit's code."""
    return str(getattr(scope.get("route"), "path", "unknown"))
