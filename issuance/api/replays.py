"""Idempotency-Key: the first answer to a POST, given again to whoever sends it again (INTERFACE 7).

The request's work and the answer to it are committed together, before the answer is sent: whatever dies,
there is both or neither. Hints wait for that commit.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

import anyio
from fastapi import Request, Response
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from pydantic_core import from_json, to_json
from sqlalchemy import Connection

from issuance import hints
from issuance.api import problems
from issuance.database import connections as database
from issuance.errors import Invalid
from issuance.tenancy import idempotency
from issuance.tenancy.idempotency import Answer, Key

if TYPE_CHECKING:
    from issuance.api.callers import Caller

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"

#: So many requests hold a connection from thread to thread. These and the others that have a thread find connections
#: enough: else these would wait for threads, and those for connections.
MOST_AT_WORK = 16
_SANE = re.compile(r"[\x20-\x7e]{1,255}")
#: Answers that say nothing of the request itself: it may be sent again.
_NOT_DEFINITE = (401, 403, 429)

Handler = Callable[[Request], Awaitable[Response]]


class Sealed(NamedTuple):
    """How an answer that shows a secret is kept without it: `seal` takes it out, `open` puts it back."""

    seal: Callable[[dict[str, Any]], dict[str, Any]]
    open: Callable[[Connection, dict[str, Any]], dict[str, Any]]


#: The answers that show secrets, by operation id.
SEALED: dict[str, Sealed] = {}


class _NotKept(Exception):
    """Undoes the transaction, and the claim with it."""

    def __init__(self, response: Response) -> None:
        self.response = response


async def once(request: Request, caller: "Caller", shown: str, handle: Handler) -> Response:
    """Answer a POST that came with an Idempotency-Key: as it was answered first, or now, with one effect."""
    if not _SANE.fullmatch(shown):
        wrong = "must be 1 to 255 printable ASCII characters"
        raise Invalid(f"{HEADER}: {wrong}", fields={HEADER: wrong})
    key = Key(caller.brand_id, caller.name, shown)
    request_hash = _hash(request, await request.body())
    sealed = SEALED.get(getattr(request.scope["route"], "operation_id", None) or "")
    held_back = hints.HeldBack()
    async with _turn(key), _at_work:
        try:
            work = database.transaction(caller.engine, caller.brand_id)
            async with contextmanager_in_threadpool(work) as connection:
                known = await run_in_threadpool(idempotency.claim, connection, key, request_hash)
                if known is not None:
                    return await run_in_threadpool(_again, connection, known, sealed)
                request.state.caller = replace(caller, broker=held_back, work=connection)
                response = await _answered(request, handle)
                if response.status_code >= 500 or response.status_code in _NOT_DEFINITE:
                    raise _NotKept(response)
                await run_in_threadpool(idempotency.keep, connection, key, _kept(response, sealed))
        except _NotKept as undone:
            return undone.response
    await run_in_threadpool(held_back.release, caller.broker)
    return response


async def _answered(request: Request, handle: Handler) -> Response:
    try:
        return await handle(request)
    except Exception as error:
        response = problems.answer_to(request, error)
        if response is None:
            raise
        return response


def _kept(response: Response, sealed: Sealed | None) -> Answer:
    body = bytes(response.body)
    if sealed is not None and response.status_code < 300:
        body = to_json(sealed.seal(from_json(body)))
    return Answer(response.status_code, body)


def _again(connection: Connection, known: Answer, sealed: Sealed | None) -> Response:
    body = known.body
    if sealed is not None and known.status < 300:
        body = to_json(sealed.open(connection, from_json(body)))
    media_type = "application/json" if body else None
    return Response(body, known.status, headers={REPLAYED: "true"}, media_type=media_type)


def _hash(request: Request, body: bytes) -> bytes:
    with suppress(ValueError):
        # The same JSON, however it is spaced and ordered, is the same request.
        body = json.dumps(from_json(body), sort_keys=True).encode()
    return hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode() + body).digest()


_at_work = anyio.CapacityLimiter(MOST_AT_WORK)
_turns: "WeakValueDictionary[Key, asyncio.Lock]" = WeakValueDictionary()


@asynccontextmanager
async def _turn(key: Key) -> AsyncIterator[None]:
    """One request of a key at a time in this process, so that those that wait hold no thread and no connection.

    Between processes the primary key makes them wait.
    """
    lock = _turns.get(key)
    if lock is None:
        lock = _turns[key] = asyncio.Lock()
    async with lock:
        yield
