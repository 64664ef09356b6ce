"""What traces, and origins for the lines of the log, cost an event where nothing is traced."""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import process_time
from uuid import UUID, uuid4

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.brokers.stub import StubBroker

from benchmarks.club import OPENED, Club
from benchmarks.samples import Sample
from benchmarks.stage import Stage
from issuance import hints, origins, tracing
from issuance.billing import events
from issuance.database import engine_for, transaction
from issuance.engine import arrivals
from worker.origins import Origins

#: How often the calls of one event are made, and that is repeated.
CALLS, ROUNDS = 2_000, 5


class Untraced:
    """The processor time of all that is asked of `tracing` and `origins` on an event's way from its request to a
    webhook, beside that of taking the event in and settling it by one call each: no HTTP, no queue, no PostgreSQL are
    in either, so an event's whole way costs a multiple, and the share is the most that it can be."""

    name = "untraced"
    title = "an event, without HTTP and queue, where nothing is traced"

    def __init__(self, stage: Stage, n: int) -> None:
        self._stage = stage
        self._n = n

    def prepare(self) -> None:
        assert not tracing.is_on(), "the benchmark's own process does not trace"
        self._club = Club(self._stage, self._stage.database(self.name), 1)

    def measure(self) -> Sample:
        seconds = self._settled()
        calls = median(_called(CALLS) for _ in range(ROUNDS))
        figures = {"of_it_tracing_and_origins_us": 1e6 * calls, "percent_of_it": 100 * calls * self._n / seconds}
        return Sample(self._n, seconds, figures)

    def _settled(self) -> float:
        """The processor time of taking in and settling sign-ups, one by one, each of which gives a credit."""
        engine, brand_id = engine_for(self._club.url), self._club.brand_id
        bodies = [self._club.sign_up(uuid4(), OPENED) for _ in range(self._n)]
        began = process_time()
        for body in bodies:
            with transaction(engine, brand_id) as connection:
                intake = events.accept(connection, brand_id, [body])
            arrivals.settle_soon(engine, brand_id, intake.membership_ids)
        taken = process_time() - began
        engine.dispose()
        return taken


def _called(times: int) -> float:
    """The processor time of an event's calls."""
    broker, middleware, message = StubBroker(middleware=[]), Origins(), _message()
    ids = [uuid4() for _ in range(times)]
    began = process_time()
    for one in ids:
        with _request(), _hint(one):
            pass
        middleware.before_process_message(broker, message)
        _settle(one)
        middleware.after_process_message(broker, message)
        _attempt()
    return (process_time() - began) / times


def _message() -> MessageProxy:
    options = {"request_id": str(uuid4())}
    return MessageProxy(dramatiq.Message(hints.EVENTS_QUEUE, "settle_memberships", (), {}, options))


@contextmanager
def _request() -> Iterator[None]:
    tracing.is_on()
    begun = origins.begin("request", None)
    try:
        yield
    finally:
        origins.end(begun)


@contextmanager
def _hint(one: UUID) -> Iterator[None]:
    with origins.working_for_these([one]), tracing.spans("send", "producer", queue=hints.EVENTS_QUEUE):
        origins.options()
        yield


def _settle(one: UUID) -> None:
    its = origins.together((), origins.all_of(one))
    with origins.working_for_each({str(one): its}), tracing.spans("settle", brand="", memberships=1):
        origins.told_of(one)  # the line of its credit
        origins.of(one)  # what its webhooks are told
        tracing.is_on()
        origins.requests()


def _attempt() -> None:
    origin = origins.sane("request", None)
    with origins.working_for(origin), tracing.span("deliver webhook", "client", origin=origin, event=""):
        pass
    with origins.working_for_each({"": (origin,)}):
        origins.requests()
