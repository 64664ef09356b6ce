"""Months of churn: members leave and others join, webhooks are told and their deliveries forgotten; then each table is
weighed beside a fresh copy of itself."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import text

from campaigns.growth.year import FIRST_DAY, Year
from campaigns.receiver import Receiver
from issuance.database.connections import transaction
from issuance.deciding.calendar import add_months
from issuance.webhooks import dispatcher, retention, webhooks

#: Of a hundred members so many leave in a month, and as many join.
LEAVING = 4
_TOLD = ["credit.issued", "credit.expired", "credit.redeemed", "redemption.created"]


class Weighed(NamedTuple):
    """A table after the churn: its bytes with its indexes, and those of a fresh copy of it."""

    name: str
    bytes: int
    fresh: int


class Churn(Year):
    """A club that changes from month to month. `ISSUANCE_LOCAL_WEBHOOKS` must be on.

    To weigh is to vacuum, which autovacuum does many times in a month; the months here last seconds.
    """

    def live_on(self, months: int, passed: Callable[[int], None] = lambda _: None) -> list[Weighed]:
        """Let months pass; the tables beside fresh copies of them, the largest first. `passed` hears of each month."""
        self.found()
        receiver = Receiver()
        receiver.start()
        try:
            with transaction(self.engine, self.brand_id) as connection:
                webhook_id = webhooks.create(connection, self.brand_id, receiver.url, _TOLD)["id"]
            for month in range(months):
                self._month(month, webhook_id)
                receiver.received.clear()
                passed(month + 1)
        finally:
            receiver.stop()
        after = {table.name: table.bytes for table in self.weigh()}
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("VACUUM (FULL)"))
        fresh = {table.name: table.bytes for table in self.weigh()}
        return sorted((Weighed(name, after[name], fresh[name]) for name in after), key=lambda one: -one.bytes)

    def _month(self, month: int, webhook_id: UUID) -> None:
        day = add_months(FIRST_DAY, month)
        self.put_clock(day)
        with transaction(self.engine) as connection:  # those of the month before, hour by hour
            while retention.forget(connection, timedelta(0)):
                pass
        self.weigh()
        self.sweep()
        if month == 0:
            self.tell("membership.signed_up", day, month, self.ids)
        else:
            number = len(self.ids) * LEAVING // 100
            leaving, self.ids = self.ids[:number], self.ids[number:]
            self.tell("membership.status_changed", day, month, leaving)
            self.tell("charge.initiated", day, month, self.ids)
            self.tell("charge.succeeded", day, month, self.ids)
            joining = [uuid4() for _ in leaving]
            self.tell("membership.signed_up", day, month, joining)
            self.ids += joining
        self.redeem()
        while dispatcher.deliver(self.engine, self.brand_id, webhook_id):
            self.weigh()
