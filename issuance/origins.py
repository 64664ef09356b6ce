"""Where work comes from: the request, and the trace, that asked for it.

An origin goes with hints, and is kept with what billers send, so that what a worker logs, traces and writes to the
outbox names the request that it is due to. It changes nothing that is decided."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import NamedTuple

#: What callers may say of themselves, and messages may hold: nothing else is logged or passed on.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
#: Requests that one line names, of work that many asked for; and origins that are known of one membership.
MOST_NAMED = 10


class Origin(NamedTuple):
    """A request's id, and a place in a trace as W3C's `traceparent`; either may be missing."""

    request_id: str | None = None
    traceparent: str | None = None

    def told(self) -> dict[str, str]:
        """What a line of the log says of it."""
        said = {} if self.request_id is None else {"request_id": self.request_id}
        return said if self.traceparent is None else {**said, "trace_id": self.traceparent.split("-")[1]}


NOWHERE = Origin()
#: What several are due to that are worked on together, by their ids: memberships, deliveries. Each was asked for once,
#: or more often: the first comes first.
Each = Mapping[str, tuple[Origin, ...]]
_here: ContextVar[Origin] = ContextVar("here", default=NOWHERE)
_each: ContextVar[Each | None] = ContextVar("each", default=None)


def sane(request_id: object = None, traceparent: object = None) -> Origin:
    """An origin of what somebody else said; what is not well formed is left out."""
    return Origin(
        request_id if isinstance(request_id, str) and REQUEST_ID.fullmatch(request_id) else None,
        traceparent if isinstance(traceparent, str) and TRACEPARENT.fullmatch(traceparent) else None,
    )


def sane_each(said: object) -> Each:
    """`options` of several, of what somebody else said; what is not well formed is left out."""
    if not isinstance(said, dict):
        return {}
    return {
        one: tuple(sane(*origin) for origin in its[:MOST_NAMED] if isinstance(origin, list) and len(origin) == 2)
        for one, its in said.items()
        if isinstance(its, list)
    }


def here() -> Origin:
    """What the work of this thread, or of this request, is due to."""
    return _here.get()


def all_of(one: object) -> tuple[Origin, ...]:
    """What the work on a membership is due to, where several are worked on together; the first comes first."""
    each = _each.get()
    return (here(),) if each is None else each.get(str(one)) or (NOWHERE,)


def of(one: object) -> Origin:
    """The first that the work on a membership is due to, where several are worked on together."""
    return all_of(one)[0]


def each() -> Each:
    """What is worked on together, each with its origins; empty where nothing is."""
    return _each.get() or {}


def together(some: Iterable[Origin], others: Iterable[Origin]) -> tuple[Origin, ...]:
    """What is due to some origins and then to others."""
    return tuple(dict.fromkeys((*some, *others)))[:MOST_NAMED]


def options() -> dict[str, object]:
    """What a message takes along. A worker that knows nothing of it passes over it."""
    if here() != NOWHERE:
        return {name: value for name, value in here()._asdict().items() if value is not None}
    known = {one: [list(origin) for origin in its if origin != NOWHERE] for one, its in each().items()}
    known = {one: its for one, its in known.items() if its}
    return {"origins": known} if known else {}


def begin(request_id: str, traceparent: str | None) -> Token[Origin]:
    """What is done from now on is due to a request, until `end`. For the hot path; elsewhere `working_for`."""
    return _here.set(Origin(request_id, traceparent))


def end(begun: Token[Origin]) -> None:
    """What is done from now on is due to what it was before `begin`."""
    _here.reset(begun)


@contextmanager
def working_for(origin: Origin) -> Iterator[None]:
    """What is done in the block is due to an origin."""
    before = _here.set(origin)
    try:
        yield
    finally:
        _here.reset(before)


@contextmanager
def working_for_each(of_each: Each) -> Iterator[None]:
    """What is done in the block for one of several is due to its own origins; all of it, where they have the same one,
    to that. Of none nothing changes."""
    if not of_each:
        yield
        return
    origins = {origin for its in of_each.values() for origin in its}
    before = _each.set(of_each)
    try:
        with working_for(origins.pop() if len(origins) == 1 else NOWHERE):
            yield
    finally:
        _each.reset(before)


@contextmanager
def working_for_these(ids: Iterable[object]) -> Iterator[None]:
    """What is done in the block is due to what some are due to, of those that are worked on together."""
    with working_for_each({str(one): all_of(one) for one in ids} if each() else {}):
        yield


def told_of(one: object) -> dict[str, object]:
    """What a line says of a membership, where several are worked on together."""
    return {**of(one).told(), **_requests(all_of(one))}


def requests() -> dict[str, list[str]]:
    """What a line says of work that several requests asked for; the first of them. Of one, its own line tells."""
    return _requests(origin for its in each().values() for origin in its)


def _requests(origins: Iterable[Origin]) -> dict[str, list[str]]:
    ids = list(dict.fromkeys(one.request_id for one in origins if one.request_id))
    return {"request_ids": ids[:MOST_NAMED]} if len(ids) > 1 else {}
