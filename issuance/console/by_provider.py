"""Signing in with the operator's identity provider: the way there, and the way back."""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from issuance import database
from issuance.console.rendering import refuse
from issuance.console.routes import Page
from issuance.console.signing_in import let_in
from issuance.console.visits import own_address
from issuance.errors import IssuanceError, NotFound
from issuance.log import logger
from issuance.people import accounts, sessions
from issuance.people.oidc import Begun, NotVouchedFor, Provider
from issuance.tenancy import clock
from issuance.tenancy.rates import SIGN_INS, Rates, came_from

router = APIRouter(prefix="/console", include_in_schema=False, route_class=Page)

#: The cookie that a browser keeps while it is at the provider, so that it brings no other browser's answer; and the
#: seconds for which it is good.
COOKIE, SECURE_COOKIE, LASTS = "issuance_oidc", "__Host-issuance_oidc", 600


@router.get("/oidc")
def go(request: Request, to: str = "") -> Response:
    """Send the browser to the provider. Only from a page of ours: no other site may sign anybody in."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return RedirectResponse("/console/sign-in", 303)
    provider = _provider(request)
    try:
        begun = provider.begin(_back(request))
    except IssuanceError as error:
        return _refused(request, error)
    response = RedirectResponse(begun.url, 303)
    secure = request.url.scheme == "https"
    kept = json.dumps({"state": begun.state, "nonce": begun.nonce, "verifier": begun.verifier, "to": own_address(to)})
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        urlsafe_b64encode(kept.encode()).decode(),
        max_age=LASTS,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )
    return response


@router.get("/oidc/back")
def come_back(request: Request, code: str = "", state: str = "", error: str = "") -> Response:
    """Back from the provider: let in the person whom it names, if they have a role here."""
    provider = _provider(request)
    kept = _kept(request)
    try:
        if kept is None or not state or not hmac.compare_digest(kept["state"].encode(), state.encode()):
            raise NotVouchedFor("This sign-in was not begun in this browser, or too long ago. Begin again.")
        if error or not code:
            raise NotVouchedFor("The identity provider did not sign you in.")
        rates: Rates = request.app.state.rates
        rates.take(SIGN_INS, came_from(request.client))  # the provider is asked, in our name
        begun = Begun("", kept["state"], kept["nonce"], kept["verifier"])
        identity = provider.finish(_back(request), code, begun, partial(_now, request))
        with database.transaction(request.app.state.engine) as connection:
            person_id = accounts.person_of(connection, identity)
            token = sessions.begin(connection, person_id, request.headers.get("user-agent"))
    except IssuanceError as problem:
        return _refused(request, problem)
    logger.info("signed_in", person=str(person_id), by="oidc")
    response = let_in(request, token, own_address(kept["to"]) or "")
    _forget(request, response)
    return response


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.provider
    if provider is None:
        raise NotFound("There is no such address.")
    return provider


def _now(request: Request) -> int:
    """Real time, in Unix seconds."""
    with database.look(request.app.state.looks) as connection:
        return int(clock.real(connection).timestamp())


def _back(request: Request) -> str:
    return f"{request.base_url}console/oidc/back"


def _kept(request: Request) -> dict[str, Any] | None:
    """What the browser was given on its way; None if it shows nothing that we gave."""
    cookie = request.cookies.get(SECURE_COOKIE if request.url.scheme == "https" else COOKIE, "")
    try:
        kept = json.loads(urlsafe_b64decode(cookie[:4000].encode()))
    except (ValueError, RecursionError):
        return None
    names = ("state", "nonce", "verifier")
    if not isinstance(kept, dict) or not all(
        isinstance(said := kept.get(name), str) and said.isascii() for name in names
    ):
        return None
    return {**kept, "to": kept["to"] if isinstance(kept.get("to"), str) else None}


def _refused(request: Request, error: IssuanceError) -> Response:
    logger.info("sign_in_refused", by="oidc", code=error.code)
    shown = {"to": "", "email": "", "problem": error.message, "provider": request.app.state.provider}
    response = refuse(request, "sign_in.html", error, **shown)
    _forget(request, response)
    return response


def _forget(request: Request, response: Response) -> None:
    secure = request.url.scheme == "https"
    response.delete_cookie(SECURE_COOKIE if secure else COOKIE, path="/", secure=secure, httponly=True, samesite="lax")
