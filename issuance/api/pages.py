"""Pages for people: `/`, and `/docs`, where the API is described and tried out.

Everything that they load comes from this origin, so they work offline, and nobody else sees a key that is typed in
there."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from issuance.api import document
from issuance.api.routes import OpenRoute
from issuance.console.rendering import POLICY, same_for_all
from issuance.errors import NotFound

router = APIRouter(include_in_schema=False, route_class=OpenRoute)

#: What these pages may load and do; every other answer may do nothing (`headers.HEADERS`).
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY}

# Only styles are inline: a few here, and those of Swagger UI. Its validator is a service elsewhere, which is never
# asked.
_DOCS = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Issuance: every call</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="docs/swagger-ui.css">
<style>
body { margin: 0; } .head { font: 15px/1.5 ui-sans-serif, system-ui, sans-serif; }
.head { max-width: 1460px; margin: 0 auto; padding: 16px 20px 0; }
.head h1 { margin: 0; font-size: 22px; } .head a { color: #0b6b5d; }
@media (prefers-color-scheme: dark) { html { background: #1c2022; color: #e4e6e6; } .head a { color: #5cc4b1; } }
</style></head>
<body><main><div class="head"><h1>Every call</h1><p><a href="console/">The console</a></p></div>
<div id="swagger-ui"></div></main>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body>
</html>
"""
_START = """if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.classList.add("dark-mode");
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout", docExpansion: "none"
});
"""
#: Swagger UI's own files, as fastapi-offline brings them.
_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@router.get("/")
async def home() -> Response:
    """What this is, and where to go on."""
    return HTMLResponse(same_for_all("home.html"), headers={"Content-Security-Policy": POLICY})


@router.get("/docs")
async def docs() -> Response:
    """Every call, to read and to try out."""
    return HTMLResponse(_DOCS, headers=_HEADERS)


@router.get("/openapi.json")
def described(request: Request) -> Response:
    """Every call, for programs."""
    return Response(document.written(request.app), media_type="application/json")


@router.get("/docs/start.js")
async def start() -> Response:
    """Opens the document in Swagger UI."""
    return Response(_START, media_type="text/javascript", headers=_HEADERS)


@router.get("/docs/{name}")
def file(name: str) -> Response:
    """One of Swagger UI's files."""
    if name not in _FILES:
        raise NotFound("There is no such address.")
    return Response(_read(name), media_type=_FILES[name], headers={**_HEADERS, "Cache-Control": "max-age=3600"})


@router.get("/redoc")
async def redoc() -> Response:
    """Where the document was shown in another way."""
    return RedirectResponse("docs")


@cache
def _read(name: str) -> bytes:
    """A file, which is read once. The package is not imported, because it would make another application."""
    found = find_spec("fastapi_offline")
    assert found is not None, "it is installed with Issuance"
    assert found.origin is not None, "it has a file"
    return (Path(found.origin).parent / "static" / name).read_bytes()
