"""`issuance events`: billing events from a file, and those that were refused."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from uuid import UUID

import typer
from rich.progress import DownloadColumn

from issuance import hints
from issuance.billing import cloud_events, events, rejections
from issuance.cli.connections import BrandOption, broker, only_brand, transaction
from issuance.cli.output import JsonOption, answer, progress_bar, say, show_json, show_table, warn
from issuance.errors import Conflict

app = typer.Typer(help="Billing events: load them, and handle those that were refused.", no_args_is_help=True)


@dataclass(slots=True)
class Loaded:
    """The result for a file's lines. `rejected` has the line, code and message of each bad one."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, line: int, code: str, message: str) -> None:
        self.rejected.append({"line": line, "code": code, "message": message})


@app.command("load")
def load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One CloudEvent a line (JSONL); - reads stdin.")],
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load events from a file.

    1000 a transaction; loading a file again takes in nothing twice. A bad line is reported with its number and
    reason, the rest is loaded; exits 1 if there was one.
    """
    brand_id = only_brand(brand)
    loaded = Loaded()
    with _opened(file) as (lines, size), progress_bar(DownloadColumn()) as progress, ThreadPoolExecutor(1) as loading:
        task = progress.add_task(str(file), total=size)
        under_way: Future[None] | None = None
        # One batch after the other, in the order of the file. While PostgreSQL takes one in, the next is parsed.
        for numbers, length, batch in _batches(lines, loaded):
            if under_way is not None:
                under_way.result()
            under_way = loading.submit(_load, brand_id, numbers, batch, loaded)
            progress.advance(task, length)
        if under_way is not None:
            under_way.result()
        progress.update(task, completed=size)
    loaded.rejected.sort(key=lambda bad: int(bad["line"]))
    if as_json:
        show_json({"accepted": loaded.accepted, "duplicates": loaded.duplicates, "rejected": loaded.rejected})
    else:
        for bad in loaded.rejected:
            warn(f"line {bad['line']}: {bad['code']}: {bad['message']}")
        say(f"accepted {loaded.accepted}, duplicates {loaded.duplicates}, rejected {len(loaded.rejected)}")
    if loaded.rejected:
        raise typer.Exit(1)


@app.command("rejected")
def rejected(brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """List the events that were refused.

    They wait for you: fix the cause, then retry them, or dismiss them over HTTP.
    """
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        rows, total = rejections.page(connection, brand_id, 1, 100)
    if as_json:
        show_json({"data": rows, "meta": {"page": 1, "per_page": 100, "total": total}})
    else:
        show_table(f"Rejected events ({total})", rows, ("id", "received_at", "code", "message"))


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
    hints.settle(broker(), brand_id, intake.membership_ids)
    if intake.rejected:
        raise Conflict(f"Refused again, and kept under a new id: {intake.rejected[0].message}")
    document = {"accepted": intake.accepted, "duplicates": intake.duplicates, "rejected": []}
    answer(f"Event {rejected_id} is accepted.", document, as_json=as_json)


#: Some lines of the file: their numbers, their length in bytes together, the events in them.
Lines = tuple[list[int], int, events.Batch]


@contextmanager
def _opened(file: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """The file's lines and its size in bytes; None for stdin."""
    if str(file) == "-":
        yield sys.stdin.buffer, None
    else:
        with file.open("rb") as lines:
            yield lines, file.stat().st_size


def _batches(lines: BinaryIO, loaded: Loaded) -> Iterator[Lines]:
    """Batches of lines that are JSON; those that are not go to `loaded.rejected`."""
    numbered = enumerate(lines, start=1)
    while some := list(islice(numbered, events.MOST_EVENTS)):
        numbers: list[int] = []
        bodies: list[object] = []
        for number, line in some:
            if not line.strip():
                continue
            try:
                bodies.append(cloud_events.read_json(line))
                numbers.append(number)
            except cloud_events.Refused as refusal:
                loaded.reject(number, refusal.code, refusal.message)
        yield numbers, sum(len(line) for _, line in some), events.read(bodies)


def _load(brand_id: UUID, numbers: list[int], batch: events.Batch, loaded: Loaded) -> None:
    with transaction(brand_id) as connection:
        intake = events.take(connection, brand_id, batch)
    hints.settle(broker(), brand_id, intake.membership_ids)
    loaded.accepted += intake.accepted
    loaded.duplicates += intake.duplicates
    for rejection in intake.rejected:
        loaded.reject(numbers[rejection.index], rejection.code, rejection.message)
