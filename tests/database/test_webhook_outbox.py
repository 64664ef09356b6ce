"""The outbox: written where a webhook listens, with the transaction that made it so."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, insert, select, text
from uuid_utils.compat import uuid7

from issuance.database.connections import transaction
from issuance.database.tables import deliveries, webhook_events, webhooks
from issuance.webhooks import outbox, retention
from issuance.webhooks import webhooks as registry
from tests.hooks import ALL_BUT_REMINDERS
from tests.limits import Limit


def listen(connection: Connection, brand_id: UUID, *types: str) -> UUID:
    """A webhook that listens to some types of events."""
    webhook_id = uuid7()
    values = {"url": "https://example.com/", "events": list(types), "signing_secret": b"s" * 32}
    connection.execute(insert(webhooks).values(brand_id=brand_id, webhook_id=webhook_id, **values))
    return webhook_id


def told(engine: Engine, brand_id: UUID) -> Sequence[Any]:
    """The outbox of a brand, a row a delivery."""
    both = webhook_events.join(deliveries, webhook_events.c.event_id == deliveries.c.event_id)
    columns = webhook_events.c
    asked = select(deliveries.c.webhook_id, columns.type, columns.data).select_from(both)
    with transaction(engine, brand_id) as connection:
        found: Sequence[Any] = connection.execute(asked.where(columns.brand_id == brand_id)).all()
    return found


def test_an_event_has_a_delivery_to_each_webhook_that_listens(engine: Engine, brand_id: UUID) -> None:
    """One event, a delivery each; other types go to nobody, and nothing is kept of them."""
    with transaction(engine, brand_id) as connection:
        listening = {listen(connection, brand_id, "wallet.credited"), listen(connection, brand_id, *ALL_BUT_REMINDERS)}
        listen(connection, brand_id, "member.archived")
        outbox.add(connection, brand_id, "wallet.credited", {"id": uuid7(), "amount": 5})
    assert {(row.webhook_id, row.type, row.data["amount"]) for row in told(engine, brand_id)} == {
        (webhook_id, "wallet.credited", 5) for webhook_id in listening
    }


def test_where_nobody_listens_nothing_is_written(engine: Engine, brand_id: UUID) -> None:
    """A brand without webhooks, or with other ones, has an empty outbox."""
    with transaction(engine, brand_id) as connection:
        assert outbox.listened_to(connection, brand_id) == frozenset()
        listen(connection, brand_id, "member.archived")
        assert outbox.listened_to(connection, brand_id) == {"member.archived"}
        outbox.add(connection, brand_id, "wallet.credited", {"amount": 5})
    assert told(engine, brand_id) == []


@pytest.mark.parametrize(
    ("listens", "status", "heard"),
    [
        (outbox.FOLLOWING, "live", ["credit.extended"]),
        (outbox.FOLLOWING, "redeemed", ["credit.redeemed"]),
        (outbox.FOLLOWING, "revoked", ["credit.revoked"]),
        ((*outbox.FOLLOWING, "credit.updated"), "redeemed", ["credit.updated"]),
        (("credit.redeemed", "credit.revoked"), "redeemed", []),
    ],
)
def test_what_has_no_type_of_its_own_is_told_once_to_whoever_follows_credits(
    engine: Engine, brand_id: UUID, listens: Sequence[str], status: str, heard: Sequence[str]
) -> None:
    """Under the nearest type to those who do not listen to `credit.updated`; who asks for some types gets no more."""
    with transaction(engine, brand_id) as connection:
        listen(connection, brand_id, *listens)
        assert ("credit.updated" in outbox.listened_to(connection, brand_id)) == bool(heard)
        outbox.add(connection, brand_id, "credit.updated", {"status": status})
    assert [row.type for row in told(engine, brand_id)] == list(heard)
    with transaction(engine, brand_id) as connection:
        assert list(connection.scalars(select(webhook_events.c.type))) == list(heard)


def test_what_is_undone_was_never_told(engine: Engine, brand_id: UUID) -> None:
    """The event lives and dies with the transaction that made it so."""
    with transaction(engine, brand_id) as connection:
        listen(connection, brand_id, "wallet.credited")

    def fail() -> None:
        with transaction(engine, brand_id) as connection:
            outbox.add(connection, brand_id, "wallet.credited", {"amount": 5})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert told(engine, brand_id) == []


def test_whoever_writes_does_not_wait_for_a_webhook_that_goes(engine: Engine, brand_id: UUID) -> None:
    """However long its deletion takes: it is told no more, and the others are."""
    with transaction(engine, brand_id) as connection:
        leaving, staying = (listen(connection, brand_id, "wallet.credited") for _ in range(2))
    with transaction(engine, brand_id) as deleting:
        registry.remove(deleting, brand_id, leaving)
        with transaction(engine, brand_id) as connection:
            connection.execute(text("SET LOCAL lock_timeout = '1s'"))
            outbox.add(connection, brand_id, "wallet.credited", {"amount": 5})
    assert [row.webhook_id for row in told(engine, brand_id)] == [staying]


def test_what_nobody_is_left_to_be_told_is_not_kept(engine: Engine, brand_id: UUID) -> None:
    """The only one that listens is just being deleted."""
    with transaction(engine, brand_id) as connection:
        leaving = listen(connection, brand_id, "wallet.credited")
    with transaction(engine, brand_id) as deleting:
        registry.remove(deleting, brand_id, leaving)
        with transaction(engine, brand_id) as connection:
            outbox.add(connection, brand_id, "wallet.credited", {"amount": 5})
    with transaction(engine, brand_id) as connection:
        assert connection.execute(select(webhook_events.c.event_id)).all() == []


def test_a_long_history_is_forgotten_piece_by_piece(engine: Engine, brand_id: UUID, limit: Limit) -> None:
    """Of the webhook that goes alone."""
    limit("webhooks", forgotten=2)
    with transaction(engine, brand_id) as connection:
        leaving, staying = (listen(connection, brand_id, "wallet.credited") for _ in range(2))
        for amount in range(5):
            outbox.add(connection, brand_id, "wallet.credited", {"amount": amount})
    with transaction(engine, brand_id) as connection:
        assert [retention.forget_some(connection, brand_id, leaving) for _ in range(3)] == [True, True, False]
    assert [row.webhook_id for row in told(engine, brand_id)] == [staying] * 5
