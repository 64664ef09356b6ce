"""`issuance events`: billing events from a file, and refused events."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from uuid import UUID

import typer

from issuance import database
from issuance.billing import event_files, events, rejections
from issuance.billing.event_files import Found
from issuance.billing.events import Intake, Remark
from issuance.cli.connections import BrandOption, broker, engine, only_brand, transaction
from issuance.cli.files import opened
from issuance.cli.listing import PageOption, show_page
from issuance.cli.output import JsonOption, answer, progress_bar, say, show_json, show_table, warn
from issuance.errors import Conflict

app = typer.Typer(help="Billing events: load them, and handle those that were refused.", no_args_is_help=True)

#: How many warnings are listed one by one; all of them are counted.
_MOST_WARNINGS = 1000


@dataclass(slots=True)
class Loaded:
    """The result for a file. `rejected` and `warnings` say the line (in an array the element), a code and a message."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    warned: Counter[str] = field(default_factory=Counter)

    def add(self, some: "Some", intake: Intake) -> None:
        """Add the result of a part of the file."""
        self.accepted += intake.accepted
        self.duplicates += intake.duplicates
        self.rejected += [some.placed(remark) for remark in intake.rejected]
        self.rejected += [
            {"line": found.place, "code": found.refused.code, "message": found.refused.message}
            for found in some.unread
            if found.refused is not None
        ]
        self.rejected.sort(key=lambda bad: int(bad["line"]))
        self.warned.update(remark.code for remark in intake.warnings)
        room = _MOST_WARNINGS - len(self.warnings)
        self.warnings += [some.placed(remark) for remark in intake.warnings[:room]]

    def document(self) -> dict[str, Any]:
        """The result for programs."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "warnings": self.warnings,
            "warnings_by_code": dict(sorted(self.warned.items())),
        }

    def tell(self) -> None:
        """Print the result for people."""
        for bad in self.rejected:
            warn(f"line {bad['line']}: {bad['code']}: {bad['message']}")
        for code, number in sorted(self.warned.items()):
            first = next((one for one in self.warnings if one["code"] == code), None)
            example = "" if first is None else f", first in line {first['line']}: {first['message']}"
            warn(f"warning: {number} × {code}{example}")


@app.command("load")
def load(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CloudEvents: one a line, or a JSON array. gzip too; - reads stdin.")
    ],
    brand: BrandOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come of the file; write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Load events from a file.

    1000 a transaction; loading a file again takes in nothing twice. A bad line is reported with its number and
    reason and kept with the rejected events, the rest is loaded; exits 1 if there was one.
    """
    brand_id = only_brand(brand)
    loaded, result = Loaded(), None
    with _opened(file) as (stream, size), progress_bar(of_bytes=True) as progress:
        task = progress.add_task(str(file), total=size)

        def pieces() -> Iterator[Some]:
            for some in _pieces(stream):
                yield some
                progress.update(task, completed=None if size is None else stream.tell())

        if dry_run:
            result = _try(brand_id, pieces(), loaded)
        else:
            _load(brand_id, pieces(), loaded)
        progress.update(task, completed=size)
    if as_json:
        show_json(loaded.document() if result is None else {"dry_run": True, **loaded.document(), **result})
    else:
        loaded.tell()
        say(f"accepted {loaded.accepted}, duplicates {loaded.duplicates}, rejected {len(loaded.rejected)}")
        if result is not None:
            _show(result)
    if loaded.rejected:
        raise typer.Exit(1)


@app.command("list", hidden=True)  # people who know the other groups type it
@app.command("rejected")
def rejected(brand: BrandOption = None, page: PageOption = 1, as_json: JsonOption = False) -> None:
    """List the events that were refused.

    They wait for you: fix the cause, then retry them, or dismiss them over HTTP.
    """
    columns = ("id", "received_at", "code", "message")
    empty = "No event was refused."
    show_page("Rejected events", rejections.page, columns, brand, page, as_json=as_json, empty=empty)


@app.command("retry")
def retry(
    rejected_id: Annotated[UUID, typer.Argument(metavar="REJECTED_ID")],
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in a refused event again, after its cause was fixed."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        intake = rejections.retry(connection, brand_id, rejected_id)
    from issuance import hints  # late: it brings the queue

    hints.settle(broker(), brand_id, intake.membership_ids)
    if intake.rejected:
        raise Conflict(f"Refused again: {intake.rejected[0].message}")
    warnings = [asdict(remark) for remark in intake.warnings]
    document = {"accepted": intake.accepted, "duplicates": intake.duplicates, "rejected": [], "warnings": warnings}
    for remark in () if as_json else intake.warnings:
        warn(f"warning: {remark.code}: {remark.message}")
    answer(f"Event {rejected_id} is accepted.", document, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Some:
    """A part of a file: its events with their places, and what can not be read."""

    places: list[int]
    batch: events.Batch
    unread: list[Found]

    def placed(self, remark: Remark) -> dict[str, Any]:
        return {"line": self.places[remark.index], "code": remark.code, "message": remark.message}


@contextmanager
def _opened(file: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """The file, and its size in bytes; None for stdin."""
    with opened(file) as stream:
        yield stream, None if str(file) == "-" else file.stat().st_size


def _pieces(stream: BinaryIO) -> Iterator[Some]:
    """A file, read piece by piece."""
    found = event_files.read(stream)
    while some := list(islice(found, events.MOST_EVENTS)):
        good = [one for one in some if one.refused is None]
        unread = [one for one in some if one.refused is not None]
        yield Some([one.place for one in good], events.read([one.body for one in good]), unread)


def _load(brand_id: UUID, pieces: Iterator[Some], loaded: Loaded) -> None:
    """Load one piece after the other, in the order of the file. While PostgreSQL takes one in, the next is parsed."""
    under_way: Future[None] | None = None
    with ThreadPoolExecutor(1) as loading:
        for some in pieces:
            if under_way is not None:
                under_way.result()
            under_way = loading.submit(_load_some, brand_id, some, loaded)
        if under_way is not None:
            under_way.result()


def _load_some(brand_id: UUID, some: Some, loaded: Loaded) -> None:
    with transaction(brand_id) as connection:
        intake = events.take(connection, brand_id, some.batch)
        rejections.keep(connection, brand_id, [(one.text, one.refused) for one in some.unread if one.refused])
    from issuance import hints  # late: it brings the queue

    hints.settle(broker(), brand_id, intake.membership_ids)
    loaded.add(some, intake)


def _try(brand_id: UUID, pieces: Iterator[Some], loaded: Loaded) -> dict[str, Any]:
    """What the pieces would lead to. Nothing is written: the transaction is rolled back."""
    from issuance.memberships.dry_runs import DryRun  # late: it settles

    with database.undone(engine(), brand_id) as connection:
        trial = DryRun(connection, brand_id)
        for some in pieces:
            loaded.add(some, trial.take(some.batch))
        return {"events": dict(sorted(trial.accepted.items())), **trial.result()}


def _show(result: dict[str, Any]) -> None:
    show_table("Events", [{"type": name, "number": n} for name, n in result["events"].items()], ("type", "number"))
    memberships = dict(result["memberships"])
    statuses = memberships.pop("by_status")
    rows = [{"memberships": name.replace("_", " "), "number": n} for name, n in {**memberships, **statuses}.items()]
    show_table("Memberships", rows, ("memberships", "number"))
    columns = ("coupon_name", "month", "now", "ahead", "credit_rule_id")
    show_table("Credits: issued now, and ahead on their day", result["credits"], columns)
    reasons = [{"reason": name, "number": n} for name, n in result["reasons"].items()]
    show_table("Periods without a credit", reasons, ("reason", "number"))
    say(f"Credits that would be taken back: {result['taken_back']}. Nothing was written.")
