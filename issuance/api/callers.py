"""Who is calling: a program with a key, or a member with a token, and what they may do.

401 comes before any other error, then 403.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Annotated
from uuid import UUID

from dramatiq import Broker
from fastapi import Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes
from sqlalchemy import Connection, Engine
from starlette.datastructures import URL

from issuance import database
from issuance.api.problems import LONGEST_NAME, MOST_FIELDS, UnsupportedMediaType
from issuance.audit import Actor
from issuance.database import Acting
from issuance.errors import Invalid, NotAllowed, NotAuthenticated
from issuance.tenancy import keys, tokens
from issuance.tenancy.keys import Key
from issuance.tenancy.rates import OF_A_BRAND, OF_A_KEY, WRONG_KEYS, Rates, source_of

_bearer = HTTPBearer(
    scheme_name="organisation_key",
    bearerFormat="iss_live_… or iss_sandbox_…",
    description="A key of one brand, with scopes: read, write, issue, tokens, admin.",
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
    """A program that showed a valid key, or a member who showed a valid token, and the servers to work on for them."""

    brand_id: UUID
    #: Which of the brand's callers this is: each has Idempotency-Keys of its own.
    name: str
    engine: Engine
    broker: Broker
    #: What was asked for.
    url: URL
    key: Key | None = None
    #: The member whose token was shown, by the brand's id.
    member: str | None = None
    #: On whose behalf its work is done, as PostgreSQL stamps it.
    acting: Acting | None = None
    #: The transaction that the whole request is part of (api/idempotency.py).
    work: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One unit of work on the caller's brand: commits at the end of the block, before the answer is sent."""
        if self.work is None:
            with database.transaction(self.engine, self.brand_id, self.acting) as connection:
                yield connection
        else:
            with self.work.begin_nested():
                yield self.work

    def about(self, external_user_id: str | None) -> str | None:
        """The member that a call is about: the named one, or the token's own. Raises NotAllowed."""
        if self.member is not None and external_user_id not in (None, self.member):
            raise NotAllowed("A member token reaches only its own member.")
        return self.member or external_user_id


def caller_of(request: Request) -> Caller:
    """Who sends this request. Raises NotAuthenticated."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not shown:
        raise NotAuthenticated
    engine: Engine = request.app.state.engine
    broker: Broker = request.app.state.broker
    request_id: str | None = getattr(request.state, "request_id", None)
    shown = shown.strip()
    with database.look(request.app.state.looks) as connection:
        if shown.count(".") == 2:
            holder = tokens.find(connection, shown)
            database.outage.is_over()
            if holder is None:
                raise NotAuthenticated("This token is not good: it has expired, or its member was removed.")
            name = f"member {holder.member_id}"
            acting = Actor("member", holder.member_id).acting(request_id)
            return Caller(
                holder.brand_id, name, engine, broker, request.url, member=holder.external_user_id, acting=acting
            )
        key = keys.find(connection, shown)
        database.outage.is_over()
    if key is None:
        raise NotAuthenticated("This key is not valid: it is mistyped, or it was revoked.")
    acting = Actor("key", key.key_id, key.name).acting(request_id)
    return Caller(key.brand_id, f"key {key.key_id}", engine, broker, request.url, key=key, acting=acting)


def admit(request: Request) -> Caller:
    """`caller_of`, within the limits of the address that it comes from, of its key and of its brand. How these stand
    is noted for the answer. Raises NotAuthenticated, RateLimited."""
    rates: Rates = request.app.state.rates
    shown = request.headers.get("authorization", "")
    address = source_of(request.client.host if request.client else None) or "nowhere"
    if not rates.is_good(shown):
        rates.check(WRONG_KEYS, address)
    try:
        caller = caller_of(request)
    except NotAuthenticated:
        if shown:
            rates.wrong(WRONG_KEYS, address)
        raise
    rates.was_good(shown)
    standings = (rates.take(OF_A_KEY, caller.name), rates.take(OF_A_BRAND, str(caller.brand_id)))
    request.state.standing = min((one for one in standings if one), key=lambda one: one.left, default=None)
    return caller


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
    """Refuse unknown parameters in the query, and bodies whose content type is not JSON."""
    route: APIRoute = request.scope["route"]
    known = {parameter.alias for parameter in route.dependant.query_params}
    given = Counter(name for name, _ in request.query_params.multi_items())
    wrong = {name: "given twice" for name, times in given.items() if times > 1}
    wrong |= {name: "unknown parameter" for name in given if name not in known}
    wrong = {name[:LONGEST_NAME]: what for name, what in islice(wrong.items(), MOST_FIELDS)}
    if wrong:
        raise Invalid("; ".join(f"{name}: {what}" for name, what in wrong.items()), fields=wrong)
    if route.body_field is not None and await request.body():
        media_type = (request.headers.get("content-type") or "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            expected = getattr(route.body_field.field_info, "media_type", "application/json")
            raise UnsupportedMediaType(f"Send JSON, not {media_type[:100]}: Content-Type: {expected}.")


#: What an endpoint declares: its caller, with the scope that a key needs.
Reader = Annotated[Caller, Security(_allowed, scopes=["read"])]
Writer = Annotated[Caller, Security(_allowed, scopes=["write"])]
Issuer = Annotated[Caller, Security(_allowed, scopes=["issue"])]
#: Who may become a member.
TokenMaker = Annotated[Caller, Security(_allowed, scopes=["tokens"])]
Administrator = Annotated[Caller, Security(_allowed, scopes=["admin"])]
#: The same for operations that members may use too: a key needs the scope, a token reaches only its own member.
MemberReader = Annotated[Caller, Security(_allowed_member, scopes=["read"])]
MemberWriter = Annotated[Caller, Security(_allowed_member, scopes=["write"])]
