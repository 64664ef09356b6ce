"""Lists: pages of them, filters that stay in the address, and the same rows as a CSV file."""

import csv
import io
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Query, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection
from starlette.types import Receive, Scope, Send

from issuance import limits
from issuance.console.rendering import count
from issuance.console.visits import Visit
from issuance.database import paging
from issuance.errors import IssuanceError
from issuance.shown import in_a_cell
from issuance.tenancy.rates import FILES, Rates
from issuance.tenancy.shares import Shares

#: Rows of a page.
PER_PAGE = 50
#: Bytes of a file that are kept in memory until it is sent; the rest is on the disk. Pieces of this size are sent.
IN_MEMORY = 1 << 20
#: Rows are counted up to here for a page; beyond that it says that there are more.
COUNTED = 10_000
#: The most files that a process makes and sends at once: of one brand, and of all.
FILES_A_BRAND, MOST_FILES = 2, 8

PageNumber = Annotated[int, Query(ge=1, le=paging.LAST_PAGE)]
#: `csv`: the list as a file.
Form = Annotated[str, Query(alias="as", pattern="^(|csv)$")]

_of_a_brand, _of_all = Shares(FILES_A_BRAND), Shares(MOST_FILES)

#: Reads one page of a list: which page, and how many rows.
Read = Callable[[Connection, int, int], paging.Rows]
#: Reads a list from its first row to its last, some rows at a time.
ReadAll = Callable[[Connection], Generator[dict[str, Any], None, None]]


class TooManyFiles(IssuanceError):
    """Too many files are being taken along at once, at most 2 of a brand. Try again when one is done."""

    code = "too_many_at_once"
    status = 429


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a list, with the addresses of its neighbours and of its file."""

    rows: list[dict[str, Any]]
    total: int
    page: int
    last: int
    before: str | None
    after: str | None
    file: str

    @property
    def amount(self) -> str:
        """How many rows there are; of a long list, that there are more than were counted."""
        return f"{count(self.total)}" if self.total <= COUNTED else f"{count(COUNTED)}+"

    @property
    def first(self) -> int:
        return (self.page - 1) * PER_PAGE + 1 if self.rows else 0

    @property
    def until(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0


def id_typed(typed: str) -> UUID | None:
    """The id that somebody typed; None if it is no id."""
    try:
        return UUID(typed)
    except ValueError:
        return None


def listed(visit: Visit, connection: Connection, page: int, read: Read) -> Listed:
    """A page of a list."""
    rows, total = read(connection, page, PER_PAGE)
    last = max(1, -(-total // PER_PAGE))
    before = _address(visit, page=page - 1) if page > 1 else None
    further = page < last if total <= COUNTED else len(rows) == PER_PAGE
    after = _address(visit, page=page + 1) if further else None
    return Listed(rows, total, page, last, before, after, file_address(visit))


def as_file(visit: Visit, name: str, columns: Sequence[str], read: ReadAll, most: int | None = None) -> Response:
    """A whole list as CSV, as it was at one instant; times are in the brand's zone. If there are more than `most` rows
    (or a usual bound), its last line says so. It is read before anything is sent, so that a file that arrives is whole.

    Raises RateLimited, TooManyFiles."""
    rates: Rates = visit.request.app.state.rates
    rates.take(FILES, f"person {visit.session.person_id}")
    held = ExitStack()
    if not (held.enter_context(_of_a_brand.of(visit.brand_id)) and held.enter_context(_of_all.of(None))):
        held.close()
        raise TooManyFiles
    try:
        file = held.enter_context(SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115 - `held` closes it
        with visit.snapshot() as connection:
            rows = limits.current.console.rows_in_a_file if most is None else most
            for line in _lines(connection, visit.zone, columns, read, rows):
                file.write(line.encode())
        file.seek(0)
    except BaseException:
        held.close()
        raise
    return _File(held, iter(lambda: file.read(IN_MEMORY), b""), f'attachment; filename="{name}.csv"')


class _File(StreamingResponse):
    """A file, which holds its place until it is sent or the client is gone."""

    def __init__(self, held: ExitStack, pieces: Iterator[bytes], attached: str) -> None:
        super().__init__(pieces, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": attached})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


def rows_as_file(
    visit: Visit, name: str, columns: Sequence[str], rows: Sequence[dict[str, Any]], most: int | None = None
) -> Response:
    """A list as CSV that is short enough to be read at once. If there are more than `most` rows, its last line says
    so."""

    return as_file(visit, name, columns, lambda _: (row for row in rows), most)


def paged(read: Read, at_once: int | None = None) -> ReadAll:
    """Read a list page by page, of `at_once` rows: no more are in memory together."""

    def read_all(connection: Connection) -> Generator[dict[str, Any], None, None]:
        per_page = limits.current.console.rows_at_once if at_once is None else at_once
        for page in itertools.count(1):
            rows, _ = read(connection, page, per_page)
            yield from rows
            if len(rows) < per_page:
                return

    return read_all


def file_address(visit: Visit, form: str = "csv") -> str:
    """The address of this page's rows as a file."""
    return _address(visit, page=None, cursor=None, **{"as": form})


def _lines(connection: Connection, zone: ZoneInfo, columns: Sequence[str], read: ReadAll, most: int) -> Iterator[str]:
    yield _line(columns)
    with closing(read(connection)) as rows:
        for row in itertools.islice(rows, most):
            yield _line([_cell(_value(row, column), zone) for column in columns])
        if next(rows, None) is not None:
            yield _line([f"There are more than {most:,} rows. The list's filters make it shorter."])


def _value(row: dict[str, Any], column: str) -> Any:
    value: Any = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _cell(value: object, zone: ZoneInfo) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(zone if value.tzinfo else UTC).isoformat(timespec="seconds")
        case date():
            return value.isoformat()
        case int() | float():
            return str(value)
        case list() | tuple():
            text = ", ".join(str(one) for one in value)
        case _:
            text = str(value)
    return in_a_cell(text)


def _line(cells: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue()


def _address(visit: Visit, **changed: object) -> str:
    query = {name: value for name, value in visit.request.query_params.items() if value != "" and name not in changed}
    query |= {name: str(value) for name, value in changed.items() if value is not None}
    return f"{visit.request.url.path}?{urlencode(query)}"
