"""Deliveries arrive at least once, signed, whatever the receiver does; one that is dead is left alone."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from campaigns.receiver import Receiver, boast, chatter, flood, hang, redirect
from issuance.database.connections import transaction
from issuance.errors import Conflict
from issuance.tenancy.shares import Shares
from issuance.webhooks import deliveries, dispatcher, retention, webhooks
from issuance.webhooks.deliveries import MOST_AT_ONCE
from tests.hooks import Hook
from tests.waiting import PATIENCE_SECONDS


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


@pytest.mark.parametrize("head", [chatter, boast])
def test_a_head_without_end_is_cut_off(
    hook: Hook, receiver: Receiver, head: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    """After so many bytes, not only after so long: interim answers are a worker's work as long as they come."""
    receiver.answers = [head]
    hook.tell()
    hook.deliver(patience=PATIENCE_SECONDS)
    (delivery,) = hook.deliveries()
    assert (delivery.state, delivery.last_status) == ("pending", None)
    assert delivery.last_error == "no answer within 65,536 bytes"


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
