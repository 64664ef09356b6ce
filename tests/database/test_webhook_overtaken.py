"""A worker that was overtaken, one that died, a name that changes its meaning: what is delivered stays true."""

from typing import Any

import pytest

from campaigns.receiver import Receiver
from issuance.database.connections import transaction
from issuance.webhooks import addresses, deliveries
from issuance.webhooks.deliveries import Attempted
from tests.hooks import Hook


def test_a_late_answer_overwrites_nothing(hook: Hook, receiver: Receiver) -> None:
    """The first worker comes back when the second has delivered already: delivered it stays."""
    hook.tell()
    with transaction(hook.engine, hook.brand_id) as connection:
        claimed = deliveries.claim(connection, hook.brand_id, hook.webhook_id)
    assert claimed is not None
    hook.make_due()
    hook.deliver()
    late = [
        Attempted(row.delivery_id, row.event_id, row.attempts, None, "no answer", delivered=False)
        for row in claimed.deliveries
    ]
    with transaction(hook.engine, hook.brand_id) as connection:
        deliveries.record(connection, hook.brand_id, hook.webhook_id, late, gone=False)
    assert [(one.state, one.attempts) for one in hook.deliveries()] == [("delivered", 2)]
    hook.make_due()
    hook.deliver()
    assert len(receiver.received) == 1


def test_while_one_worker_delivers_no_other_does(hook: Hook) -> None:
    """What happens meanwhile waits for it: nobody else is handed the webhook, and nobody is asked to look."""
    hook.tell()
    with transaction(hook.engine, hook.brand_id) as connection:
        assert deliveries.claim(connection, hook.brand_id, hook.webhook_id) is not None
    hook.tell()
    with transaction(hook.engine, hook.brand_id) as connection:
        assert deliveries.claim(connection, hook.brand_id, hook.webhook_id) is None
        assert deliveries.due(connection, most=100) == []
    assert [one.attempts for one in hook.deliveries()] == [1, 0]


def test_what_a_dead_worker_held_is_due_again_within_minutes(hook: Hook) -> None:
    """Its claims run out by themselves: nobody has to give them back."""
    hook.tell()
    with transaction(hook.engine, hook.brand_id) as connection:
        deliveries.claim(connection, hook.brand_id, hook.webhook_id)
    hook.sql("UPDATE deliveries SET next_at = next_at - interval '2 minutes'")
    hook.sql("UPDATE webhooks SET claimed_until = claimed_until - interval '2 minutes'")
    hook.deliver()
    assert [(one.state, one.attempts) for one in hook.deliveries()] == [("delivered", 2)]


def test_it_connects_to_the_very_address_that_was_looked_at(
    hook: Hook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the connection a name may change its meaning: it is not asked a second time."""
    hook.sql("UPDATE webhooks SET url = replace(url, '127.0.0.1', 'changes.invalid')")

    async def looked_up(*_: Any, **__: Any) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(addresses, "resolve", looked_up)
    hook.tell()
    hook.deliver()
    assert [one.state for one in hook.deliveries()] == ["delivered"]
    _, headers, _ = receiver.received[0]
    assert headers["host"].startswith("changes.invalid:")
