"""The console's addresses, made of its parts."""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from issuance.console import (
    access,
    billers,
    by_provider,
    catalog,
    desk,
    finding,
    incoming,
    liability,
    persons,
    records,
    rules,
    runs,
    sandbox,
    signing_in,
    start,
    webhooks,
)
from issuance.console.rendering import HEADERS, STATIC, render
from issuance.console.routes import Page
from issuance.console.visits import SignedIn
from issuance.errors import NotFound

_KINDS = {".css": "text/css", ".js": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml"}

#: Pages that belong to no brand.
around = APIRouter(prefix="/console", include_in_schema=False, route_class=Page)


@around.get("")
def without_slash() -> Response:
    return RedirectResponse("/console/", 308)


@around.get("/")
def enter(request: Request, session: SignedIn) -> Response:
    """Go to the first brand in which the person has a role."""
    if not session.places:
        return render(request, "nowhere.html", answer=403, session=session)
    return RedirectResponse(f"/console/{session.places[0].brand_id}/", 303)


@around.get("/static/{name}")
def static(name: str) -> Response:
    """A file that pages load."""
    files = _files()
    if name not in files:
        raise NotFound("There is no such address.")
    keep = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}  # its address changes with it
    return Response(files[name], media_type=_KINDS[Path(name).suffix], headers=keep)


@cache
def _files() -> dict[str, bytes]:
    """All files by their names, read once."""
    return {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in _KINDS}


#: In the order in which they are tried: pages of no brand come before `/{brand_id}`.
ROUTERS = (
    around,
    signing_in.router,
    by_provider.router,
    start.router,
    finding.router,
    persons.router,
    desk.router,
    rules.router,
    catalog.router,
    runs.router,
    liability.router,
    incoming.router,
    billers.router,
    webhooks.router,
    records.router,
    access.router,
    sandbox.router,
)
