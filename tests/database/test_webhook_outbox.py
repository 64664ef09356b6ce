"""The outbox: written where a webhook listens, with the transaction that made it so."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, insert, select
from uuid_utils.compat import uuid7

from issuance.database.connections import transaction
from issuance.database.tables import deliveries, webhook_events, webhooks
from issuance.webhooks import outbox
from tests.hooks import ALL_BUT_REMINDERS


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
