"""Idempotency-Key: a POST that is sent again has no second effect and gets its first answer again (INTERFACE 7).

The request's work and its answer are committed in one transaction, before the answer is sent: after a crash there are
both or neither. Hints are sent after that commit. A key that named an erased person is known only by its hash, and is
recognised after the work is done: then the work is undone.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakValueDictionary

from fastapi import Request, Response
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from pydantic_core import from_json, to_json
from sqlalchemy import Connection

from issuance import database, hints
from issuance.api import problems
from issuance.api.callers import Caller
from issuance.api.requests import off_the_loop
from issuance.errors import Invalid
from issuance.members import erased
from issuance.tenancy import idempotency
from issuance.tenancy.fairness import MOST_WAITING, PATIENCE, Fair, TooManyWaiting
from issuance.tenancy.idempotency import Answer, Key
from issuance.tenancy.rates import ANSWERS, Rates

HEADER = "Idempotency-Key"
#: The headers that mark a repeated answer: our own, and Stripe's, which clients know, and which was the only one in
#: 0.2.0.
REPEATED = ("Idempotency-Replayed", "Idempotent-Replayed")

#: The most requests with a key that are worked on at once. Each holds a connection while it goes from thread to thread:
#: if they held all connections, the threads would wait for connections, and they for threads.
MOST_AT_WORK = 16
#: Bytes that are kept with an answer: its key, hash and index.
_BESIDE = 200
_SANE = re.compile(r"[\x20-\x7e]{1,255}")
#: Statuses of answers that are not kept: the same request may get another answer when it is sent again.
_NOT_KEPT = (401, 403, 429)

Handler = Callable[[Request], Awaitable[Response]]


class Secret(NamedTuple):
    """How an answer that shows a secret is kept without it: `hide` takes the secret out, `restore` puts it back for who
    asks again, or raises why there is none.

    The application has one for each operation that shows a secret, by operation id, in `app.state.secrets`.
    """

    hide: Callable[[dict[str, Any]], dict[str, Any]]
    restore: Callable[[Connection, Caller, dict[str, Any]], dict[str, Any]]


class _NotKept(Exception):
    """Rolls back the transaction, and with it the claim of the key; the answer is given all the same."""

    def __init__(self, response: Response) -> None:
        self.response = response


async def answer_once(
    request: Request, caller: Caller, shown: str, handle: Handler, place: AbstractAsyncContextManager[None]
) -> Response:
    """Answer a POST with an Idempotency-Key: with its first answer if there is one, else by doing the work in `place`.
    A request that waits for another with its key has no place meanwhile.

    Raises Invalid for a malformed key, IdempotencyKeyReused if the key came with another request; TooManyAtOnce;
    RateLimited where the brand has too many bytes kept, and then nothing was done.
    """
    if not _SANE.fullmatch(shown):
        wrong = "must be 1 to 255 printable ASCII characters"
        raise Invalid(f"{HEADER}: {wrong}", fields={HEADER: wrong})
    key = Key(caller.brand_id, caller.sender, shown)
    rates: Rates = request.app.state.rates
    secret: Secret | None = request.app.state.secrets.get(getattr(request.scope["route"], "operation_id", None))
    held_back = hints.HeldBack()
    async with _one_at_a_time(key), place:
        request_hash = await off_the_loop(partial(_hash, request), await request.body())
        try:
            work = database.transaction(caller.engine, caller.brand_id, caller.acting)
            async with _at_work.place(caller.brand_id), contextmanager_in_threadpool(work) as connection:
                known = await run_in_threadpool(idempotency.claim, connection, key, request_hash)
                if known is not None:
                    return await run_in_threadpool(_repeated, connection, caller, known, secret)
                request.state.caller = replace(caller, broker=held_back, work=connection)
                response = await _answered(request, handle)
                if response.status_code >= 500 or response.status_code in _NOT_KEPT:
                    raise _NotKept(response)
                if await run_in_threadpool(_keep, rates, connection, key, _kept(response, secret)):
                    first = await run_in_threadpool(_unnamed, connection, key, request_hash)
                    if first is not None:
                        raise _NotKept(await run_in_threadpool(_repeated, connection, caller, first, secret))
        except _NotKept as not_kept:
            return not_kept.response
        await run_in_threadpool(held_back.release, caller.broker)
        return response


async def _answered(request: Request, handle: Handler) -> Response:
    try:
        return await handle(request)
    except Exception as error:
        response = await problems.answer_to(request, error)
        if response is None:
            raise
        return response


def _keep(rates: Rates, connection: Connection, key: Key, answer: Answer) -> bool:
    """Keep the first answer, within the brand's limit of bytes. Raises RateLimited."""
    rates.take(ANSWERS, str(key.brand_id), len(answer.body) + _BESIDE)
    return idempotency.keep(connection, key, answer)


def _unnamed(connection: Connection, key: Key, request_hash: bytes) -> Answer | None:
    """The first answer, if the key is known only by its hash because it named somebody who was erased since."""
    return idempotency.unnamed(connection, key.brand_id, erased.hashing_of_keys(connection)(key), request_hash)


def _kept(response: Response, secret: Secret | None) -> Answer:
    body = bytes(response.body)
    if secret is not None and response.status_code < 300:
        body = to_json(secret.hide(from_json(body)))
    return Answer(response.status_code, body, response.headers.get("Location"))


def _repeated(connection: Connection, caller: Caller, known: Answer, secret: Secret | None) -> Response:
    body = known.body
    if secret is not None and known.status < 300:
        body = to_json(secret.restore(connection, caller, from_json(body)))
    media_type = "application/json" if body else None
    headers = dict.fromkeys(REPEATED, "true") | ({"Location": known.location} if known.location else {})
    return Response(body, known.status, headers=headers, media_type=media_type)


def _hash(request: Request, body: bytes) -> bytes:
    with suppress(ValueError):
        # The same JSON with other spaces or another order of fields is the same request.
        body = json.dumps(from_json(body), sort_keys=True).encode()
    # In CloudEvents' binary mode an event's attributes are headers.
    attributes = sorted(f"{name}: {value}" for name, value in request.headers.items() if name.startswith("ce-"))
    head = "\n".join([f"{request.method} {request.url.path}?{request.url.query}", *attributes])
    return hashlib.sha256(f"{head}\n".encode() + body).digest()


_at_work = Fair(MOST_AT_WORK, PATIENCE)


def make_room(number: int) -> None:
    """Let `number` requests with a key be worked on at once, at most MOST_AT_WORK."""
    _at_work.make_room(min(number, MOST_AT_WORK))


#: One place for each key that requests of this process use now, and how many requests of a brand wait for one.
_places: "WeakValueDictionary[Key, Fair]" = WeakValueDictionary()
_waiting: Counter[UUID] = Counter()


@asynccontextmanager
async def _one_at_a_time(key: Key) -> AsyncIterator[None]:
    """Let one request of a key at a time work in this process, so that the others wait without a thread and a
    connection.

    Requests of other processes wait at the primary key. Raises TooManyWaiting.
    """
    only = _places.get(key)
    if only is None:
        only = _places[key] = Fair(1)
    elif _waiting[key.brand_id] >= MOST_WAITING:
        raise TooManyWaiting
    async with AsyncExitStack() as held:
        _waiting[key.brand_id] += 1
        try:
            await held.enter_async_context(only.place(key))
        finally:
            _waiting[key.brand_id] -= 1
            if not _waiting[key.brand_id]:
                del _waiting[key.brand_id]
        yield
