"""Do something for many at once; where that fails, find out for whom, and do it for the others."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from issuance.errors import IssuanceError

#: SQLSTATE classes that say nothing about what was written: connection, state of the transaction, rollback, resources,
#: locks, an operator, the system; and that a right is missing. The whole is tried again then.
_TRANSIENT = ("08", "25", "40", "53", "55", "57", "58", "42501")
#: Among so many several may be refused, so they are cut into eight pieces and not into halves.
_MANY = 1000
_PIECES_OF_MANY = 8

#: Not transient: a statement timeout, which the same membership would cause again.
_TOO_LONG = "57014"

Item = TypeVar("Item")


class Raced(IssuanceError):
    """A credit was redeemed or revoked while its membership was being settled: settle again."""

    code = "raced"


def is_transient(error: BaseException) -> bool:
    """Whether an error is transient (a full disk, a lock, a missing right): the data is not to blame. A lost connection
    does not count: the data may have crashed the server."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return False
    state = _state_of(error)
    return state.startswith(_TRANSIENT) and not state.startswith("08") and state != _TOO_LONG


def _state_of(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or "08"


def in_pieces(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], object],
    cut: Callable[[Sequence[Item], Exception], Iterable[Sequence[Item]]],
    *,
    fails: tuple[type[Exception], ...] = (Exception,),
    stops: Callable[[Exception], bool] = lambda _: False,
) -> Iterator[tuple[Item, Exception]]:
    """Do `work` with all items. Where it fails, `cut` divides them into smaller pieces; one item alone it does not
    divide. Yields the items that fail even by themselves, each with its error.

    What `work` did before it failed must be undone. Raises an error that `stops`, and any that is none of `fails`.
    """
    todo = deque([items] if items else ())
    while todo:
        piece = todo.popleft()
        try:
            work(piece)
        except fails as error:
            if stops(error):
                raise
            if smaller := [*cut(piece, error)]:
                todo.extendleft(reversed(smaller))
            else:
                yield piece[0], error


def singly(items: Sequence[Item], _: Exception) -> Iterable[Sequence[Item]]:
    """Each item by itself."""
    return ([one] for one in items) if len(items) > 1 else ()


def write_all(
    connection: Connection,
    items: Sequence[Item],
    write: Callable[[Sequence[Item]], None],
    single: Callable[[Sequence[Item]], Sequence[Item]],
) -> list[tuple[Item, Exception]]:
    """Write all items, or, where PostgreSQL refuses, ever smaller pieces of them. Returns the items that are refused
    even by themselves, each with its error; the others are written. Raises errors that have nothing to do with the
    items. An item may be a group: `single` makes one item of each of its members."""

    def write_piece(piece: Sequence[Item]) -> None:
        with connection.begin_nested():
            write(piece)

    def smaller(piece: Sequence[Item], _: Exception) -> Iterable[Sequence[Item]]:
        return _smaller(single(piece))

    return [*in_pieces(items, write_piece, smaller, fails=(Raced, DBAPIError), stops=_is_about_no_item)]


def _smaller(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    if len(items) == 1:
        return ()
    size = -(-len(items) // (_PIECES_OF_MANY if len(items) > _MANY else 2))
    return (items[start : start + size] for start in range(0, len(items), size))


def _is_about_no_item(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and (error.connection_invalidated or _state_of(error).startswith(_TRANSIENT))
