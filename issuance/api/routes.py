"""The route that every operation with a key goes through: first who is calling, then everything else."""

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import APIRoute

from issuance import limits
from issuance.api import idempotency
from issuance.api.callers import Caller, admit, admit_at_once, asking, shows_token
from issuance.api.requests import JsonRequest
from issuance.errors import CodeUnknown, CreditUnknown, Invalid, NotFound
from issuance.tenancy.fairness import Fair, FairThreads
from issuance.tenancy.rates import WRONG_CODES, Rates, came_from

#: Operations whose bodies name codes; others have them in their paths.
CODES_IN_BODY = ("createRedemption", "correctCredits")


class TooMuchAsked(Invalid):
    """The answer would be longer than 4 MB: ask for less at a time, such as fewer a page (per_page)."""

    code = "too_much_asked"


class OpenRoute(APIRoute):
    """A route without a key: requests that take a thread share places by their addresses."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if iscoroutinefunction(self.endpoint):
            return handle

        async def placed(request: Request) -> Response:
            async with place_of_a_stranger(request):
                return await handle(request)

        return placed


def place_of_a_stranger(request: Request) -> AbstractAsyncContextManager[None]:
    """A place for a request that shows no key: strangers have places by their addresses."""
    fair: Fair = request.app.state.fair
    return fair.place(came_from(request.client))


def place_of(request: Request, caller: Caller) -> AbstractAsyncContextManager[None]:
    """A place for a part of a request that has none while it waits for others. With an Idempotency-Key it is at work
    already, in a share of its own, and who is at work waits for no place."""
    fair: Fair = request.app.state.fair
    return nullcontext() if caller.work is not None else fair.place(caller.brand_id)


class KeyedRoute(APIRoute):
    """A route that checks the key before it reads the body, so that strangers learn nothing from a 422.

    Brands share the places in which requests are worked on. Endpoints that are coroutines wait for others within limits
    of their own, and hold no place meanwhile."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._waits = iscoroutinefunction(endpoint)
        super().__init__(path, endpoint if self._waits else self._in_thread(endpoint), **options)
        self._takes_codes = "{code}" in self.path or self.operation_id in CODES_IN_BODY

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def keyed(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive)
            at_once = admit_at_once(request)
            if at_once is None:
                state = request.app.state
                threads: FairThreads = state.looking_at_tokens if shows_token(request) else state.looking
                at_once = await threads.run(asking(request), admit, request)
            caller: Caller = at_once
            request.state.caller = caller
            fair: Fair = request.app.state.fair
            shown = request.headers.get(idempotency.HEADER)
            place: AbstractAsyncContextManager[None] = nullcontext() if self._waits else fair.place(caller.brand_id)
            if request.method == "POST" and shown is not None:
                return await idempotency.answer_once(request, caller, shown, careful, place)
            async with place:
                return await careful(request)

        async def careful(request: Request) -> Response:
            """Count wrong codes, and refuse more codes from a caller who had too many wrong ones; requests without
            codes go on."""
            rates: Rates = request.app.state.rates
            caller: Caller = request.state.caller
            if self._takes_codes:
                rates.check(WRONG_CODES, caller.name)
            try:
                return await handle(request)
            except (NotFound, CreditUnknown, CodeUnknown) as error:
                if not isinstance(error, NotFound) or "{code}" in self.path:
                    await run_in_threadpool(rates.wrong, WRONG_CODES, caller.name)
                raise

        return keyed

    def _in_thread(self, endpoint: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        """An endpoint that runs in a thread, which also writes the answer, so that a long answer holds up nobody."""

        def answered(**arguments: Any) -> Any:
            said = endpoint(**arguments)
            if not isinstance(said, Response) and self.response_field is not None:
                said = self._written(said)
            # A request that changes something has changed it by now, so it gets its answer, however long.
            longest = limits.current.doors.longest_answer
            if "GET" in (self.methods or ()) and isinstance(said, Response) and len(said.body) > longest:
                raise TooMuchAsked
            return said

        @wraps(endpoint)
        async def threaded(**arguments: Any) -> Any:
            return await run_in_threadpool(answered, **arguments)

        return threaded

    def _written(self, said: Any) -> Response:
        """An answer as FastAPI writes it, with the model that the document shows."""
        assert self.response_field is not None, "it has a model"
        shown, wrong = self.response_field.validate(said, {}, loc=("response",))
        if wrong:
            raise ResponseValidationError(errors=wrong, body=None)
        content = self.response_field.serialize_json(shown, by_alias=self.response_model_by_alias)
        return Response(content, self.status_code or 200, media_type="application/json")
