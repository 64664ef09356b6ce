"""One trace an event, also of what is asked for, carried and settled together (issuance/tracing/spans.py)."""

from uuid import uuid4

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.brokers.stub import StubBroker

from issuance import hints, origins, tracing
from issuance.origins import NOWHERE, Origin
from tests.traces import kept, trace_of
from worker.origins import Origins

BRAND = uuid4()
A, B = ("a" * 32, "b" * 32)


def of(request_id: str, trace: str) -> Origin:
    return Origin(request_id, f"00-{trace}-00f067aa0ba902b7-01")


def test_each_trace_goes_on_through_one_message_of_several_memberships(broker: StubBroker) -> None:
    """The hint, its message and its settling are a span in each, one below the other; where somebody has no trace
    theirs begins with it."""
    mine, theirs, nobodys = (str(uuid4()) for _ in range(3))
    due = {mine: (of("request-a", A),), theirs: (of("request-b", B),), nobodys: (NOWHERE,)}
    with kept() as traces:
        with origins.working_for_each(due), tracing.spans("tick"):
            hints.settle(broker, BRAND, [mine, theirs, nobodys])  # type: ignore[list-item]
        (body,) = broker.queues["events"].queue
        middleware, message = Origins(), MessageProxy(dramatiq.Message.decode(body))
        middleware.before_process_message(broker, message)
        with tracing.spans("settle"):
            assert [origins.of(one).request_id for one in (mine, theirs, nobodys)] == ["request-a", "request-b", None]
            (third,) = {origins.of(nobodys).told()["trace_id"]}
        middleware.after_process_message(broker, message)
    way = ["tick", "send settle_memberships", "process settle_memberships", "settle"]
    assert [traces.of(trace) for trace in (A, B, third)] == [way, way, way]
    assert len({A, B, third}) == 3
    for name, above in zip(way[1:], way[:-1], strict=True):
        parents = {span.parent and span.parent.span_id for span in traces.named(name)}
        assert parents == {span.context.span_id for span in traces.named(above)}
    assert [span.parent for span in traces.named("tick") if trace_of(span) == third] == [None]


def test_what_several_asked_for_is_settled_in_each_trace_and_led_on_from_the_first() -> None:
    """A sign-up and then a charge of one membership: the credit is the sign-up's, and the charge's span is linked to
    where it went on."""
    member = str(uuid4())
    with kept() as traces:
        due = {member: (of("signed up", A), of("charged", B))}
        with origins.working_for_each(due), tracing.spans("settle"):
            assert origins.of(member).told() == {"request_id": "signed up", "trace_id": A}
            assert origins.told_of(member)["request_ids"] == ["signed up", "charged"]
    first, other = sorted(traces.named("settle"), key=trace_of)
    assert [trace_of(span) for span in (first, other)] == [A, B]
    assert [link.context.span_id for link in other.links] == [first.context.span_id]
    assert not first.links
