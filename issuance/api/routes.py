"""The route that every operation with a key goes through: first who is calling, then everything else."""

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from issuance.api import idempotency
from issuance.api.callers import Caller, admit, admit_at_once
from issuance.api.requests import JsonRequest
from issuance.errors import CreditUnknown, NotFound
from issuance.tenancy.rates import WRONG_CODES, Rates


class KeyedRoute(APIRoute):
    """A route that checks the key before it reads the body, so that strangers learn nothing from a 422."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _in_thread(endpoint), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def keyed(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive)
            at_once = admit_at_once(request)
            caller: Caller = at_once if at_once is not None else await run_in_threadpool(admit, request)
            request.state.caller = caller
            shown = request.headers.get(idempotency.HEADER)
            if request.method == "POST" and shown is not None:
                return await idempotency.answer_once(request, caller, shown, careful)
            return await careful(request)

        async def careful(request: Request) -> Response:
            """Count codes that are wrong, and take none from a caller who had too many."""
            rates: Rates = request.app.state.rates
            caller: Caller = request.state.caller
            rates.check(WRONG_CODES, caller.name)
            try:
                return await handle(request)
            except (NotFound, CreditUnknown) as error:
                if isinstance(error, CreditUnknown) or "{code}" in self.path:
                    await run_in_threadpool(rates.wrong, WRONG_CODES, caller.name)
                raise

        return keyed


def _in_thread(endpoint: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """An endpoint that runs in a thread. FastAPI would do so too, but would then use a second one for the answer."""
    if iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def threaded(**arguments: Any) -> Any:
        return await run_in_threadpool(endpoint, **arguments)

    return threaded
