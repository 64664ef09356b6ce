"""A receiver of webhooks, and a webhook that tells it of everything."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text

from campaigns.receiver import Receiver, running
from issuance.database.connections import transaction
from issuance.database.tables import deliveries
from issuance.webhooks import dispatcher, outbox, webhooks
from issuance.webhooks.client import PATIENCE
from tests.waiting import eventually


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running() as receiver:
        yield receiver


#: Reminders are asked for with leads, and make memberships due that would not be.
ALL_BUT_REMINDERS = [one for one in outbox.EVENT_TYPES if one != "credit.expiring"]


class Hook(NamedTuple):
    """A webhook of a brand, with what a test does to it."""

    engine: Engine
    brand_id: UUID
    webhook_id: UUID
    secret: str

    def tell(self, number: int = 1) -> None:
        """Something happens, so many times."""
        with transaction(self.engine, self.brand_id) as connection:
            for amount in range(number):
                outbox.add(connection, self.brand_id, "wallet.credited", {"amount": amount})

    def deliver(self, *, patience: float = PATIENCE) -> bool:
        """Do what a worker does in one time slice."""
        return dispatcher.deliver(self.engine, self.brand_id, self.webhook_id, patience=patience)

    def make_due(self) -> None:
        """Time passes until the next attempt of everything."""
        with transaction(self.engine, self.brand_id) as connection:
            connection.execute(text("UPDATE deliveries SET next_at = now() WHERE state = 'pending'"))
            connection.execute(text("UPDATE webhooks SET claimed_until = NULL"))

    def until_settled(self) -> None:
        """Wait for the last of what was sent to be noted."""
        eventually(lambda: all(delivery.state != "pending" for delivery in self.deliveries()))

    def shown(self) -> dict[str, Any]:
        with transaction(self.engine, self.brand_id) as connection:
            return webhooks.get(connection, self.brand_id, self.webhook_id)

    def deliveries(self) -> list[Any]:
        with transaction(self.engine, self.brand_id) as connection:
            return list(connection.execute(select(deliveries).order_by(deliveries.c.event_id)))

    def sql(self, statement: str) -> None:
        with transaction(self.engine, self.brand_id) as connection:
            connection.execute(text(statement))


def listen(
    engine: Engine, brand_id: UUID, receiver: Receiver, types: Sequence[outbox.EventType] = ALL_BUT_REMINDERS
) -> Hook:
    """A webhook that tells the receiver of everything."""
    with transaction(engine, brand_id) as connection:
        made = webhooks.create(connection, brand_id, receiver.url, types)
    return Hook(engine, brand_id, made["id"], made["signing_secret"])
