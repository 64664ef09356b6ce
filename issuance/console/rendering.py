"""How pages are made: their templates, what they may load, and the form of dates, counts and words."""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from issuance import __version__
from issuance.console.rooms import ROOMS
from issuance.console.words import BADGES, COMPLAINTS, LABELS, OF_A_SET, WORDS
from issuance.errors import IssuanceError
from issuance.shown import shown

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"

#: Everything comes from this origin; no script and no style is written into a page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
#: The cookie with a message that the next page shows once; over HTTPS no other host and no insecure page can set it.
SAID, SECURE_SAID = "issuance_said", "__Host-issuance_said"
#: Dates and instants within a sentence, except parts of ids.
_ISO = re.compile(r"(?<![\w:/.#@+-])\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))?(?![\w:/@+-]|\.\d)")
#: What is wrong with one field.
_FIELD = re.compile(r"(?:[a-z_]+\.)*([a-z_]+): (.+)", re.DOTALL)
#: The zone of times on the page that is being made.
_zone: ContextVar[ZoneInfo] = ContextVar("zone")


def render(request: Request, template: str, *, answer: int = 200, **context: Any) -> HTMLResponse:
    """Make a page. `visit` in the context says whose it is; None: nobody is signed in to a brand."""
    said = _said(request)
    visit = context.setdefault("visit", None)
    zone = ZoneInfo(visit.place.timezone) if visit is not None else ZoneInfo("UTC")
    _zone.set(zone)
    page = environment().get_template(template).render(request=request, said=said, zone=zone, **context)
    response = HTMLResponse(page, answer, headers=HEADERS)
    if said is not None:
        response.delete_cookie(**_as_kept(request))
    return response


def refuse(
    request: Request, template: str, error: IssuanceError, *, answer: int | None = None, **context: Any
) -> HTMLResponse:
    """A page that says why something was refused, with the error's status or `answer`, and when to try again."""
    response = render(request, template, answer=answer or error.status, **context)
    if error.status in (429, 503):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


@cache
def same_for_all(template: str) -> str:
    """A page that is the same for everybody: it is made once."""
    return environment().get_template(template).render(visit=None, said=None)


def say(request: Request, response: Response, sentence: str, *, refused: bool = False) -> Response:
    """Have the next page say what was done, or why not. It names no code of a credit: browsers keep it."""
    text = f"{'-' if refused else '+'}{sentence[:1000]}"
    response.set_cookie(value=urlsafe_b64encode(text.encode()).decode(), max_age=60, **_as_kept(request))
    return response


def _as_kept(request: Request) -> dict[str, Any]:
    """How a browser keeps the message."""
    secure = request.url.scheme == "https"
    key = SECURE_SAID if secure else SAID
    return {"key": key, "path": "/", "secure": secure, "httponly": True, "samesite": "lax"}


def _said(request: Request) -> dict[str, Any] | None:
    try:
        text = urlsafe_b64decode(request.cookies.get(_as_kept(request)["key"], "").encode()).decode()
    except ValueError:
        return None
    return {"refused": text[0] == "-", "sentence": text[1:]} if text else None


@cache
def environment() -> Environment:
    """The environment that makes pages of the templates."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    environment.filters |= {
        "day": _day,
        "short_day": _short_day,
        "moment": _moment,
        "ago": _ago,
        "count": count,
        "amount": _amount,
        "month": lambda value: f"{date.fromisoformat(f'{value}-01'):%b %y}",
        "span": _span,
        "word": lambda value: WORDS.get(str(value), str(value).replace("_", " ")),
        "label": label,
        "said": _said_of,
        "told": lambda text: in_words(text, _zone.get()),
        "as_typed": environment.filters["escape"],
        "badge": lambda value: BADGES.get(str(value), "plain"),
    }
    environment.globals |= {"version": __version__, "static": _static, "rooms": ROOMS}
    return environment


def _harmless(value: Any) -> Any:
    """A text as it goes into a page: nothing that strangers wrote reverses the words beside it, or hides. Text that a
    form sends back is `as_typed`."""
    return shown(value, keep="\n\r\t") if isinstance(value, str) and not hasattr(value, "__html__") else value


def _static(name: str) -> str:
    """The address of a file of `static`; it changes with the file, so that browsers may keep it."""
    return f"/console/static/{name}?{_fingerprints()[name]}"


@cache
def _fingerprints() -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in STATIC.iterdir()}


def _day(value: date | datetime | str | None) -> str:
    value = date.fromisoformat(value) if isinstance(value, str) else value
    return "" if value is None else f"{value:%-d %b %Y}"


def _short_day(value: date | datetime | None) -> str:
    return "" if value is None else f"{value:%-d %b}"


def _moment(value: datetime | str | None) -> str:
    """An instant, in the brand's zone."""
    if value is None:
        return ""
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{instant.astimezone(_zone.get()):%-d %b %Y, %H:%M}"


def label(name: str) -> str:
    """The name of a field, wherever it is named."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def in_words(text: str, zone: ZoneInfo) -> str:
    """A sentence with its dates and instants as pages write them."""
    return _ISO.sub(lambda found: _as_pages_write(found[0], zone), text)


def complaint_in_words(text: str, zone: ZoneInfo) -> str:
    """What is wrong, field by field, with the fields' names."""
    return "; ".join(_of_a_field(part, zone) for part in text.split("; "))


def _of_a_field(text: str, zone: ZoneInfo) -> str:
    found = _FIELD.fullmatch(text)
    if found is None or found[1] not in LABELS:
        return text
    wrong = found[2]
    for said, words in COMPLAINTS:
        wrong = re.sub(f"^(?:{said})$", words, wrong)
    wrong = re.sub(r"[a-z]+(?:_[a-z]+)+", lambda name: f"“{LABELS[name[0]]}”" if name[0] in LABELS else name[0], wrong)
    return f"{LABELS[found[1]]}: {in_words(wrong, zone)}"


def _as_pages_write(iso: str, zone: ZoneInfo) -> str:
    try:
        if len(iso) == 10:
            return _day(iso)
        return f"{datetime.fromisoformat(iso).astimezone(zone):%-d %b %Y, %H:%M}"
    except ValueError:
        return iso


def _said_of(value: Any, name: str) -> str:
    """The value of a field, in words."""
    match value:
        case None | "":
            return "none"
        case bool():
            return "yes" if value else "no"
        case str():
            return WORDS.get(value, value) if name in OF_A_SET else in_words(value, _zone.get())
        case list():
            return ", ".join(_said_of(one, name) for one in value) or "none"
        case dict():
            return ", ".join(f"{label(key)}: {_said_of(one, key)}" for key, one in value.items()) or "none"
    return str(value)


def _ago(value: datetime | None) -> str:
    """How long ago an instant of real time is, in words."""
    if value is None:
        return "never"
    seconds = (datetime.now(UTC) - value).total_seconds()
    for length, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {word} ago"
    return "just now"


def _span(value: str | None) -> str:
    """A duration as people say it, such as "60 days"; one that has several parts stays as it is."""
    found = re.fullmatch(r"P(\d+)([DWMY])", value or "")
    if found is None:
        return value or ""
    number, unit = int(found[1]), {"D": "day", "W": "week", "M": "month", "Y": "year"}[found[2]]
    return unit if number == 1 else f"{number} {unit}s"


def _amount(value: float | None) -> str:
    """Money as the biller told it: without a currency and decimals that were not told."""
    if value is None:
        return ""
    told = f"{Decimal(str(value)):,f}".replace(",", "\u202f")
    return told.rstrip("0").rstrip(".") if "." in told else told


def count(value: int | float | None) -> str:
    """A number with its thousands separated."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")
