"""The web application, made of its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from issuance import __version__, database, hints
from issuance.api import (
    analytics,
    audit,
    billers,
    billing_events,
    corrections,
    coupons,
    credit_rules,
    credits,
    document,
    guards,
    health,
    idempotency,
    liability,
    members,
    membership_types,
    memberships,
    offers,
    pages,
    problems,
    quarantine,
    received,
    redemptions,
    runs,
    sandbox,
    stopping,
    wallets,
    webhooks,
)
from issuance.api.requests import Edge
from issuance.console.app import ROUTERS as CONSOLE
from issuance.people import oidc
from issuance.settings import Settings
from issuance.tenancy import heavy
from issuance.tenancy.fairness import PATIENCE, Fair, FairThreads
from issuance.tenancy.rates import Rates

#: How many requests are worked on at once; others wait. Python runs one thread at a time, so with more threads each
#: request would be slower and none quicker. Requests that wait for a clock to settle are not counted.
THREADS = 16
#: How many each process has if there are several web processes.
THREADS_OF_SEVERAL = 8
#: How many looks at who is calling go on at once. They come before a request's caller is known, and take no thread from
#: requests whose caller is. As many again for members' tokens, which are looked up each time, so that keys do not wait
#: behind them.
LOOKING, LOOKING_AT_TOKENS = 8, 4
#: Threads beside these, for work without a place among the requests, such as counting wrong codes.
SPARE_THREADS = 4

_ROUTERS = (
    analytics.router,  # before credits, or `timeseries` would be taken for a code
    credit_rules.router,
    coupons.router,
    membership_types.router,
    memberships.router,
    credits.router,
    corrections.router,
    liability.router,
    billing_events.router,
    received.router,
    billers.router,
    runs.router,
    guards.router,
    quarantine.router,
    sandbox.router,
    members.router,
    wallets.router,
    offers.router,
    redemptions.router,
    webhooks.router,
    audit.router,
    health.router,
    pages.router,
    *CONSOLE,
)

_DESCRIPTION = """Turns membership billing events into credits, by rules, exactly once.

Show a key as `Authorization: Bearer KEY`. Every error is `{"error": {"code", "message", "fields"?}}`, every answer
carries `X-Request-Id`. Lists come in pages: `?page=1&per_page=25`, at most 100 a page. Parameters and fields that an
operation does not know are refused with 422."""


def create_app(settings: Settings) -> FastAPI:
    """The application on the servers that `settings` names."""
    app = FastAPI(
        title="Issuance",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_life,
        redirect_slashes=False,
        openapi_url=None,  # FastAPI would write it again for each request: see `pages`
        docs_url=None,  # its own pages load from elsewhere
        redoc_url=None,
        strict_content_type=False,
    )
    app.state.engine = database.engine_for(settings.database_url)
    app.state.looks = database.looks_for(settings.database_url)
    app.state.broker = hints.broker_for(settings.redis_url)
    app.state.settings = settings
    app.state.provider = oidc.provider_of(settings)
    app.state.rates = Rates(settings.redis_url, settings)
    app.state.fair = Fair(THREADS, PATIENCE, computing=True)
    app.state.looking, app.state.looking_at_tokens = FairThreads(LOOKING), FairThreads(LOOKING_AT_TOKENS)
    app.state.stopping = stopping.State()
    app.state.secrets = {
        "exchangeToken": members.TOKEN,
        "createWebhook": webhooks.SIGNING_SECRET,
        "rotateWebhookSecret": webhooks.SIGNING_SECRET,
    }
    problems.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    app.add_middleware(Edge)
    document.install(app)
    return app


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    connections = database.budget(settings.web_connections, looks=True).transactions
    threads = min(THREADS if settings.web_processes == 1 else THREADS_OF_SEVERAL, connections)
    anyio.to_thread.current_default_thread_limiter().total_tokens = threads + SPARE_THREADS
    app.state.fair.make_room(threads)
    idempotency.make_room(max(1, connections // 2))  # fewer than there are connections, or requests wait for each other
    heavy.make_room(threads)
    yield
