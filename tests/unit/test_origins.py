"""What work is due to goes with it, and harms nothing where it is missing or nonsense (issuance/origins.py)."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import dramatiq
import pytest
from dramatiq.broker import MessageProxy
from dramatiq.brokers.stub import StubBroker

from issuance import hints, origins
from issuance.embedded.environment import REPO
from issuance.log import lines
from issuance.origins import MOST_NAMED, NOWHERE, Origin
from worker.backlog import Backlog
from worker.origins import Origins

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
FULL = Origin("request-1", TRACEPARENT)
BRAND, FIRST, SECOND, THIRD = uuid4(), uuid4(), uuid4(), uuid4()

#: Everything is loaded, and works; nothing that makes or sends traces is. (FastAPI and redis load parts of their own.)
LOADS = """
import sys
import issuance.api.app, scheduler.__main__, worker.process
from issuance import tracing
tracing.check(); tracing.set_up("web")
with tracing.span("settle") as span:
    span.update_name("x")
assert not tracing.is_on()
assert not any(name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter")) for name in sys.modules)
"""


def worked_on(options: dict[str, object]) -> Origin:
    """What a worker takes a message for."""
    message = MessageProxy(dramatiq.Message("events", "settle_memberships", (), {}, options))
    middleware, broker = Origins(), StubBroker(middleware=[])
    middleware.before_process_message(broker, message)
    found = origins.here()
    middleware.after_process_message(broker, message)
    assert origins.here() == NOWHERE, "the thread's next message is due to something else"
    return found


def test_a_hint_takes_its_origin_along(broker: StubBroker) -> None:
    """In the message's options; without a request it says nothing, as ever."""
    with origins.working_for(FULL):
        hints.settle(broker, BRAND, [FIRST])
    hints.settle(broker, BRAND, [SECOND])
    said = [dramatiq.Message.decode(body) for body in broker.queues["events"].queue]
    assert [message.options for message in said] == [{"request_id": "request-1", "traceparent": TRACEPARENT}, {}]
    assert worked_on(said[0].options) == FULL


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"redis_message_id": "x"},
        {"request_id": "two\nlines", "traceparent": "00-zz-01"},
        {"request_id": ["x"], "traceparent": 5},
        {"request_id": "x" * 129, "traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
    ],
)
def test_a_message_without_an_origin_is_understood(options: dict[str, object]) -> None:
    """An older version's has none; what is no id is neither logged nor passed on."""
    assert worked_on(options) == NOWHERE


def test_each_membership_keeps_its_own_where_several_are_settled_together() -> None:
    """A thread that settles what others asked for names theirs, not its own."""
    seen: list[tuple[list[UUID], list[Origin], Origin]] = []

    def settle(_: UUID, ids: list[UUID]) -> None:
        if ids == [FIRST]:  # meanwhile others ask
            for one, of in ((SECOND, FULL), (THIRD, Origin("request-2"))):
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(ask, one, of).result()
        seen.append((ids, [origins.of(one) for one in ids], origins.here()))

    def ask(one: UUID, of: Origin) -> None:
        with origins.working_for(of):
            backlog.ask(BRAND, [one])

    backlog = Backlog(settle)
    ask(FIRST, Origin("request-0"))
    assert seen == [
        ([FIRST], [Origin("request-0")], Origin("request-0")),
        ([SECOND, THIRD], [FULL, Origin("request-2")], NOWHERE),
    ]


def test_who_is_asked_for_twice_keeps_both_the_first_first() -> None:
    """A sign-up and a charge that are settled together: the second does not take the first one's place, and however
    often somebody is asked for, what is known of it is bounded."""
    seen: list[tuple[Origin, ...]] = []

    def settle(_: UUID, ids: list[UUID]) -> None:
        if ids == [FIRST]:
            with ThreadPoolExecutor(1) as pool:
                for number in range(2 * MOST_NAMED):
                    pool.submit(ask, Origin(f"request-{number}")).result()
        else:
            seen.append(origins.all_of(SECOND))

    def ask(of: Origin) -> None:
        with origins.working_for(of):
            backlog.ask(BRAND, [SECOND])

    backlog = Backlog(settle)
    backlog.ask(BRAND, [FIRST])
    assert seen == [tuple(Origin(f"request-{number}") for number in range(MOST_NAMED))]


@pytest.mark.parametrize("said", [None, [], {"x": None}, {"x": [["r"], "y", 5, {}]}, {"x": [[5, {}]]}])
def test_several_origins_that_are_none_are_left_out(said: object) -> None:
    """Whatever is in the message's options."""
    assert worked_on({"origins": said}) == NOWHERE


def test_every_line_names_what_it_is_due_to() -> None:
    """By a step of all processes' logs; what a line says itself stands."""
    with origins.working_for(FULL):
        line = lines._due_to(None, "", {"event": "x"})
        own = lines._due_to(None, "", {"event": "x", "request_id": "its own"})
    assert line == {"event": "x", "request_id": "request-1", "trace_id": TRACE}
    assert own["request_id"] == "its own"
    assert lines._due_to(None, "", {"event": "x"}) == {"event": "x"}


def test_nothing_that_traces_is_loaded_unless_it_is_wanted() -> None:
    """With no collector named; nor where it is switched off by OpenTelemetry's own variables."""
    environments = [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}]
    for environment in environments:
        done = subprocess.run(
            [sys.executable, "-c", LOADS], cwd=REPO, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_a_protocol_that_is_not_spoken_is_one_line() -> None:
    """Before anything begins, as with any setting that is wrong."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "DATABASE_URL": "postgresql://127.0.0.1:1/nobody",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    for command in (["-m", "issuance.api"], ["-m", "scheduler"], ["-m", "worker", "--queues", "events"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=REPO, env=environment, capture_output=True, text=True, check=False
        )
        (line,) = (done.stdout + done.stderr).splitlines()
        assert done.returncode != 0
        assert "OTEL_EXPORTER_OTLP_PROTOCOL" in line
