"""Receivers that fail: when they are tried again, left alone, and disabled (SEMANTICS 14)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from sqlalchemy import Connection

from campaigns.receiver import Receiver
from issuance import health
from issuance.database.connections import transaction
from issuance.webhooks import addresses, client, webhooks
from issuance.webhooks.deliveries import WAITS
from tests.hooks import Hook


def later(status: int, retry_after: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer that it shall come later."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Retry-After", retry_after)
        request.end_headers()

    return answer


def came_since(began: datetime, instant: datetime) -> bool:
    """Whether it came between `began` and now, give or take what clocks differ by and what a date leaves out."""
    some = timedelta(seconds=2)
    return began - some < instant < datetime.now(UTC) + some


def test_a_failure_is_tried_again_on_the_schedule(hook: Hook, receiver: Receiver) -> None:
    """5 s, 5 min, … 24 h after the attempt before; the message keeps its id; then it has failed."""
    receiver.answers = [500] * (len(WAITS) + 1)
    hook.tell()
    for attempt, wait in enumerate(WAITS, start=1):
        began = datetime.now(UTC)
        hook.deliver()
        (delivery,) = hook.deliveries()
        assert (delivery.state, delivery.attempts, delivery.last_status) == ("pending", attempt, 500)
        assert came_since(began, delivery.next_at - wait)
        hook.make_due()
    hook.deliver()
    (delivery,) = hook.deliveries()
    assert (delivery.state, delivery.attempts, delivery.next_at) == ("failed", len(WAITS) + 1, None)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 1
    assert len(receiver.verified(hook.secret)) == len(WAITS) + 1


def test_before_its_time_nothing_is_attempted(hook: Hook, receiver: Receiver) -> None:
    """A failed delivery waits, and a webhook that fails rests."""
    receiver.answers = [503]
    hook.tell()
    hook.deliver()
    hook.deliver()
    assert len(receiver.received) == 1


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_an_address_that_can_not_be_is_tried_on_the_schedule_until_it_is_disabled(hook: Hook, port: int) -> None:
    """One of before it was refused: its deliveries are attempted and wait, as those to a receiver that is down."""
    hook.sql(f"UPDATE webhooks SET url = 'https://example.com:{port}/'")
    hook.tell(2)
    hook.deliver()
    said = {(one.state, one.attempts, one.last_error) for one in hook.deliveries()}
    assert said == {("pending", 1, "url must have a port from 1 to 65535, or none")}
    assert all(one.next_at > datetime.now(UTC) for one in hook.deliveries())
    assert hook.shown()["failing_since"] is not None
    hook.sql("UPDATE webhooks SET failing_since = now() - interval '6 days'")
    hook.make_due()
    hook.deliver()
    assert not hook.shown()["enabled"]


@pytest.mark.parametrize("raised", [OverflowError("port"), RuntimeError("anything"), KeyError("else")], ids=repr)
def test_whatever_one_delivery_raises_is_its_own_outcome(
    hook: Hook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    """Its neighbours' outcomes are noted, and it comes again after its wait."""
    hook.tell(5)
    post = client._post

    async def raises(*about: Any) -> Any:
        if b'"amount":2' in about[-1].body:
            raise raised
        return await post(*about)

    monkeypatch.setattr(client, "_post", raises)
    hook.deliver()
    said = [(one.state, one.attempts, one.last_error) for one in hook.deliveries()]
    error = f"could not be sent: {type(raised).__name__}"
    if isinstance(raised, OSError | ValueError):
        error = f"no answer: {type(raised).__name__}"
    assert said == [("pending", 1, error) if amount == 2 else ("delivered", 1, None) for amount in range(5)]
    assert len(receiver.received) == 4


def test_whatever_all_deliveries_raise_is_their_outcome(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a webhook that nothing can be sent to rests, and is disabled in the end."""

    async def raises(*_: object, **__: object) -> list[str]:
        raise RuntimeError

    monkeypatch.setattr(addresses, "resolve", raises)
    hook.tell(2)
    hook.deliver()
    assert {one.last_error for one in hook.deliveries()} == {"could not be sent: RuntimeError"}
    assert hook.shown()["failing_since"] is not None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_receiver_that_asks_for_rest_gets_it(hook: Hook, receiver: Receiver, status: int, form: str) -> None:
    """429 and 503 with Retry-After: neither this nor any other delivery comes before that; an hour at most."""
    began, rest = datetime.now(UTC), timedelta(seconds=1200)
    asks = "1200" if form == "seconds" else format_datetime(began + rest, usegmt=True)
    receiver.answers = [later(status, asks)]
    hook.tell()
    hook.deliver()
    (delivery,) = hook.deliveries()
    assert came_since(began, delivery.next_at - rest)
    hook.tell()
    hook.deliver()
    assert len(receiver.received) == 1, "it rests"
    hook.sql("UPDATE webhooks SET claimed_until = claimed_until - interval '900 seconds'")
    hook.deliver()
    assert len(receiver.received) == 1, "not yet"
    hook.make_due()
    receiver.answers = [later(status, "99999999999")] * 2
    hook.deliver()
    assert max(one.next_at for one in hook.deliveries()) < datetime.now(UTC) + timedelta(hours=1, minutes=1)


def test_an_unreadable_retry_after_is_none(hook: Hook, receiver: Receiver) -> None:
    """Then the schedule holds."""
    receiver.answers = [later(503, "soon")]
    hook.tell()
    began = datetime.now(UTC)
    hook.deliver()
    (delivery,) = hook.deliveries()
    assert came_since(began, delivery.next_at - WAITS[0])


def test_gone_disables_at_once(hook: Hook, receiver: Receiver) -> None:
    """410: the receiver wants no more. What happens then is not even noted."""
    receiver.answers = [410]
    hook.tell()
    hook.deliver()
    shown = hook.shown()
    assert not shown["enabled"]
    assert "410" in shown["disabled_reason"]
    hook.tell()
    assert len(hook.deliveries()) == 1


def test_one_that_is_disabled_by_hand_was_not_given_up(connection: Connection, hook: Hook, receiver: Receiver) -> None:
    """Whoever watches is told of the receivers that no longer take anything, not of what somebody wanted."""

    def disabled() -> tuple[float, float]:
        figures = health.figures(connection)
        return figures["webhooks_disabled"], figures["webhooks_given_up"]

    all_, given_up = disabled()
    with transaction(hook.engine, hook.brand_id) as other:
        webhooks.disable_by_hand(other, hook.brand_id, hook.webhook_id)
    assert disabled() == (all_ + 1, given_up)
    with transaction(hook.engine, hook.brand_id) as other:
        webhooks.enable(other, hook.brand_id, hook.webhook_id)
    receiver.answers = [410]
    hook.tell()
    hook.deliver()
    assert disabled() == (all_ + 1, given_up + 1)


def test_a_dead_endpoint_is_disabled(hook: Hook, receiver: Receiver) -> None:
    """One that failed through the whole schedule of a delivery; before that it stays."""
    receiver.answers = [500] * 3
    hook.tell()
    hook.deliver()
    hook.sql(f"UPDATE deliveries SET attempts = {len(WAITS)}")
    hook.make_due()
    hook.deliver()
    assert hook.deliveries()[0].state == "failed"
    assert hook.shown()["enabled"], "something else may get through yet"
    hook.tell()
    hook.sql(f"UPDATE deliveries SET attempts = {len(WAITS)}")
    hook.sql("UPDATE webhooks SET failing_since = now() - interval '4 days'")
    hook.make_due()
    hook.deliver()
    shown = hook.shown()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "Nothing was delivered for 4 days.")


def test_after_five_days_any_failure_disables(hook: Hook, receiver: Receiver) -> None:
    """Even where no delivery has used up its attempts."""
    receiver.answers = [500, 500]
    hook.tell()
    hook.deliver()
    hook.sql("UPDATE webhooks SET failing_since = now() - interval '5 days 1 hour'")
    hook.make_due()
    hook.deliver()
    assert not hook.shown()["enabled"]


def test_while_issuance_stands_still_no_webhook_fails(hook: Hook, receiver: Receiver) -> None:
    """It failed once, then nothing was attempted for six days: the next failure is the first of a new five days."""
    receiver.answers = [500, 500, 500]
    hook.tell()
    hook.deliver()
    hook.make_due()
    hook.sql("UPDATE webhooks SET failing_since = now() - interval '6 days', claimed_until = now() - interval '6 days'")
    hook.deliver()
    assert hook.shown()["enabled"]
    assert datetime.now(UTC) - hook.shown()["failing_since"] < timedelta(minutes=5)
    hook.make_due()
    hook.sql("UPDATE webhooks SET failing_since = now() - interval '6 days', claimed_until = now() - interval '1 day'")
    hook.deliver()
    assert not hook.shown()["enabled"], "the longest wait between two attempts is a day"


def test_a_disabled_webhook_is_told_what_was_pending_when_it_is_enabled(hook: Hook, receiver: Receiver) -> None:
    """Disabling keeps what is pending; enabling begins anew."""
    hook.tell()
    with transaction(hook.engine, hook.brand_id) as connection:
        webhooks.disable(connection, hook.brand_id, hook.webhook_id, "by hand")
    hook.deliver()
    assert receiver.received == []
    with transaction(hook.engine, hook.brand_id) as connection:
        webhooks.enable(connection, hook.brand_id, hook.webhook_id)
    hook.deliver()
    assert len(receiver.verified(hook.secret)) == 1
