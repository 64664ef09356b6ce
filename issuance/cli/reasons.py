"""How the command line reads a reason."""

from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from issuance.fields import Reason, complaint

_REASON: TypeAdapter[str] = TypeAdapter(Reason)


def parse_reason(text: str) -> str:
    """A reason, as the API takes it."""
    try:
        return _REASON.validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(complaint(error.errors()[0])) from None


ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", parser=parse_reason, help="Why; the audit keeps it.")
]
MaybeReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", parser=parse_reason, help="Why; the audit keeps it.")
]
