"""Who is calling: the key, its brand and its scopes. 401 comes before anything else that may be wrong, then 403."""

from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from dramatiq import Broker
from fastapi import Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes
from sqlalchemy import Connection, Engine

from issuance import database, keys
from issuance.api.problems import UnsupportedMediaType
from issuance.api.requests import JsonRequest
from issuance.errors import Invalid, NotAllowed, NotAuthenticated
from issuance.keys import Key

_bearer = HTTPBearer(
    scheme_name="organisation_key",
    bearerFormat="iss_live_… or iss_sandbox_…",
    description="A key of one brand, with scopes: read, write, issue, admin.",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that showed a good key, and what it may work with."""

    key: Key
    engine: Engine
    broker: Broker

    @property
    def brand_id(self) -> UUID:
        return self.key.brand_id

    def transaction(self) -> AbstractContextManager[Connection]:
        """One unit of work on the caller's brand: committed when the block ends, before the answer is sent."""
        return database.transaction(self.engine, self.brand_id)


class KeyedRoute(APIRoute):
    """A route that looks at the key before the body is even read: strangers learn nothing from a 422."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def keyed(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive)
            request.state.caller = await run_in_threadpool(_caller_of, request)
            return await handle(request)

        return keyed


def _caller_of(request: Request) -> Caller:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not shown:
        raise NotAuthenticated
    engine: Engine = request.app.state.engine
    with database.transaction(engine) as connection:
        key = keys.find(connection, shown.strip())
    if key is None:
        raise NotAuthenticated("This key is not good: it is mistyped, or it was revoked.")
    return Caller(key, engine, request.app.state.broker)


async def _allowed(request: Request, needed: SecurityScopes, _: Annotated[object, Security(_bearer)]) -> Caller:
    caller: Caller = request.state.caller
    for scope in needed.scopes:
        if not caller.key.opens(scope):
            raise NotAllowed(f"This key does not have the scope for this call: {scope}.")
    await _check_form(request)
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
