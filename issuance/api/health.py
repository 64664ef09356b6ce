"""`/healthz`, `/readyz`, `/metrics`: for load balancers and Prometheus, without a key (INTERFACE 10)."""

import hmac

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from issuance import database, health, heartbeats, hints
from issuance.api import metrics, problems
from issuance.api.requests import Edge
from issuance.api.routes import OpenRoute
from issuance.errors import NotAuthenticated, NotFound
from issuance.settings import Settings
from issuance.tenancy.fairness import PATIENCE, Fair, FairThreads
from issuance.tenancy.rates import METRICS, WRONG_KEYS, Rates, came_from

router = APIRouter(tags=["health"], route_class=OpenRoute)

#: How many looks at the metrics go on at once at an address of their own: each takes one of the process's connections.
SCRAPES = 2


class Health(BaseModel):
    alive: bool


class Readiness(BaseModel):
    ready: bool
    failed: dict[str, str]
    degraded: list[str]


@router.get("/healthz", operation_id="getHealth")
async def alive() -> Health:
    """The process answers, however busy its threads are."""
    return Health(alive=True)


@router.get("/readyz", operation_id="getReadiness", response_model=Readiness, responses={503: {"model": Readiness}})
def ready(request: Request) -> JSONResponse:
    """The database can be reached and written to, and its schema is one to work with; else 503 and what has failed.

    With the broker away it is 200 and `degraded`: events are taken, and settled later. So it is with a scheduler or
    with workers that were there and have not been heard of for 45 seconds.
    """
    failed = health.failures(request.app.state.engine)
    degraded = [] if hints.reaches(request.app.state.broker) else ["broker"]
    if not failed:
        with database.transaction(request.app.state.engine) as connection:
            degraded += heartbeats.dead(connection)
    said = {"ready": not failed, "failed": failed, "degraded": degraded}
    return JSONResponse(said, status_code=503 if failed else 200)


@router.get(
    "/metrics",
    operation_id="getMetrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems.documented(401, 404, 429),
    },
)
def read_metrics(request: Request) -> Response:
    """Requests, what is due, unsettled, rejected and quarantined, and what all processes have counted, for Prometheus.
    Asks for the key of the setting ISSUANCE_METRICS_KEY where there is one; 404 where ISSUANCE_METRICS_HOST has it
    listen elsewhere."""
    own: Settings = request.app.state.settings
    if own.metrics_host is not None and not getattr(request.app.state, "is_metrics_door", False):
        raise NotFound("The metrics are at another address.")
    rates: Rates = request.app.state.rates
    source = came_from(request.client)
    if own.metrics_key is not None:
        rates.check(WRONG_KEYS, source)
        shown = request.headers.get("authorization", "")
        if not hmac.compare_digest(shown.encode(), f"Bearer {own.metrics_key.get_secret_value()}".encode()):
            rates.wrong(WRONG_KEYS, source, times=1 if shown else 0)
            raise NotAuthenticated("Send the key of ISSUANCE_METRICS_KEY: Authorization: Bearer KEY.")
    rates.take(METRICS, source)
    with database.transaction(request.app.state.engine) as connection:
        figures = health.figures(connection)
        of_processes = list(heartbeats.metrics(connection))
    of_queues = hints.waiting(request.app.state.broker)
    return Response(metrics.exposition(figures, of_processes, of_queues), media_type=CONTENT_TYPE_LATEST)


def metrics_door(app: FastAPI) -> FastAPI:
    """An application with the metrics of another one and nothing else, for an address of their own. It has an event
    loop and places of its own."""
    door = FastAPI(openapi_url=None)
    door.state.settings, door.state.engine, door.state.broker = app.state.settings, app.state.engine, app.state.broker
    door.state.rates = app.state.rates
    door.state.is_metrics_door = True
    door.state.stopping = app.state.stopping
    door.state.fair, door.state.looking = Fair(SCRAPES, PATIENCE), FairThreads(SCRAPES)
    problems.install(door)
    only = APIRouter(route_class=OpenRoute)
    only.get("/metrics", response_class=Response)(read_metrics)
    door.include_router(only)
    door.add_middleware(Edge)
    return door
