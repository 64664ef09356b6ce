"""Who is calling: a program with a key, or a member with a token. 401 comes before anything else that may be wrong,
then 403."""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Annotated, Any
from uuid import UUID

from dramatiq import Broker
from fastapi import Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes
from sqlalchemy import Connection, Engine

from issuance.api import replays
from issuance.api.problems import UnsupportedMediaType
from issuance.api.requests import JsonRequest
from issuance.database import connections as database
from issuance.errors import Invalid, NotAllowed, NotAuthenticated
from issuance.tenancy import keys, tokens
from issuance.tenancy.keys import Key

_bearer = HTTPBearer(
    scheme_name="organisation_key",
    bearerFormat="iss_live_… or iss_sandbox_…",
    description="A key of one brand, with scopes: read, write, issue, admin.",
    auto_error=False,
)


_token = HTTPBearer(
    scheme_name="member_token",
    bearerFormat="JWT",
    description="A member's token, from POST /v1/auth/exchange.",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that showed a good key, or a member who showed a good token, and what they may work with."""

    brand_id: UUID
    #: Which of the brand's callers: an Idempotency-Key is theirs.
    name: str
    engine: Engine
    broker: Broker
    key: Key | None = None
    #: The member whose token was shown, by the brand's id.
    member: str | None = None
    #: The transaction that the whole request is part of (api/replays.py).
    work: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One unit of work on the caller's brand: committed when the block ends, before the answer is sent."""
        if self.work is None:
            with database.transaction(self.engine, self.brand_id) as connection:
                yield connection
        else:
            with self.work.begin_nested():
                yield self.work

    def about(self, external_user_id: str | None) -> str | None:
        """The member that a call is about: the one that is named, or a token's own. Raises NotAllowed."""
        if self.member is not None and external_user_id not in (None, self.member):
            raise NotAllowed("A member token reaches only its own member.")
        return self.member or external_user_id


class KeyedRoute(APIRoute):
    """A route that looks at the key before the body is even read: strangers learn nothing from a 422."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _in_thread(endpoint), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def keyed(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive)
            caller = request.state.caller = await run_in_threadpool(_caller_of, request)
            shown = request.headers.get(replays.HEADER)
            if request.method == "POST" and shown is not None:
                return await replays.once(request, caller, shown, handle)
            return await handle(request)

        return keyed


def _in_thread(endpoint: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """An endpoint in a thread of its own. FastAPI would do as much, and then check the answer in one more."""
    if iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def threaded(**arguments: Any) -> Any:
        return await run_in_threadpool(endpoint, **arguments)

    return threaded


def _caller_of(request: Request) -> Caller:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not shown:
        raise NotAuthenticated
    engine: Engine = request.app.state.engine
    broker: Broker = request.app.state.broker
    shown = shown.strip()
    with request.app.state.looks.connect() as connection:
        if shown.count(".") == 2:
            holder = tokens.find(connection, shown)
            if holder is None:
                raise NotAuthenticated("This token is not good: it has expired, or its member was removed.")
            name = f"member {holder.member_id}"
            return Caller(holder.brand_id, name, engine, broker, member=holder.external_user_id)
        key = keys.find(connection, shown)
    if key is None:
        raise NotAuthenticated("This key is not good: it is mistyped, or it was revoked.")
    return Caller(key.brand_id, f"key {key.key_id}", engine, broker, key=key)


async def _allowed(request: Request, needed: SecurityScopes, _: Annotated[object, Security(_bearer)]) -> Caller:
    caller: Caller = request.state.caller
    if caller.key is None:
        raise NotAllowed("A member token does not open this; it needs an organisation key.")
    return await _checked(request, needed, caller.key)


async def _allowed_member(
    request: Request,
    needed: SecurityScopes,
    _: Annotated[object, Security(_bearer)],
    __: Annotated[object, Security(_token)],
) -> Caller:
    caller: Caller = request.state.caller
    return await _checked(request, needed, caller.key)


async def _checked(request: Request, needed: SecurityScopes, key: Key | None) -> Caller:
    for scope in needed.scopes:
        if key is not None and not key.opens(scope):
            raise NotAllowed(f"This key does not have the scope for this call: {scope}.")
    await _check_form(request)
    caller: Caller = request.state.caller
    return caller


async def _check_form(request: Request) -> None:
    """Refuse names in the query that the operation does not know, and bodies that do not call themselves JSON."""
    route: APIRoute = request.scope["route"]
    known = {parameter.alias for parameter in route.dependant.query_params}
    given = Counter(name for name, _ in request.query_params.multi_items())
    wrong = {name: "given twice" for name, times in given.items() if times > 1}
    wrong |= {name: "unknown parameter" for name in given if name not in known}
    if wrong:
        raise Invalid("; ".join(f"{name}: {what}" for name, what in wrong.items()), fields=wrong)
    if route.body_field is not None and await request.body():
        media_type = (request.headers.get("content-type") or "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise UnsupportedMediaType


#: What an endpoint asks for: its caller, with the scope that the operation needs.
Reader = Annotated[Caller, Security(_allowed, scopes=["read"])]
Writer = Annotated[Caller, Security(_allowed, scopes=["write"])]
Issuer = Annotated[Caller, Security(_allowed, scopes=["issue"])]
#: The same for what members may do too: with a key they need the scope, with a token only themselves.
MemberReader = Annotated[Caller, Security(_allowed_member, scopes=["read"])]
MemberWriter = Annotated[Caller, Security(_allowed_member, scopes=["write"])]
