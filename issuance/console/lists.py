"""Lists: pages of them, filters that stay in the address, and the same rows to take along as CSV."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Query, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection
from starlette.types import Receive, Scope, Send

from issuance.console.rendering import count
from issuance.console.visits import Visit
from issuance.database import paging
from issuance.errors import IssuanceError
from issuance.shown import in_a_cell
from issuance.tenancy.rates import FILES, Rates
from issuance.tenancy.shares import Shares

#: Rows of a page, and the most of them that a file has; so many are read at once for a file.
PER_PAGE, MOST_IN_A_FILE, AT_ONCE = 50, 100_000, 1000
#: So far rows are counted for a page: of more it says that there are more.
COUNTED = 10_000
#: Files that are taken along at once from a process: of one brand, and of all.
FILES_A_BRAND, MOST_FILES = 2, 8

PageNumber = Annotated[int, Query(ge=1, le=paging.LAST_PAGE)]
#: `csv`: the list as a file.
Form = Annotated[str, Query(alias="as", pattern="^(|csv)$")]

_of_a_brand, _of_all = Shares(FILES_A_BRAND), Shares(MOST_FILES)

#: Reads one page of a list: which page, and how many rows.
Read = Callable[[Connection, int, int], paging.Rows]


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
        """How many there are; of a long list, that there are more than were counted."""
        return f"{count(self.total)}" if self.total <= COUNTED else f"{count(COUNTED)}+"

    @property
    def first(self) -> int:
        return (self.page - 1) * PER_PAGE + 1 if self.rows else 0

    @property
    def until(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0


def id_typed(typed: str) -> UUID | None:
    """The id that somebody typed; None if it is none."""
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


def as_file(visit: Visit, name: str, columns: Sequence[str], read: Read) -> Response:
    """A whole list as CSV, read page by page; times are in the brand's zone. Raises RateLimited, TooManyFiles."""
    rates: Rates = visit.request.app.state.rates
    rates.take(FILES, f"person {visit.session.person_id}")
    held = ExitStack()
    if not (held.enter_context(_of_a_brand.of(visit.brand_id)) and held.enter_context(_of_all.of(None))):
        held.close()
        raise TooManyFiles
    attached = f'attachment; filename="{name}.csv"'
    return _File(held, _lines(visit, columns, read), attached)


class _File(StreamingResponse):
    """A file, which holds its place until it is sent or nobody takes it any more."""

    def __init__(self, held: ExitStack, lines: Iterator[str], attached: str) -> None:
        super().__init__(lines, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": attached})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


def rows_as_file(visit: Visit, name: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> Response:
    """A list that is short enough to be read at once, as CSV."""

    def read(_: Connection, page: int, per_page: int) -> paging.Rows:
        return list(rows[(page - 1) * per_page : page * per_page]), len(rows)

    return as_file(visit, name, columns, read)


def file_address(visit: Visit, form: str = "csv") -> str:
    """The address of the page that is shown, as a file."""
    return _address(visit, page=None, cursor=None, **{"as": form})


def _lines(visit: Visit, columns: Sequence[str], read: Read) -> Iterator[str]:
    zone = ZoneInfo(visit.place.timezone)
    yield _line(columns)
    for page in range(1, MOST_IN_A_FILE // AT_ONCE + 1):
        with visit.transaction() as connection:
            rows, _ = read(connection, page, AT_ONCE)
        yield "".join(_line([_cell(_value(row, column), zone) for column in columns]) for row in rows)
        if len(rows) < AT_ONCE:
            return


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
