"""`issuance`: every command, and the one place where an error becomes a line on stderr and an exit code."""

import os
import sys
from io import TextIOWrapper
from typing import Annotated, NoReturn

import httpx
import psycopg
import redis
import sqlalchemy.exc
import typer

from issuance import log
from issuance.cli import (
    audit,
    brands,
    check,
    demo,
    events,
    explain,
    forecast,
    keys,
    quarantine,
    runs,
    schema,
    up,
    version,
)
from issuance.errors import Invalid, IssuanceError, SettingsError
from issuance.log import logger
from issuance.settings import OwnSettings, read
from issuance.shown import shown

FAILURE = 1
BAD_USE = 2
INTERRUPTED = 130

app = typer.Typer(
    name="issuance",
    help="Turns membership billing events into credits, by rules, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


def _show_version(shown: bool) -> None:
    if shown:
        version.version()
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Turns membership billing events into credits, by rules, exactly once."""


app.command("up")(up.up)
app.command("demo")(demo.demo)
app.add_typer(brands.app, name="brands")
app.add_typer(keys.app, name="keys")
app.add_typer(events.app, name="events")
app.command("issue")(runs.issue)
app.command("replay")(runs.replay)
app.add_typer(runs.app, name="runs")
app.command("explain")(explain.explain)
app.command("forecast")(forecast.forecast)
app.command("preview")(forecast.preview)
app.command("audit")(audit.audit)
app.add_typer(quarantine.app, name="quarantine")
app.command("check")(check.check)
app.add_typer(schema.app, name="schema")
app.command("version")(version.version)


def main() -> NoReturn:
    """Run the command in `sys.argv`. Exits 0, 1 (it failed) or 2 (it was used wrongly)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that does not know a letter is shown its number
            stream.reconfigure(errors="backslashreplace")
    try:
        own = read(OwnSettings)
        # Commands say themselves what they did; logs are for what goes wrong, and for those who ask for them.
        log.set_up(own.log_format, "debug" if own.log_level == "debug" else "warning")
        code = app(prog_name="issuance", standalone_mode=False) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # `issuance … | head` has stopped reading. Python's own flush at exit must not fail for that again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILURE
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        logger.debug("command_failed", exc_info=True)
        message, code = as_line(error)
        # A command without its arguments answers with its help, which is more than a line.
        told = message if "\n" in message else f"issuance: {message}"
        print(shown(told, keep="\n"), file=sys.stderr)
    sys.exit(code)


def as_line(error: Exception) -> tuple[str, int]:
    """What went wrong in one line, and the exit code for it."""
    match error:
        case typer.TyperException():
            return error.format_message(), error.exit_code
        case Invalid() | SettingsError():
            fields = "; ".join(
                f"{name}: {why}" for name, why in (error.fields or {}).items() if name not in error.message
            )
            return f"{error.message} ({fields})" if fields else error.message, BAD_USE
        case IssuanceError():
            return error.message, FAILURE
        case sqlalchemy.exc.OperationalError():
            return f"PostgreSQL does not answer: {first_line(error.orig)}", FAILURE
        case psycopg.OperationalError():
            return f"PostgreSQL does not answer: {first_line(error)}", FAILURE
        case redis.RedisError():
            return f"Redis does not answer: {first_line(error)}", FAILURE
        case httpx.HTTPError():
            return f"The server does not answer: {first_line(error)}", FAILURE
        case OSError():
            return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", FAILURE
    return f"Something went wrong: {type(error).__name__}: {first_line(error)} (LOG_LEVEL=DEBUG shows where)", FAILURE


def first_line(error: BaseException | None) -> str:
    """The first line of an error's text, since drivers write several."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
