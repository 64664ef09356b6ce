"""`/healthz`, `/readyz`, `/metrics`: for load balancers and Prometheus, without a key (INTERFACE 10)."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from issuance import database, health
from issuance.api import metrics

router = APIRouter(tags=["health"])


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

    With the broker away it is 200 and `degraded`: events are taken, and settled later.
    """
    failed = health.failures(request.app.state.engine)
    said = {"ready": not failed, "failed": failed, "degraded": health.degraded(request.app.state.broker)}
    return JSONResponse(said, status_code=503 if failed else 200)


@router.get(
    "/metrics",
    operation_id="getMetrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def read_metrics(request: Request) -> Response:
    """Requests, and what is due, unsettled, rejected and quarantined, for Prometheus."""
    with database.transaction(request.app.state.engine) as connection:
        figures = health.figures(connection)
    return Response(metrics.exposition(figures), media_type=CONTENT_TYPE_LATEST)
