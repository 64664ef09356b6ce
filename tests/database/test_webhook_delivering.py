"""Deliveries arrive at least once, signed, whatever the receiver does; one that is dead is left alone."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from campaigns.receiver import Receiver, flood, hang, redirect
from issuance import health
from issuance.database.connections import transaction
from issuance.errors import Conflict
from issuance.tenancy.shares import Shares
from issuance.webhooks import addresses, client, deliveries, dispatcher, retention, webhooks
from issuance.webhooks.deliveries import MOST_AT_ONCE, WAITS
from tests.hooks import Hook
from tests.waiting import PATIENCE_SECONDS


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


def test_a_delivery_is_signed(hook: Hook, receiver: Receiver) -> None:
    """The standard's own library finds the signature good, and a changed body not."""
    hook.tell()
    hook.deliver()
    ((path, headers, body),) = receiver.received
    (said,) = receiver.verified(hook.secret)
    assert path == "/hooks"
    assert (said["type"], said["data"]) == ("wallet.credited", {"amount": 0})
    assert datetime.fromisoformat(said["timestamp"]).tzinfo is not None
    (delivery,) = hook.deliveries()
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 200)
    assert headers["webhook-id"] == str(delivery.event_id)
    with pytest.raises(WebhookVerificationError):
        Webhook(hook.secret).verify(body.decode() + " ", headers)


def test_many_are_delivered_in_batches(hook: Hook, receiver: Receiver) -> None:
    """All of them, each once, however many batches it takes."""
    number = MOST_AT_ONCE * 2 + 3
    hook.tell(number)
    hook.deliver()
    assert sorted(said["data"]["amount"] for said in receiver.verified(hook.secret)) == list(range(number))
    assert {delivery.attempts for delivery in hook.deliveries()} == {1}


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


def test_a_receiver_that_restarts_gets_everything(hook: Hook, receiver: Receiver) -> None:
    """What could not be delivered while it was down is delivered afterwards."""
    receiver.stop()
    hook.tell(3)
    hook.deliver()
    assert {(one.state, one.last_status, one.last_error) for one in hook.deliveries()} == {
        ("pending", None, "no answer: ConnectError")
    }
    assert hook.shown()["failing_since"] is not None
    receiver.start()
    hook.make_due()
    hook.deliver()
    assert {one.state for one in hook.deliveries()} == {"delivered"}
    assert len(receiver.verified(hook.secret)) == 3
    assert hook.shown()["failing_since"] is None


def test_an_answer_that_never_ends_is_cut_off(hook: Hook, receiver: Receiver) -> None:
    """The limit is over all of the attempt, not over each byte."""
    receiver.answers = [hang]
    hook.tell()
    hook.deliver(patience=0.5)
    (delivery,) = hook.deliveries()
    assert delivery.state == "pending"
    assert delivery.last_error.startswith("no answer within")


def test_a_body_without_end_is_not_read(hook: Hook, receiver: Receiver) -> None:
    """The status says all."""
    receiver.answers = [flood]
    hook.tell()
    hook.deliver()
    assert hook.deliveries()[0].state == "delivered"


def test_a_secret_is_rotated_with_an_overlap(hook: Hook, receiver: Receiver) -> None:
    """Deliveries are signed with both, so that a receiver may know either; after a day with the new one alone."""
    with transaction(hook.engine, hook.brand_id) as connection:
        fresh = webhooks.rotate(connection, hook.brand_id, hook.webhook_id)["signing_secret"]
    assert fresh != hook.secret
    hook.tell()
    hook.deliver()
    assert receiver.verified(hook.secret) == receiver.verified(fresh)
    assert len(receiver.received) == 1
    hook.sql("UPDATE webhooks SET former_until = now()")
    hook.tell()
    hook.deliver()
    assert len(receiver.verified(fresh)) == 2
    with pytest.raises(WebhookVerificationError):
        receiver.verified(hook.secret)


def test_who_rotates_once_more_ends_the_secret_of_before(hook: Hook, receiver: Receiver) -> None:
    """Within the overlap too: of a secret that leaked nobody waits for the end of a day."""
    with transaction(hook.engine, hook.brand_id) as connection:
        second, third = (
            webhooks.rotate(connection, hook.brand_id, hook.webhook_id)["signing_secret"] for _ in range(2)
        )
    hook.tell()
    hook.deliver()
    assert receiver.verified(second) == receiver.verified(third)
    with pytest.raises(WebhookVerificationError):
        receiver.verified(hook.secret)


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


def test_a_brand_has_its_share_of_the_threads(hook: Hook, receiver: Receiver, other_brand_id: UUID) -> None:
    """Its receivers that never answer keep four threads waiting, not one more; another brand is told meanwhile."""
    answered = threading.Event()

    def wait(_: BaseHTTPRequestHandler) -> None:
        answered.wait(PATIENCE_SECONDS)

    receiver.answers = [wait] * dispatcher.MOST_A_BRAND
    with transaction(hook.engine, hook.brand_id) as connection:
        hooks = [
            hook._replace(
                webhook_id=webhooks.create(connection, hook.brand_id, receiver.url, ["wallet.credited"])["id"]
            )
            for _ in range(dispatcher.MOST_A_BRAND + 1)
        ]
    hook.tell()
    with ThreadPoolExecutor(dispatcher.MOST_A_BRAND) as pool:
        waiting = [pool.submit(one.deliver, patience=2 * PATIENCE_SECONDS) for one in hooks[:-1]]
        receiver.wait_for(dispatcher.MOST_A_BRAND)
        hooks[-1].deliver()
        assert len(receiver.received) == dispatcher.MOST_A_BRAND
        with transaction(hook.engine, other_brand_id) as connection:
            theirs = webhooks.create(connection, other_brand_id, receiver.url, ["wallet.credited"])
        other = Hook(hook.engine, other_brand_id, theirs["id"], theirs["signing_secret"])
        other.tell()
        other.deliver()
        assert [one.state for one in other.deliveries()] == ["delivered"]
        answered.set()
        assert all(one.result() is False for one in waiting)


def test_failing_webhooks_have_their_share_of_the_threads(
    hook: Hook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is taken, one that fails waits for its turn, and one that does not goes on."""
    monkeypatch.setattr(dispatcher, "_failing", Shares(0))
    hook.tell()
    hook.sql("UPDATE webhooks SET failing_since = now()")
    hook.deliver()
    assert receiver.received == []
    hook.sql("UPDATE webhooks SET failing_since = NULL")
    hook.deliver()
    assert len(receiver.received) == 1


def test_redirects_are_not_followed(hook: Hook, receiver: Receiver) -> None:
    """A redirect is a failure: where it leads, nobody has looked."""
    receiver.answers = [redirect(f"{receiver.url}/elsewhere")]
    hook.tell()
    hook.deliver()
    assert [path for path, _, _ in receiver.received] == ["/hooks"]
    (delivery,) = hook.deliveries()
    assert (delivery.last_status, delivery.last_error) == (307, "redirects are not followed")


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


def test_delivering_again_keeps_the_id(hook: Hook, receiver: Receiver) -> None:
    """On demand, under the same id; not while the webhook is disabled."""
    hook.tell()
    hook.deliver()
    (delivery,) = hook.deliveries()
    which = (hook.brand_id, hook.webhook_id)
    with transaction(hook.engine, hook.brand_id) as connection:
        assert deliveries.deliver_again(connection, *which, delivery.delivery_id)["state"] == "pending"
    hook.deliver()
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 1
    assert len(receiver.received) == 2
    with transaction(hook.engine, hook.brand_id) as connection:
        webhooks.disable(connection, *which, "by hand")
        with pytest.raises(Conflict):
            deliveries.deliver_again(connection, *which, delivery.delivery_id)


def test_a_worker_that_died_has_counted_its_attempt(hook: Hook, receiver: Receiver) -> None:
    """The claim comes back after a while, and the next worker goes on."""
    hook.tell()
    with transaction(hook.engine, hook.brand_id) as connection:
        claimed = deliveries.claim(connection, hook.brand_id, hook.webhook_id)
    assert claimed is not None
    hook.deliver()
    assert receiver.received == [], "somebody else holds it"
    hook.make_due()
    hook.deliver()
    assert [(one.state, one.attempts) for one in hook.deliveries()] == [("delivered", 2)]


def test_an_address_that_changed_meanwhile_is_not_connected_to(
    hook: Hook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is looked up once, at the connection, and what was found is what is connected to: a live brand's name
    that leads inside by then is refused."""
    hook.sql("UPDATE webhooks SET url = replace(url, '127.0.0.1', 'localhost')")
    hook.sql("UPDATE brands SET environment = 'live', clock_now = NULL, woke_at = NULL")
    hook.tell()
    hook.deliver()
    assert receiver.received == []
    assert hook.deliveries()[0].last_error == "url must begin with https://"
    hook.sql("UPDATE webhooks SET url = replace(url, 'http:', 'https:')")
    hook.make_due()
    hook.deliver()
    assert hook.deliveries()[0].last_error == "url must lead to public addresses only"


def test_what_is_long_done_is_forgotten(hook: Hook, receiver: Receiver) -> None:
    """Deliveries that were done 30 days ago, and events that have none left; nothing that is pending."""
    hook.tell()
    hook.deliver()
    hook.sql("UPDATE deliveries SET attempted_at = now() - interval '31 days'")
    hook.sql("UPDATE webhook_events SET created_at = now() - interval '31 days'")
    hook.tell()
    with transaction(hook.engine) as connection:
        assert not retention.forget(connection, timedelta(days=30)), "that was all"
    assert [one.state for one in hook.deliveries()] == ["pending"]


def test_the_secret_is_in_no_representation(hook: Hook) -> None:
    """Not in what a worker holds, whatever logs it."""
    hook.tell()
    with transaction(hook.engine, hook.brand_id) as connection:
        claimed = deliveries.claim(connection, hook.brand_id, hook.webhook_id)
    assert claimed is not None
    assert "secret" not in repr(claimed)
    assert json.dumps(hook.shown(), default=str).count("secret") == 0
