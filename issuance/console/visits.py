"""Visits: who asks for a page, in which brand, and whether their role suffices."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from dramatiq import Broker
from fastapi import Depends, Request, Response, Security
from fastapi.responses import RedirectResponse
from fastapi.security import SecurityScopes
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Engine

from issuance import database
from issuance.audit import Actor
from issuance.console.rendering import label, render, say
from issuance.console.routes import NotSignedIn, looked
from issuance.credits.codes import may_be_one
from issuance.database import Acting
from issuance.errors import Invalid, NotAllowed, NotFound
from issuance.fields import CalendarDate
from issuance.people import sessions
from issuance.people.roles import Role, may
from issuance.people.sessions import Place, Session
from issuance.tenancy.rates import OF_A_BRAND, OF_A_PERSON, WRONG_CODES, Rates

#: The cookie of a session. Over HTTPS no other host and no insecure page can set it.
COOKIE, SECURE_COOKIE = "issuance_session", "__Host-issuance_session"
_DAY: TypeAdapter[date] = TypeAdapter(CalendarDate)
#: The most fields of a form.
MOST_FIELDS = 200


class ForeignForm(NotAllowed):
    """This form did not come from a page of this session. Open the page again and send it once more."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody with a role in a brand, who asks for one of its pages or sends one of its forms."""

    request: Request
    session: Session
    place: Place
    #: The form's fields; empty if no form was sent.
    form: Mapping[str, str]

    @property
    def brand_id(self) -> UUID:
        return self.place.brand_id

    @property
    def root(self) -> str:
        """Where the pages of the brand begin."""
        return f"/console/{self.place.brand_id}"

    @property
    def zone(self) -> ZoneInfo:
        """The brand's time zone."""
        return ZoneInfo(self.place.timezone)

    @property
    def engine(self) -> Engine:
        engine: Engine = self.request.app.state.engine
        return engine

    @property
    def broker(self) -> Broker:
        broker: Broker = self.request.app.state.broker
        return broker

    @property
    def acting(self) -> Acting:
        """On whose behalf the work is done."""
        who = Actor("person", self.session.person_id, self.session.email)
        return who.acting(getattr(self.request.state, "request_id", None))

    def may(self, needed: Role) -> bool:
        return may(self.place.role, needed)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One unit of work on the brand, by this person: commits at the end of the block."""
        reads = self.request.method == "GET"
        with database.transaction(self.engine, self.brand_id, self.acting, reads=reads) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """The brand as it is at one instant, to be read by many statements."""
        at_one_instant = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with database.transaction(at_one_instant, self.brand_id, self.acting, reads=True) as connection:
            yield connection

    def page(self, template: str, *, answer: int = 200, **context: Any) -> Response:
        return render(self.request, template, answer=answer, visit=self, **context)

    def guessed(self, code: str) -> None:
        """Count a typed text that no credit has as code, if it could be a code. Raises RateLimited beyond the limit."""
        if may_be_one(code):
            rates: Rates = self.request.app.state.rates
            rates.wrong(WRONG_CODES, f"person {self.session.person_id}")

    def done(self, sentence: str, to: str | None = None) -> Response:
        """Go back to the page that the form was on, or on to another one of the brand, with a message of what was
        done."""
        address = self.root + to if to is not None else getattr(self.request.state, "back", None) or self.root + "/"
        return say(self.request, RedirectResponse(address, 303), sentence)

    def said(self, field: str, *, most: int = 4000) -> str | None:
        """The text that was typed into a field; None if there is none. Raises Invalid for more than `most`
        characters."""
        typed = self.form.get(field, "").strip()
        if len(typed) > most:
            raise Invalid(f"{label(field)}: at most {most} characters.")
        return typed or None

    def reason(self) -> str:
        """The reason that was typed. Raises Invalid if there is none: a change by a person has a reason (SEMANTICS
        15)."""
        reason = self.said("reason", most=500)
        if reason is None:
            raise Invalid("Say why: a reason goes with it.", fields={"reason": "is required"})
        return reason

    def day(self, field: str) -> date:
        """The day that was typed. Raises Invalid."""
        try:
            return _DAY.validate_python(self.said(field) or "")
        except ValidationError:
            raise Invalid("Say the day, such as 2031-04-30.", fields={field: "must be a date"}) from None


def token_of(request: Request) -> str | None:
    """The token with which the browser shows its session."""
    return request.cookies.get(SECURE_COOKIE if request.url.scheme == "https" else COOKIE)


def session_of(request: Request) -> Session | None:
    """The session that the browser shows, if it is not over."""
    token = token_of(request)
    if not token or len(token) > 100:
        return None
    with database.look(request.app.state.looks) as connection:
        found = sessions.find(connection, token)
    database.outage.is_over()
    return found


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, with the first value of each. Raises ForeignForm if it does not come from a page of this
    origin."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    try:
        home = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:
        home = False
    if site != "same-origin" and (site is not None or not home):
        raise ForeignForm
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Invalid("The form can not be read.") from None
    form: dict[str, str] = {}
    for name, value in pairs:
        form[name] = f"{form[name]},{value}" if name in form else value
    return form


def own_address(address: str | None) -> str | None:
    """An address of the console, to go back to; None for any other."""
    if address and address.startswith("/console/") and address.isprintable() and "\\" not in address:
        return address
    return None


async def _entered(request: Request, needed: SecurityScopes) -> Visit:
    session, place = await looked(request, _found, request)
    if place is None:  # another's brand is as unknown as one that is not there
        raise NotFound("There is no such brand, or you have no role in it.")
    form: dict[str, str] = {}
    visit = Visit(request, session, place, form)
    request.state.visit = visit
    if request.method == "POST":
        form.update(await form_of(request))
        if not sessions.is_form_token(session, form.pop("form_token", "")):
            raise ForeignForm
        request.state.back = own_address(form.pop("back", None))
    for role in needed.scopes:
        if not visit.may(role):  # type: ignore[arg-type]
            raise NotAllowed(f"This needs the role {role}; yours here is {place.role}.")
    return visit


def check_guesses(request: Request, session: Session) -> None:
    """Raises RateLimited for a person who has typed too many wrong codes: no other code is looked up."""
    rates: Rates = request.app.state.rates
    rates.check(WRONG_CODES, f"person {session.person_id}")


async def _signed_in(request: Request) -> Session:
    session, _ = await looked(request, _found, request)
    return session


def _found(request: Request) -> tuple[Session, Place | None]:
    """Who is signed in, and the brand that the address names, if they have a role there; within the limits of both.

    Raises NotSignedIn, RateLimited."""
    session = session_of(request)
    if session is None:
        raise NotSignedIn
    request.state.session = session
    rates: Rates = request.app.state.rates
    rates.take(OF_A_PERSON, str(session.person_id))
    if "code" in request.path_params:
        check_guesses(request, session)
    try:
        place = session.place(UUID(request.path_params.get("brand_id", "")))
    except ValueError:
        place = None
    if place is not None:
        rates.take(OF_A_BRAND, str(place.brand_id))
    return session, place


SignedIn = Annotated[Session, Depends(_signed_in)]
#: What a page declares: its visitor, with the role that it needs.
Viewer = Annotated[Visit, Security(_entered, scopes=["viewer"])]
Desk = Annotated[Visit, Security(_entered, scopes=["desk"])]
Manager = Annotated[Visit, Security(_entered, scopes=["manager"])]
Admin = Annotated[Visit, Security(_entered, scopes=["admin"])]
