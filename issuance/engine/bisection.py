"""Write for many at once; where PostgreSQL refuses, find out for whom, and write for the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from issuance.errors import IssuanceError

#: SQLSTATE classes that say nothing about what was written: connection, state of the transaction, rollback, resources,
#: locks, an operator, the system. The whole is tried again then.
_PASSING = ("08", "25", "40", "53", "55", "57", "58")
#: Among so many several may be refused, so they are cut into eight pieces and not into halves.
_MANY = 1000
_PIECES_OF_MANY = 8

#: One of them that may be its membership's doing after all: a statement that took too long takes so long again.
_TOO_LONG = "57014"

Item = TypeVar("Item")


class Raced(IssuanceError):
    """A credit was redeemed or revoked while its membership was being settled: settle again."""

    code = "raced"


def is_passing(error: BaseException) -> bool:
    """Whether an error is that of a server that answers, and says nothing about what was written: a full disk, a lock,
    a deadlock. A server that is gone may have ended by what was written."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return False
    state = _state_of(error)
    return state.startswith(_PASSING) and not state.startswith("08") and state != _TOO_LONG


def _state_of(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or "08"


def write_all(
    connection: Connection,
    items: Sequence[Item],
    write: Callable[[Sequence[Item]], None],
    *,
    refused_before: bool = False,
) -> list[tuple[Item, Exception]]:
    """Call `write` with all of `items`, or, where it is refused, with ever smaller pieces of them.

    Returns the items that are refused even by themselves, each with its error. What `write` did for others stays.
    Raises errors that have nothing to do with the items. `refused_before`: all of them together were refused already.
    """
    if not items:
        return []
    if not refused_before or len(items) == 1:
        try:
            with connection.begin_nested():
                write(items)
            return []
        except Raced as error:
            why: Exception = error
        except DBAPIError as error:
            if error.connection_invalidated or _state_of(error).startswith(_PASSING):
                raise
            why = error
        if len(items) == 1:
            return [(items[0], why)]
    size = -(-len(items) // (_PIECES_OF_MANY if len(items) > _MANY else 2))
    refused: list[tuple[Item, Exception]] = []
    for start in range(0, len(items), size):
        # If all other pieces went through, the last one is known to be refused as a whole.
        last = start + size >= len(items)
        refused += write_all(connection, items[start : start + size], write, refused_before=last and not refused)
    return refused
