"""How the command line reads a date."""

from datetime import date
from typing import Annotated

import typer


def parse_date(text: str) -> date:
    """A calendar date, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date: write YYYY-MM-DD") from None


FromOption = Annotated[
    date | None, typer.Option("--from", metavar="DATE", parser=parse_date, help="First date of the span, YYYY-MM-DD.")
]
ToOption = Annotated[
    date | None, typer.Option("--to", metavar="DATE", parser=parse_date, help="Last date of the span, inclusive.")
]
