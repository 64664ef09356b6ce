"""Where work comes from: the request, and the trace, that asked for it.

An origin goes with hints, so that what a worker logs, traces and writes to the outbox names the request that it is due
to. It changes nothing that is decided."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import NamedTuple

#: What callers may say of themselves, and messages may hold: nothing else is logged or passed on.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
#: Requests that one line names, of work that many asked for.
MOST_NAMED = 10


class Origin(NamedTuple):
    """A request's id, and a place in a trace as W3C's `traceparent`; either may be missing."""

    request_id: str | None = None
    traceparent: str | None = None

    def told(self) -> dict[str, str]:
        """What a line of the log says of it."""
        said = {} if self.request_id is None else {"request_id": self.request_id}
        return said if self.traceparent is None else {**said, "trace_id": self.traceparent.split("-")[1]}

    def options(self) -> dict[str, str]:
        """What a message takes along. A worker that knows nothing of it passes over it."""
        return {name: value for name, value in self._asdict().items() if value is not None}


NOWHERE = Origin()
_here: ContextVar[Origin] = ContextVar("here", default=NOWHERE)
_of_memberships: ContextVar[Mapping[str, Origin] | None] = ContextVar("of_memberships", default=None)


def sane(request_id: object = None, traceparent: object = None) -> Origin:
    """An origin of what somebody else said; what is not well formed is left out."""
    return Origin(
        request_id if isinstance(request_id, str) and REQUEST_ID.fullmatch(request_id) else None,
        traceparent if isinstance(traceparent, str) and TRACEPARENT.fullmatch(traceparent) else None,
    )


def here() -> Origin:
    """What the work of this thread, or of this request, is due to."""
    return _here.get()


def of(membership_id: object) -> Origin:
    """What the work on a membership is due to, where several are worked on together."""
    of_memberships = _of_memberships.get()
    return here() if of_memberships is None else of_memberships.get(str(membership_id), NOWHERE)


def of_all() -> Mapping[str, Origin]:
    """The memberships that are worked on together, each with its origin; empty where none are."""
    return _of_memberships.get() or {}


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
def working_for_each(of_memberships: Mapping[str, Origin]) -> Iterator[None]:
    """What is done in the block for a membership is due to its origin: to one for all, or to one each."""
    origins = set(of_memberships.values())
    before = _of_memberships.set(of_memberships)
    try:
        with working_for(origins.pop() if len(origins) == 1 else NOWHERE):
            yield
    finally:
        _of_memberships.reset(before)


def requests() -> dict[str, list[str]]:
    """What a line says of work that several requests asked for; the first of them. Of one, its own line tells."""
    ids = list(dict.fromkeys(one.request_id for one in of_all().values() if one.request_id))
    return {"request_ids": ids[:MOST_NAMED]} if len(ids) > 1 else {}
