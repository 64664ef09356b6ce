"""`issuance`: every command, and the one place where an error becomes a line on stderr and an exit code."""

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_group

from issuance import __version__
from issuance.errors import Invalid, IssuanceError, SettingsError
from issuance.shown import shown

FAILURE = 1
BAD_USE = 2
INTERRUPTED = 130

#: What does not answer, by the name of the error that says so.
_AWAY = {
    "PostgreSQL (DATABASE_URL)": {"sqlalchemy.OperationalError", "psycopg.OperationalError"},
    "Redis (REDIS_URL)": {"redis.RedisError"},
    "The server": {"httpx.HTTPError"},
}


class Place(NamedTuple):
    """Where a command is in this room, and its line in the list of commands."""

    module: str
    name: str
    says: str


#: Every command. Its module is imported when the command is given, and not for the list of them.
COMMANDS = {
    "up": Place("up", "up", "Start everything; Ctrl-C stops it."),
    "serve": Place(
        "serve", "serve", "Run every process of a host, on the servers that DATABASE_URL and REDIS_URL name."
    ),
    "demo": Place("demo", "demo", "Play four billing cycles of a small spa club."),
    "brands": Place("brands", "app", "Brands: create one (with its first key), list them."),
    "keys": Place("keys", "app", "A brand's keys: create, list, rotate, revoke."),
    "people": Place("people", "app", "The console's people: add, list, remove, sign out."),
    "billers": Place("billers", "app", "Billers plugged in: their webhooks, and their price maps."),
    "events": Place("events", "app", "Billing events: load them, and handle those that were refused."),
    "rules": Place("catalog", "rules", "Credit rules: list them."),
    "types": Place("catalog", "types", "Membership types: list them."),
    "coupons": Place("catalog", "coupons", "Coupons: list them."),
    "members": Place("members", "app", "Members: list, archive, erase, export, and let one be known again."),
    "memberships": Place("memberships", "app", "Memberships: list them."),
    "grant": Place("credits", "grant", "Give one guest of a membership a credit, under no rule."),
    "credits": Place("credits", "app", "Credits: list, extend, transfer, revoke, reinstate one, or many from a file."),
    "issue": Place("runs", "issue", "Issue a rule's credit by hand, as a run."),
    "replay": Place("runs", "replay", "Make the decisions of a span of dates again, as a run."),
    "runs": Place("runs", "app", "Runs: bulk work, its progress and outcome."),
    "explain": Place("explain", "explain", "Say why credits were issued, or why not."),
    "forecast": Place("forecast", "forecast", "Say how many credits a rule will issue, month by month."),
    "liability": Place(
        "liability",
        "liability",
        "Say what a brand owes in credits: opening, issued, redeemed, expired, revoked, restored and closing by month.",
    ),
    "preview": Place(
        "preview",
        "preview",
        "Say what a rule would change if it were saved now: credits by month, and who gains or loses what.",
    ),
    "guard": Place("guard", "guard", "Show or set a brand's guard: what a rule may issue in a day."),
    "held": Place("guard", "held", "Rules that the guard holds."),
    "webhooks": Place("webhooks", "app", "Webhooks: list them."),
    "audit": Place("audit", "app", "The audit: who changed what, the latest first; its months, and detach old ones."),
    "quarantine": Place("quarantine", "app", "What was set apart because it kept failing: list it, retry it."),
    "check": Place("check", "check", "Check the laws of credits on what is there."),
    "doctor": Place(
        "doctor", "doctor", "Look at settings, servers, clocks, disks and processes, and say what is wrong."
    ),
    "schema": Place("schema", "app", "The tables: make, upgrade and compare them."),
    "version": Place("version", "version", "Print the version."),
}


class _Commands(Mapping[str, Any]):
    """The commands by name; each is made when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            place = COMMANDS[name]
            gc.disable()  # what is imported stays: looking through it, now and at the end, takes a quarter of the time
            try:
                found = getattr(import_module(f"issuance.cli.{place.module}"), place.name)
            finally:
                gc.freeze()
                gc.enable()
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            if isinstance(found, typer.Typer):
                alone.add_typer(found, name=name)
            else:
                alone.command(name)(found)
            self._made[name] = get_group(alone).commands[name]
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(TyperGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Commands()  # type: ignore[assignment]  # it is only read

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's own signature
        """List the commands, without making them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.says) for name, place in COMMANDS.items()])


app = typer.Typer(
    name="issuance",
    cls=_Group,
    help="Turns membership billing events into credits, by rules, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"{__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Turns membership billing events into credits, by rules, exactly once."""
    from issuance import log  # late: it is not needed to say what there is
    from issuance.settings import OwnSettings, read

    own = read(OwnSettings)
    # Commands say themselves what they did; logs are for failures, and for people who ask for them.
    log.set_up(own.log_format, "debug" if own.log_level == "debug" else "warning")


def main() -> NoReturn:
    """Run the command in `sys.argv`. Exits 0, 1 (it failed) or 2 (it was used wrongly)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that does not know a letter is shown its number
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="issuance", standalone_mode=False) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # `issuance … | head` has stopped reading. Python's own flush at exit must not fail because of that again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILURE
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if "issuance.log" in sys.modules:  # else it failed before anything was begun
            import_module("issuance.log").logger.debug("command_failed", exc_info=True)
        message, code = as_line(error)
        # A group without a command answers with its help, the only message of more than one line.
        helps = type(error).__name__ == "NoArgsIsHelpError"
        print(shown(message, keep="\n") if helps else shown(f"issuance: {message}"), file=sys.stderr)
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
        case OSError():
            return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", FAILURE
    for what, kinds in _AWAY.items():
        # By their names: a process that did not import a driver has no error of it.
        if kinds.intersection(f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__):
            return f"{what} does not answer: {first_line(getattr(error, 'orig', None) or error)}", FAILURE
    if type(getattr(error, "orig", error)).__name__ == "InsufficientPrivilege":
        said: str = import_module("issuance.database.complaints").in_short(error)
        return said, FAILURE
    return f"Something went wrong: {type(error).__name__}: {first_line(error)} (LOG_LEVEL=debug shows where)", FAILURE


def first_line(error: BaseException | None) -> str:
    """The first line of an error's text, since drivers write several."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
