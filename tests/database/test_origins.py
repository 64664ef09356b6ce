"""What requests brought is known as theirs to the end, also where many are worked on together (docs/decisions 46)."""

from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from sqlalchemy import Engine, text
from structlog.typing import EventDict

from issuance import hints, origins
from issuance.billers import translation
from issuance.billers.billers import New
from issuance.database.connections import transaction
from issuance.origins import NOWHERE, Origin
from issuance.webhooks import dispatcher
from tests.database.stripes import Club
from tests.database.stripes import new_club as club_of_a_biller
from tests.database.test_mapped import MAPPING, webhook
from tests.hooks import Hook
from tests.logs import captured
from tests.traces import kept, trace_of

_WAITED = text("UPDATE biller_deliveries SET received_at = received_at - interval '20 seconds'")
_SECONDS = text("""
    SELECT extract(epoch FROM clock_timestamp() - received_at) FROM billing_events
     WHERE brand_id = :brand_id AND data ->> 'external_user_id' = :member
""")
#: Their first attempts were a minute ago.
_LOST = """
    WITH earlier AS (
         UPDATE billing_events SET received_at = received_at - interval '1 minute' WHERE brand_id = :brand_id)
    UPDATE schedules SET retry_at = retry_at - interval '1 minute' WHERE brand_id = :brand_id
"""


@pytest.fixture
def club(engine: Engine) -> Club:
    club = club_of_a_biller(engine, new=New("mapped", ["user:password"], mapping=MAPPING))
    club.map("gold")
    return club


def of(name: str) -> Origin:
    return Origin(f"request-{name}", f"00-{name * 32}-00f067aa0ba902b7-01")


def deliver(club: Club, name: str, origin: Origin, **said: Any) -> None:
    with origins.working_for(origin):
        club.deliver([webhook(name, **said)])


def waited(club: Club, member: str) -> float:
    with transaction(club.engine, club.brand_id) as connection:
        return float(connection.execute(_SECONDS, {"brand_id": club.brand_id, "member": member}).scalar_one())


def test_what_a_biller_sends_is_due_to_the_request_that_brought_it(club: Club, broker: StubBroker) -> None:
    """However many requests one message translates for, and whatever that message came from; the hint to settle names
    each membership's own. What no request brought is due to the message."""
    for name in "ab":
        deliver(club, name, of(name))
    deliver(club, "c", NOWHERE)
    with origins.working_for(of("d")):
        done = translation.translate(club.engine, club.brand_id, club.biller_id)
    assert sorted(done.of_deliveries.values()) == [(of("a"),), (of("b"),), (of("d"),)]
    with origins.working_for_each(done.of_memberships):
        hints.settle(broker, club.brand_id, done.membership_ids)
    (body,) = broker.queues["events"].queue
    said = origins.sane_each(dramatiq.Message.decode(body).options["origins"])
    assert said == done.of_memberships
    assert set(said) == {str(one) for one in done.membership_ids}
    assert sorted(said.values()) == [(of("a"),), (of("b"),), (of("d"),)]


def test_an_event_of_a_biller_is_here_since_its_webhook_came(club: Club) -> None:
    """From event to credit is measured from then, with the time that it waited for a worker. One that had to wait for a
    price that nobody had mapped is here since it could be translated."""
    deliver(club, "a", NOWHERE)
    deliver(club, "b", NOWHERE, price="silver")
    with transaction(club.engine) as connection:
        connection.execute(_WAITED)
    club.translate()
    assert waited(club, "a") >= 20
    club.map("silver")
    club.translate()
    assert waited(club, "b") < 20


def test_what_a_look_finds_has_a_trace_each_that_the_look_began(new_club: Callable[..., Any]) -> None:
    """Memberships whose hint was lost: what brought them has nothing in common."""
    lost = new_club()
    lost.accept(2)
    lost.rows(_LOST)
    with kept() as traces:
        assert lost.tick().memberships == 2
    ways = [traces.of(trace_of(span)) for span in traces.named("tick")]
    assert ways == [["tick", "send settle_memberships"]] * 2
    assert [span.parent for span in traces.named("tick")] == [None, None]


def test_the_line_of_an_attempt_names_the_requests_that_it_tells_of(hook: Hook) -> None:
    """Without traces too: the outbox keeps them. One has its id, several have theirs."""

    def said() -> EventDict:
        with captured(dispatcher) as lines:
            hook.deliver()
        (line,) = [line for line in lines if line["event"] == "webhook_attempted"]
        return line

    for names in (["a"], ["b", "c"]):
        for name in names:
            with origins.working_for(Origin(name)):
                hook.tell()
        line = said()
        assert line.get("request_ids", [line.get("request_id")]) == names
    hook.tell()
    assert not {"request_id", "request_ids"} & said().keys()
