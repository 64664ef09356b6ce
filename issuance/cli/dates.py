"""How the command line reads a date."""

from datetime import date, datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from issuance.credits.liability import month_of
from issuance.fields import Instant

_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)


def parse_date(text: str) -> date:
    """A calendar date, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date: write YYYY-MM-DD") from None


def parse_instant(text: str) -> datetime:
    """An instant, RFC 3339 with an offset."""
    try:
        return _INSTANT.validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is not an instant: write 2031-04-01T00:00:00Z") from None


def parse_month(text: str) -> date:
    """The first day of a month, YYYY-MM."""
    try:
        return month_of(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a month, such as 2031-04") from None


FromOption = Annotated[
    date | None, typer.Option("--from", metavar="DATE", parser=parse_date, help="First date of the span, YYYY-MM-DD.")
]
ToOption = Annotated[
    date | None, typer.Option("--to", metavar="DATE", parser=parse_date, help="Last date of the span, inclusive.")
]
