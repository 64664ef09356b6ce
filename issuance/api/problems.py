"""The one form of every error: {"error": {"code", "message", "fields"?}} (INTERFACE 3)."""

import re
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from psycopg.errors import DiskFull, InsufficientPrivilege, UndefinedColumn, UndefinedTable
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from issuance import errors
from issuance.database import full, is_away, is_cut_short, outage
from issuance.database.complaints import in_short
from issuance.errors import Invalid, IssuanceError, NotFound, SchemaBehind
from issuance.fields import complaint
from issuance.log import logger
from issuance.shown import shown
from issuance.tenancy.rates import RateLimited


class Unavailable(IssuanceError):
    """The database can not be reached, or is too busy. Try again in a moment."""

    code = "unavailable"
    status = 503


class TookTooLong(Unavailable):
    """PostgreSQL took longer than 30 seconds over this, and was stopped. Ask for less at a time, or try again later."""


class NotJson(IssuanceError):
    """The body is not JSON."""

    code = "bad_request"
    status = 400


class UnsupportedMediaType(IssuanceError):
    """Send JSON: Content-Type: application/json."""

    code = "unsupported_media_type"
    status = 415


class ErrorDetail(BaseModel):
    code: str = Field(examples=["not_found"], description="What went wrong, for programs")
    message: str = Field(examples=["There is no such thing here."])
    fields: dict[str, str] | None = Field(None, description="What is wrong with each field of the request, by its path")


class Problem(BaseModel):
    """Every error has this form."""

    error: ErrorDetail


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation, for the OpenAPI document."""
    return {status: {"model": Problem, "description": MEANINGS[status]} for status in statuses}


#: The most wrong fields that an answer names, and the most characters of a name.
MOST_FIELDS, LONGEST_NAME = 20, 200

MEANINGS = {
    400: "The body is not JSON, or the signature is not good",
    401: "No key, or not a good one",
    403: "The key does not have the scope for this call",
    404: "There is no such thing here",
    408: "The body did not come in time",
    409: "It does not fit what is there",
    410: "It was there, and is not kept any more",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The request did not pass validation",
    429: "Too much at once, or too often: Retry-After says when to come again",
    503: "Not possible at the moment",
}
_CODES = {404: "not_found", 405: "method_not_allowed"}
#: Modules whose errors are not answered over HTTP, or only by a page of the console.
_ELSEWHERE = re.compile(r"issuance\.(cli|console|embedded|people|billing\.event_files)\b")
#: Codes under /v1 where its reference has a word of its own, on which its clients branch (INTERFACE 7).
_UNDER_V1 = {
    "bad_request": "BAD_REQUEST",
    "not_authenticated": "UNAUTHORIZED",
    "not_allowed": "FORBIDDEN",
    "too_large": "PAYLOAD_TOO_LARGE",
    "invalid": "VALIDATION",
    "error": "INTERNAL",
}


def answer(path: str, status: int, code: str, message: str, fields: dict[str, str] | None = None) -> JSONResponse:
    """An error as it is sent. Codes are UPPER_SNAKE under /v1. People read it, so it repeats nothing that would steer a
    terminal."""
    word = _UNDER_V1.get(code, code.upper()) if path.startswith("/v1/") else code
    detail: dict[str, Any] = {"code": word, "message": shown(message)}
    if fields is not None:
        detail["fields"] = {shown(name): shown(why) for name, why in fields.items()}
    return JSONResponse({"error": detail}, status_code=status)


def codes() -> dict[int, list[str]]:
    """Every code with which the API answers, by status, in the form used outside /v1."""
    found: dict[int, set[str]] = {404: {"not_found"}, 405: {"method_not_allowed"}, 500: {IssuanceError.code}}
    for kind in errors.every():
        if kind.status != IssuanceError.status and not _ELSEWHERE.match(kind.__module__):
            found.setdefault(kind.status, set()).add(kind.code)
    return {status: sorted(named) for status, named in sorted(found.items())}


def said_of_codes() -> str:
    """The codes in words, for the API document."""
    by_status = "; ".join(f"{status}: {', '.join(named)}" for status, named in codes().items())
    under_v1 = ", ".join(f"{theirs} for {ours}" for ours, theirs in _UNDER_V1.items())
    return f"{by_status}. Under /v1 in UPPER_SNAKE, and {under_v1}"


def install(app: FastAPI) -> None:
    """Give every error of `app` this form. `requests.Edge` answers errors without a handler here."""

    def raised(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, IssuanceError), "registered for these"
        response = answer(request.url.path, error.status, error.code, error.message, error.fields)
        if error.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, RateLimited):
            request.state.standing = error.standing
        if error.status in (429, 503):
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException), "registered for these"
        match error.status_code:
            case 400:  # for a body that can not be read
                return raised(request, NotJson(f"The body is not JSON: {error.detail}."))
            case 404:
                message = "There is no such address."
            case 405:
                methods = _methods_at(request)
                message = f"There is no {request.method} at this address, only {', '.join(sorted(methods))}."
                allowed = methods | ({"HEAD"} if "GET" in methods else set())
                error.headers = {"Allow": ", ".join(sorted(allowed))}
            case _:
                message = str(error.detail)
        response = answer(request.url.path, error.status_code, _CODES.get(error.status_code, "error"), message)
        response.headers.update(error.headers or {})
        return response

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError), "registered for these"
        wrong = error.errors()
        if any(part["loc"][0] == "path" for part in wrong):
            return raised(request, NotFound())  # a malformed id is an unknown id
        fields = fields_of(wrong)
        message = "; ".join(f"{field}: {what}" for field, what in list(fields.items())[:5])
        return raised(request, Invalid(message, fields=fields))

    def unavailable(request: Request, error: Exception) -> JSONResponse:
        if is_cut_short(error) and request.method == "GET":
            logger.warning("read_cut_short")
            return raised(request, TookTooLong())
        if is_away(error):
            outage.lasts(getattr(error, "orig", error))
        elif isinstance(getattr(error, "orig", None), DiskFull):
            full.lasts(in_short(error))
        else:
            logger.error("database_unavailable", error=in_short(error))
        return raised(request, Unavailable())

    def not_a_primary(request: Request, error: Exception) -> JSONResponse:
        if is_away(error):
            return unavailable(request, error)
        raise error

    def unstorable(request: Request, error: Exception) -> JSONResponse:
        logger.warning("value_not_storable", error=type(getattr(error, "orig", error)).__name__)
        return raised(request, Invalid("A value of the request can not be stored."))

    def not_understood(request: Request, error: Exception) -> JSONResponse:
        if isinstance(getattr(error, "orig", None), (UndefinedTable, UndefinedColumn)):
            logger.error("schema_behind")
            return raised(request, SchemaBehind())
        if isinstance(getattr(error, "orig", None), InsufficientPrivilege):
            logger.error("right_missing", error=in_short(error))
            return raised(request, Unavailable())
        raise error

    handlers: dict[type[Exception], Callable[[Request, Exception], Response]] = {
        IssuanceError: raised,
        HTTPException: refused,
        RequestValidationError: invalid,
        DataError: unstorable,
        ProgrammingError: not_understood,
        InternalError: not_a_primary,
        **dict.fromkeys((OperationalError, InterfaceError, PoolTimeout), unavailable),
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, _at_once(handler))


def _at_once(handler: Callable[[Request, Exception], Response]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """A handler that takes no thread: strangers who are refused hold no place by then."""

    async def handle(request: Request, error: Exception) -> Response:
        return handler(request, error)

    return handle


async def answer_to(request: Request, error: Exception) -> Response | None:
    """The answer to an error that a route raises; None if no handler is registered for it."""
    handlers = request.app.exception_handlers
    handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    response: Response | None = None if handler is None else await handler(request, error)
    return response


def _methods_at(request: Request) -> set[str]:
    """The methods of an address, by the routes that the API document shows (each route knows only its own); of a page,
    by all routes. An address with a word where others have an id counts as an address of its own."""
    known = _methods(request.app)
    here: str = request.scope["path"]
    if here not in known:
        here = getattr(request.scope.get("route"), "path_format", "")
    return known.get(here, set())


@lru_cache(maxsize=4)
def _methods(app: FastAPI) -> dict[str, set[str]]:
    """The methods of each address. They are found once: that takes some 40 ms, and any stranger may ask with a wrong
    method."""
    found: dict[str, list[APIRoute]] = {}
    for one in iter_route_contexts(app.routes):
        if isinstance(one.original_route, APIRoute):
            found.setdefault(one.original_route.path_format, []).append(one.original_route)
    return {
        path: {
            method
            for route in [one for one in routes if one.include_in_schema] or routes
            for method in route.methods or ()
        }
        for path, routes in found.items()
    }


def fields_of(wrong: Iterable[Any]) -> dict[str, str]:
    """The first thing that is wrong with each of the first MOST_FIELDS fields, by their dotted paths."""
    fields: dict[str, str] = {}
    for part in wrong:
        place = part["loc"] if len(part["loc"]) == 1 else part["loc"][1:]
        fields.setdefault(".".join(str(step)[:LONGEST_NAME] for step in place)[:LONGEST_NAME], complaint(part))
        if len(fields) == MOST_FIELDS:
            break
    return fields
