"""The route that every page goes through: an error becomes a page, or a message on the page from which the form
came."""

from collections.abc import Callable, Coroutine, Hashable
from contextlib import AbstractAsyncContextManager, nullcontext
from inspect import iscoroutinefunction
from typing import Any, TypeVar, TypeVarTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from issuance.console.rendering import complaint_in_words, refuse, say
from issuance.database import is_away, is_cut_short, outage
from issuance.errors import Invalid, IssuanceError, NotAuthenticated, NotFound
from issuance.log import logger
from issuance.tenancy.fairness import Fair, FairThreads, TooManyAtOnce
from issuance.tenancy.rates import RateLimited, came_from

UTC = ZoneInfo("UTC")
#: Characters of what is wrong that are put into words: all requests of a process wait for it.
LONGEST_COMPLAINT = 4000

Given = TypeVarTuple("Given")
Made = TypeVar("Made")


class NotSignedIn(NotAuthenticated):
    """Sign in first."""


class Unavailable(IssuanceError):
    """The database can not be reached, or is too busy. Try again in a moment."""

    code = "unavailable"
    status = 503


class TookTooLong(Unavailable):
    """PostgreSQL took longer than 30 seconds over this page, and was stopped. Ask for less, or try again later."""


def place_of_a_visitor(request: Request) -> AbstractAsyncContextManager[None]:
    """A place among the requests for what an address asks of the console."""
    fair: Fair = request.app.state.fair
    return fair.place(_visitor(request))


async def looked(request: Request, look: Callable[[*Given], Made], *given: *Given) -> Made:
    """What a look at who asks comes to, in a thread for looks: they are shared out by the address, as are those of the
    API."""
    looking: FairThreads = request.app.state.looking
    return await looking.run(_visitor(request), look, *given)


def _visitor(request: Request) -> Hashable:
    return "console", came_from(request.client)


class Page(APIRoute):
    """A page of the console. Requests share places by their addresses; a request that waits for others holds no place,
    and takes one for what needs a thread."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        waits = iscoroutinefunction(self.endpoint)

        async def shown(request: Request) -> Response:
            try:
                async with nullcontext() if waits else place_of_a_visitor(request):
                    return await handle(request)
            except NotSignedIn:
                return _to_sign_in(request)
            except IssuanceError as error:
                return _refused(request, await _counted(request, error))
            except RequestValidationError as error:
                return _refused(request, _wrong(error))
            except DataError:
                return _refused(request, Invalid("Something that was typed in can not be stored."))
            except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
                if is_cut_short(error) and request.method == "GET":
                    logger.warning("read_cut_short")
                    return _refused(request, TookTooLong())
                if is_away(error):
                    outage.lasts(getattr(error, "orig", error))
                else:
                    logger.error("database_unavailable", error=type(getattr(error, "orig", error)).__name__)
                return _refused(request, Unavailable())

        return shown


async def _counted(request: Request, error: IssuanceError) -> IssuanceError:
    """Count a code that no credit has: only so many of them get an answer."""
    visit, code = getattr(request.state, "visit", None), request.path_params.get("code")
    if isinstance(error, NotFound) and visit is not None and code is not None:
        try:
            await looked(request, visit.guessed, code)
        except (RateLimited, TooManyAtOnce) as limited:
            return limited
    return error


def _to_sign_in(request: Request) -> Response:
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    to = f"?to={quote(asked)}" if request.method == "GET" and asked != "/console/" else ""
    return RedirectResponse(f"/console/sign-in{to}", 303)


def _refused(request: Request, error: IssuanceError) -> Response:
    """Refuse: on the page that the form was on, if the form names it; else with a page of its own."""
    back = getattr(request.state, "back", None)
    visit = getattr(request.state, "visit", None)
    sentence = sentence_of(error, visit.zone if visit is not None else UTC)
    if back is not None and error.status < 500:
        return say(request, RedirectResponse(back, 303), sentence, refused=True)
    return refuse(request, "problem.html", error, visit=visit, sentence=sentence, code=error.status)


def sentence_of(error: IssuanceError, zone: ZoneInfo = UTC) -> str:
    """What is wrong, in words: the message, and each wrong field that it does not name, by its name in the form."""
    fields = [f"{name}: {what}" for name, what in (error.fields or {}).items()]
    silent = error.message == (type(error).__doc__ or "") or not error.message
    return complaint_in_words(("; ".join(fields) if fields and silent else error.message)[:LONGEST_COMPLAINT], zone)


def _wrong(error: RequestValidationError) -> IssuanceError:
    wrong = error.errors()
    if any(part["loc"][0] == "path" for part in wrong):
        return NotFound()  # a malformed id is an unknown one
    said = "; ".join(f"{part['loc'][-1]}: {part['msg'].removeprefix('Value error, ')}" for part in wrong[:5])
    return Invalid(said)
