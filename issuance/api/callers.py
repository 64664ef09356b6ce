"""Who is calling: a program with a key, or a member with a token, and what they may do.

401 comes before any other error, then 403.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
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
from issuance.tenancy import known_keys, tokens
from issuance.tenancy.keys import Key
from issuance.tenancy.rates import FACTS, OF_A_BRAND, OF_A_KEY, WRONG_CODES, WRONG_KEYS, Known, Rates, came_from

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
    #: Which of the brand's callers this is: each one has its own limits.
    name: str
    engine: Engine
    broker: Broker
    #: The address that was asked for.
    url: URL
    key: Key | None = None
    #: The brand's id of the member whose token was shown.
    member: str | None = None
    #: On whose behalf the work is done, as PostgreSQL stamps it.
    acting: Acting | None = None
    rates: Rates | None = None
    #: Whether the request changes nothing.
    reads: bool = False
    #: The transaction of the whole request, if it has one (api/idempotency.py).
    work: Connection | None = None

    @property
    def sender(self) -> str:
        """The owner of Idempotency-Keys: a key together with the keys that take its place, or a member."""
        return self.name if self.key is None else f"key {self.key.sender}"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One unit of work on the caller's brand: commits at the end of the block, before the answer is sent."""
        if self.work is None:
            with database.transaction(self.engine, self.brand_id, self.acting, reads=self.reads) as connection:
                yield connection
        else:
            with self.work.begin_nested():
                yield self.work

    def guessed(self, times: int) -> None:
        """Count the codes of a body that no credit has. Raises RateLimited beyond the limit: then the answer must say
        nothing about any code."""
        if self.rates is not None:
            self.rates.wrong(WRONG_CODES, self.name, times)

    def told(self, number: int) -> None:
        """Count so many bytes of facts, which are kept for ever. Raises RateLimited where the brand has told too many
        today."""
        if self.rates is not None:
            self.rates.take(FACTS, str(self.brand_id), number)

    def about(self, external_user_id: str | None) -> str | None:
        """The member that a call is about: the named member, or the token's own. Raises NotAllowed."""
        if self.member is not None and external_user_id not in (None, self.member):
            raise NotAllowed("A member token reaches only its own member.")
        return self.member or external_user_id


def caller_of(request: Request) -> Caller:
    """Who sends this request. Raises NotAuthenticated."""
    shown = _shown(request)
    if shown is None:
        raise NotAuthenticated
    looks: Engine = request.app.state.looks
    if _is_token(shown):
        with database.look(looks) as connection:
            holder = tokens.find(connection, shown)
        database.outage.is_over()
        if holder is None:
            raise NotAuthenticated("This token is not good: it has expired, or its member was removed.")
        actor = Actor("member", holder.member_id)
        return _caller(request, holder.brand_id, actor, member=holder.external_user_id)
    # If many requests came with it at once, the first one has asked by now.
    key = known_keys.recall(shown) or known_keys.find(looks, shown)
    database.outage.is_over()
    if key is None:
        raise NotAuthenticated("This key is not valid: it is mistyped, or it was revoked.")
    return _with_key(request, key)


def asking(request: Request) -> Hashable:
    """Who shares the looks at keys and tokens: the brand whose key or token was good before, or a stranger's address.
    Raises RateLimited, because a request over a limit does not wait."""
    rates: Rates = request.app.state.rates
    known = rates.known(_sent(request))
    if known is None:
        address = _address(request)
        rates.check(WRONG_KEYS, address)
        return address
    rates.check_left(OF_A_KEY, known.name)
    rates.check_left(OF_A_BRAND, str(known.brand_id))
    return known.brand_id


def admit(request: Request) -> Caller:
    """`caller_of`, within the limits of the request's address, key and brand. How these stand is noted for the answer.
    Raises NotAuthenticated, RateLimited."""
    rates: Rates = request.app.state.rates
    shown, address = _sent(request), _address(request)
    if rates.known(shown) is None:
        rates.check(WRONG_KEYS, address)
    try:
        caller = caller_of(request)
    except NotAuthenticated:
        rates.was_bad(shown)
        if shown:
            rates.wrong(WRONG_KEYS, address)
        raise
    rates.was_good(shown, Known(caller.brand_id, caller.name, caller.key is not None))
    return _counted(request, caller)


def admit_at_once(request: Request) -> Caller | None:
    """`admit`, if that is possible without asking PostgreSQL or the broker; otherwise None. Raises RateLimited."""
    shown = _shown(request)
    key = None if shown is None else known_keys.recall(shown)
    if key is None:
        return None
    rates: Rates = request.app.state.rates
    caller = _with_key(request, key)
    quick = rates.is_quick(OF_A_KEY, caller.name) and rates.is_quick(OF_A_BRAND, str(caller.brand_id))
    return _counted(request, caller) if quick else None


def shows_token(request: Request) -> bool:
    """Whether a request shows a member's token."""
    return _is_token(_shown(request) or "")


def _is_token(shown: str) -> bool:
    return shown.count(".") == 2


def _shown(request: Request) -> str | None:
    """The key or token that a request shows."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    return shown.strip() if scheme.lower() == "bearer" and shown else None


def _sent(request: Request) -> str:
    return request.headers.get("authorization", "")


def _address(request: Request) -> str:
    return came_from(request.client)


def _with_key(request: Request, key: Key) -> Caller:
    return _caller(request, key.brand_id, Actor("key", key.key_id, key.name), key=key)


def _caller(
    request: Request, brand_id: UUID, actor: Actor, *, key: Key | None = None, member: str | None = None
) -> Caller:
    engine: Engine = request.app.state.engine
    broker: Broker = request.app.state.broker
    acting = actor.acting(getattr(request.state, "request_id", None))
    name, rates = f"{actor.kind} {actor.id}", request.app.state.rates
    reads = request.method == "GET"
    return Caller(brand_id, name, engine, broker, request.url, key, member, acting, rates, reads)


def _counted(request: Request, caller: Caller) -> Caller:
    rates: Rates = request.app.state.rates
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


#: Endpoints declare these: the caller, with the scope that a key needs.
Reader = Annotated[Caller, Security(_allowed, scopes=["read"])]
Writer = Annotated[Caller, Security(_allowed, scopes=["write"])]
Issuer = Annotated[Caller, Security(_allowed, scopes=["issue"])]
#: A caller who may become a member.
TokenMaker = Annotated[Caller, Security(_allowed, scopes=["tokens"])]
Administrator = Annotated[Caller, Security(_allowed, scopes=["admin"])]
#: The same for operations that members may use too: a key needs the scope, and a token reaches only its own member.
MemberReader = Annotated[Caller, Security(_allowed_member, scopes=["read"])]
MemberWriter = Annotated[Caller, Security(_allowed_member, scopes=["write"])]
