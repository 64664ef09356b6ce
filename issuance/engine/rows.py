"""Parameters of set-based statements. Many rows of a batch share most values. So each distinct set of values (a kind)
is sent once, and each row sends its own values and its kind's number.

What Issuance made itself (ids, codes, numbers) is passed as arrays, which PostgreSQL reads fastest. What others wrote
would have to be quoted there, which is slow in Python, so it is passed as JSON.

No statement leaves the planner a choice, because right after an import it does not know how large tables are.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection

from issuance.database.statements import Statement

#: What rows of one kind share.
Shared = tuple[Any, ...]


def unnest(alias: str, **columns: str) -> str:
    """One array parameter a column, typed so that all-NULL arrays pass."""
    arrays = ", ".join(f"CAST(:{alias}_{name} AS {kind}[])" for name, kind in columns.items())
    return f"unnest({arrays}) AS {alias} ({', '.join(columns)})"


def columns_of(alias: str, names: Iterable[str], rows: Iterable[Sequence[object]]) -> dict[str, object]:
    """The parameters of `unnest(alias, …)`: of some rows, at least one."""
    return {f"{alias}_{name}": list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def id_array(ids: Iterable[object]) -> str:
    """Ids, codes or numbers, none of them NULL, as PostgreSQL writes an array: many times quicker than a list."""
    return "{" + ",".join(map(str, ids)) + "}"


def recordset(**columns: str) -> str:
    """The rows of the parameter `rows`, which `as_json` writes."""
    typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"json_to_recordset(CAST(:rows AS json)) AS new ({typed})"


def as_json(rows: Sequence[object]) -> str:
    """The parameter `rows`; or texts, for `json_array_elements_text`."""
    return to_json(rows).decode()


class Updating:
    """An UPDATE of rows by id. `shared`: the columns, with their types, in which rows of one kind get the same
    values.

    In `sql`, `{kinds}` stands for what they get, `{its_ids}` for the ids and `{its_kind}` for the condition that a row,
    whose id is `key`, gets what its kind says.
    """

    def __init__(self, sql: str, key: str, shared: Mapping[str, str]) -> None:
        self._shared = shared
        kinds = unnest("kinds", kind="integer", **shared)
        its_ids = f"{key} = ANY(CAST(:ids AS uuid[]))"
        its_kind = f"kinds.kind = CAST(CAST(:kind_of AS jsonb) ->> CAST({key} AS text) AS integer)"
        self._of_many_kinds = Statement(sql.format(kinds=kinds, its_ids=its_ids, its_kind=its_kind))
        self._of_one_kind = Statement(sql.format(kinds=kinds, its_ids=its_ids, its_kind="true"))

    def execute(self, connection: Connection, rows: Mapping[UUID, Shared], **more: object) -> int:
        """Returns how many rows it changed."""
        if not rows:
            return 0
        kinds: dict[Shared, int] = {}
        kind_of = {str(id_): kinds.setdefault(shared, len(kinds)) for id_, shared in rows.items()}
        parameters = {
            "ids": id_array(kind_of),
            "kinds_kind": list(range(len(kinds))),
            **columns_of("kinds", self._shared, kinds),
        }
        if len(kinds) == 1:
            return self._of_one_kind.written(connection, {**more, **parameters})
        return self._of_many_kinds.written(connection, {**more, **parameters, "kind_of": json.dumps(kind_of)})
