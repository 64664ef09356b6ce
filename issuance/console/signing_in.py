"""Signing in and out: with e-mail address and password, or with a link that works once."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from issuance import database
from issuance.console.rendering import refuse, render, say
from issuance.console.routes import Page, sentence_of
from issuance.console.visits import (
    COOKIE,
    SECURE_COOKIE,
    ForeignForm,
    SignedIn,
    form_of,
    own_address,
    session_of,
    token_of,
)
from issuance.errors import Invalid, IssuanceError
from issuance.log import logger
from issuance.people import passwords, sessions, sign_ins
from issuance.people.people import as_kept
from issuance.people.sign_ins import LinkIsOver, TooManyTries, WrongPassword
from issuance.tenancy.fairness import FairThreads
from issuance.tenancy.rates import SIGN_INS, RateLimited, Rates, came_from

router = APIRouter(prefix="/console", include_in_schema=False, route_class=Page)

Form = Annotated[dict[str, str], Depends(form_of)]

#: How many passwords are checked at once: each takes 19 MB for a moment. Requests that wait for it have no thread, and
#: take turns by their addresses.
_checking = FairThreads(2)


@router.get("/sign-in")
def ask(request: Request, to: str = "") -> Response:
    """Ask who it is."""
    if session_of(request) is not None:
        return RedirectResponse(own_address(to) or "/console/", 303)
    provider = request.app.state.provider
    return render(request, "sign_in.html", provider=provider, to=own_address(to) or "", email="", problem=None)


@router.post("/sign-in")
async def sign_in(request: Request, form: Form) -> Response:
    """Sign in with e-mail address and password."""
    return await _checking.run(came_from(request.client), _sign_in, request, form)


def _sign_in(request: Request, form: dict[str, str]) -> Response:
    email, to = as_kept(form.get("email", ""))[:400], own_address(form.get("to")) or ""
    engine = request.app.state.engine
    rates: Rates = request.app.state.rates
    try:
        rates.take(SIGN_INS, came_from(request.client))
        with database.transaction(engine) as connection:  # it counts whatever comes of it
            sign_ins.count_try(connection, email)
        with database.transaction(engine) as connection:
            person_id = passwords.person_with(connection, email, form.get("password", ""))
            if person_id is None:
                raise WrongPassword
            sign_ins.was_right(connection, email)
            token = sessions.begin(connection, person_id, request.headers.get("user-agent"))
    except (WrongPassword, TooManyTries, RateLimited) as error:
        logger.info("sign_in_refused", by="password", code=error.code)
        shown = {"to": to, "email": email, "problem": error.message, "provider": request.app.state.provider}
        return refuse(request, "sign_in.html", error, **shown)
    logger.info("signed_in", person=str(person_id), by="password")
    return let_in(request, token, to)


@router.get("/link/{token}")
def show_link(request: Request, token: str) -> Response:
    """Show whom a link lets in. Only the button uses the link up, because programs that read mails follow links too."""
    with database.look(request.app.state.looks) as connection:
        email = sign_ins.whose_link(connection, token)
    return render(request, "link.html", email=email, problem=None, shortest=passwords.SHORTEST)


@router.post("/link/{token}")
async def use_link(request: Request, token: str, form: Form, brand: UUID | None = None) -> Response:
    """Sign in with a link, and keep a password for the next time if one is chosen; go on to the link's brand."""
    return await _checking.run(came_from(request.client), _use_link, request, token, form, brand)


def _use_link(request: Request, token: str, form: dict[str, str], brand: UUID | None) -> Response:
    password, prepared = form.get("password", ""), None
    engine = request.app.state.engine
    try:
        if password:
            with database.transaction(engine) as connection:  # a refused one leaves the link good, and is counted
                email = sign_ins.whose_link(connection, token)
                sign_ins.count_choice(connection, token)
            prepared = passwords.prepare(password, email)
        with database.transaction(engine) as connection:
            person_id = sign_ins.take_link(connection, token)
            if prepared is not None:
                passwords.choose(connection, person_id, prepared)
            token_of_session = sessions.begin(connection, person_id, request.headers.get("user-agent"))
    except LinkIsOver:
        raise
    except IssuanceError as error:
        with database.look(request.app.state.looks) as connection:
            email = sign_ins.whose_link(connection, token)
        shown = {"email": email, "problem": sentence_of(error), "shortest": passwords.SHORTEST}
        return refuse(request, "link.html", error, answer=max(error.status, 422), **shown)
    logger.info("signed_in", person=str(person_id), by="link")
    return let_in(request, token_of_session, f"/console/{brand}/" if brand else "")


@router.post("/sign-out")
def sign_out(request: Request, session: SignedIn, form: Form) -> Response:
    """Sign out of this browser, or of all browsers."""
    if not sessions.is_form_token(session, form.get("form_token", "")):
        raise ForeignForm
    with database.transaction(request.app.state.engine) as connection:
        if "everywhere" in form:
            sessions.end_all(connection, session.person_id)
        else:
            sessions.end(connection, token_of(request) or "")
    response = say(request, RedirectResponse("/console/sign-in", 303), "You are signed out.")
    response.delete_cookie(COOKIE, path="/")
    response.delete_cookie(SECURE_COOKIE, path="/", secure=True)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@router.get("/me")
def me(request: Request, session: SignedIn) -> Response:
    """Show the person's own password form and browsers."""
    return render(request, "me.html", **_own(request, session))


@router.post("/me/browsers/{session_id}/sign-out")
def sign_out_one(request: Request, session: SignedIn, session_id: str, form: Form) -> Response:
    """Sign out of one other browser."""
    if not sessions.is_form_token(session, form.get("form_token", "")):
        raise ForeignForm
    with database.transaction(request.app.state.engine) as connection:
        sessions.end_one(connection, session.person_id, session_id)
    return say(request, RedirectResponse("/console/me", 303), "That browser is signed out.")


def _own(request: Request, session: sessions.Session, problem: str | None = None) -> dict[str, Any]:
    """What the page about oneself shows: the person's browsers."""
    with request.app.state.looks.connect() as connection:
        browsers = sessions.all_of(connection, session.person_id, token_of(request) or "")
    return {"session": session, "browsers": browsers, "problem": problem, "shortest": passwords.SHORTEST}


@router.post("/me/password")
async def choose_password(request: Request, session: SignedIn, form: Form) -> Response:
    """Set a new password. Every browser is signed out, except this one, which gets a new session."""
    return await _checking.run(came_from(request.client), _choose_password, request, session, form)


def _choose_password(request: Request, session: sessions.Session, form: dict[str, str]) -> Response:
    if not sessions.is_form_token(session, form.get("form_token", "")):
        raise ForeignForm
    try:
        with database.transaction(request.app.state.engine) as connection:
            sign_ins.count_try(connection, session.email)
            sign_ins.count_choice(connection, session.person_id)
        prepared = passwords.prepare(form.get("new_password", ""), session.email)
        with database.transaction(request.app.state.engine) as connection:
            known = passwords.person_with(connection, session.email, form.get("password", ""))
            if known is None and passwords.has_one(connection, session.person_id):
                raise Invalid("The present password is another one.")
            sign_ins.was_right(connection, session.email)
            passwords.choose(connection, session.person_id, prepared)
            token = sessions.begin(connection, session.person_id, request.headers.get("user-agent"))
    except IssuanceError as error:
        shown = _own(request, session, sentence_of(error))
        return refuse(request, "me.html", error, answer=max(error.status, 422), **shown)
    changed = "Your password is changed; all other browsers are signed out."
    return say(request, let_in(request, token, "/console/me"), changed)


def let_in(request: Request, token: str, to: str) -> Response:
    """Go on to the page that the person wanted, in a new session; a session that the browser had is over."""
    old = token_of(request)
    if old is not None:
        with database.transaction(request.app.state.engine) as connection:
            sessions.end(connection, old)
    response = RedirectResponse(to or "/console/", 303)
    secure = request.url.scheme == "https"
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        token,
        max_age=int(sessions.LONGEST.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )
    return response
