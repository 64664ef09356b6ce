"""`issuance schema`: make, upgrade and compare the tables of schema.sql."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from issuance.cli.output import JsonOption, answer, progress_bar, say, show_json, show_table, warn
from issuance.database import schema
from issuance.database.revisions import NEWEST
from issuance.database.schema import Pending, Status, Until, Upgraded
from issuance.database.schema.execution import Progress as Made
from issuance.errors import Invalid, SettingsError
from issuance.settings import DatabaseSettings, read

if TYPE_CHECKING:  # rich is imported where something is shown
    from rich.progress import Progress, TaskID

app = typer.Typer(help="The tables: make, upgrade and compare them.", no_args_is_help=True)


@app.command("apply")
def apply_schema(as_json: JsonOption = False) -> None:
    """Make the tables of schema.sql in an empty DATABASE_URL; on one that has them, functions and policies anew."""
    schema.apply(_address())
    answer("The database has the tables of schema.sql.", {"applied": True}, as_json=as_json)


@app.command("upgrade")
def upgrade(
    before: Annotated[bool, typer.Option("--before", help="Only what old processes can work beside.")] = False,
    after: Annotated[bool, typer.Option("--after", help="All of it: the old processes are gone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring DATABASE_URL to this version, while the processes of the version before work.

    Without an option: as much as can be done now. Stopped or killed, it goes on where it was.
    """
    if before and after:
        raise Invalid("Say --before or --after, not both")
    until = Until.BEFORE if before else Until.AFTER if after else Until.POSSIBLE
    with progress_bar() as bar:
        try:
            done = schema.upgrade(_address(), until, _Shown(bar).show)
        except KeyboardInterrupt:
            warn("issuance: stopped. What was done stays done: run it again to go on")
            raise
    if as_json:
        document = {"ran": [part.revision for part in done.ran], "pending": [part.revision for part in done.pending]}
        show_json({**document, "waits_for": done.waits_for})
    else:
        say(_in_words(done) if done.ran or done.pending else _where(schema.status(_address())))


@app.command("status")
def status(as_json: JsonOption = False) -> None:
    """Where DATABASE_URL stands, what is pending, and how long that is likely to take."""
    found = schema.status(_address())
    rows = [_row(pending) for pending in found.pending]
    if as_json:
        standing = found.standing and {"before": found.standing.before, "after": found.standing.after}
        show_json({"standing": standing, "empty": found.empty, "pending": rows})
        return
    say(_where(found))
    if rows:
        for row in rows:
            row["likely"] = _likely(row["seconds"])
        show_table("Pending", rows, ["migration", "release", "steps", "done", "likely", "meaning"])


@app.command("diff")
def diff(as_json: JsonOption = False) -> None:
    """Compare DATABASE_URL with schema.sql; exit 1 if they differ."""
    differences = schema.diff(_address())
    if as_json:
        show_json({"differences": differences})
    elif differences:
        for difference in differences:
            say(difference)
    else:
        say("No difference.")
    if differences:
        raise typer.Exit(1)


class _Shown:
    """A bar for each step of an upgrade."""

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._of: tuple[str, int] | None = None

    def show(self, made: Made) -> None:
        """Turn to the step, or move its bar."""
        words = f"{made.revision} {made.step}/{made.steps} {made.what}"
        if self._task is None or self._of != (made.revision, made.step):
            if self._task is not None:
                self._bar.update(self._task, completed=1, total=1)
            self._task, self._of = self._bar.add_task(words, total=made.total), (made.revision, made.step)
        said = f"{words} (waits for a lock)" if made.waiting else words
        self._bar.update(self._task, description=said, completed=made.done, total=made.total)


def _in_words(done: Upgraded) -> str:
    ran = f"{', '.join(part.revision for part in done.ran)} done. " if done.ran else ""
    if not done.pending:
        return f"{ran}The database has the newest schema."
    waiting = ", ".join(part.revision for part in done.pending)
    why = f" {done.waits_for}." if done.waits_for else ""
    return f"{ran}Left: {waiting}.{why} When the old processes are gone: issuance schema upgrade --after"


def _where(found: Status) -> str:
    if found.empty:
        return "The database has no tables yet. Run: issuance schema upgrade"
    if found.standing is None:
        return "The database has the tables of 0.1.0. Stop all processes, then run: issuance schema upgrade"
    if not found.pending:
        newer = f", and what a later version added: it stands at {found.standing.before}"
        return (
            f"The database has the newest schema: migration {NEWEST}{newer if found.standing.before > NEWEST else ''}."
        )
    return (
        f"Processes that know migrations {found.standing.after} to {found.standing.before} can work with the database."
    )


def _likely(seconds: int) -> str:
    return f"{seconds} s" if seconds else "under a second"


def _row(pending: Pending) -> dict[str, Any]:
    part = pending.part
    return {
        "migration": part.revision,
        "release": part.release,
        "steps": len(part.steps.steps),
        "done": pending.done,
        "seconds": round(pending.seconds),
        "beside_processes": part.beside,
        "meaning": part.meaning,
    }


def _address() -> str:
    """Where the tables are. No broker is needed for this. Raises SettingsError if they are not those on which the
    processes work, as far as DATABASE_URL answers."""
    own = read(DatabaseSettings)
    if own.database_direct_url is not None and schema.leads_elsewhere(own.libpq_url, own.database_direct_url):
        raise SettingsError("DATABASE_DIRECT_URL is wrong: it leads to another database than DATABASE_URL")
    return own.schema_url
