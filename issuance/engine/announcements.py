"""Tell the webhooks what settling came to, in the transaction that writes it. Costs one query where nobody listens."""

from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.credits import credits
from issuance.deciding.facts import Credit
from issuance.engine.settled import Settled
from issuance.webhooks import outbox
from issuance.webhooks.outbox import EventType, OutboxEvent

_GUESTS = text("""
    SELECT g.membership_id, g.guest_id AS id, g.name, g.lead_booker, m.external_user_id
      FROM guests g LEFT JOIN members m USING (brand_id, member_id)
     WHERE g.brand_id = :brand_id AND (g.membership_id, g.guest_id) IN (SELECT * FROM unnest(
               CAST(:ids AS uuid[]), CAST(:guest_ids AS uuid[])))
""")


class Happened(NamedTuple):
    """What became of a credit."""

    at: datetime
    type: EventType
    credit_id: UUID


def became(credit_id: UUID, before: Credit | None, after: Credit, now: datetime | None = None) -> Iterator[Happened]:
    """What became of a credit. `before` is None for a new one; `now` is when it was changed."""
    told = list(_known_as(before, after, now))
    if not told:
        assert now is not None, "what is changed was out"
        told = [(now, "credit.updated")]
    return (Happened(at, type_, credit_id) for at, type_ in told)


def _known_as(before: Credit | None, after: Credit, now: datetime | None) -> Iterator[tuple[datetime, EventType]]:
    """The changes that have types of events of their own."""
    if before is None:
        yield after.issued_at, "credit.issued"
    if after.revoked_at is not None and (before is None or before.revoked_at is None):
        yield after.revoked_at, "credit.revoked"
    if before is not None and before.revoked_at is not None and after.revoked_at is None:
        assert now is not None, "what is restored was out"
        yield now, "credit.restored"
    if after.expired_at is not None and (before is None or before.expired_at is None):
        yield after.expired_at, "credit.expired"


def announce(
    connection: Connection, brand_id: UUID, settled: Sequence[Settled], happened: Iterable[Happened], told: Set[str]
) -> None:
    """Write to the outbox what became of credits, as they stand now and the API shows them, and what was skipped.
    `told`: the types of events that webhooks listen to."""
    news = sorted(one for one in happened if one.type in told)
    if news:
        shown = credits.by_id(connection, brand_id, [one.credit_id for one in news], settled[0].outcome.now)
        outbox.add_all(connection, brand_id, (OutboxEvent(one.type, one.at, shown[one.credit_id]) for one in news))
    if "credit.skipped" in told:
        outbox.add_all(connection, brand_id, _skipped(connection, brand_id, settled))


def _skipped(connection: Connection, brand_id: UUID, settled: Sequence[Settled]) -> Iterator[OutboxEvent]:
    """Decisions that give nothing, when they are first taken."""
    some = [one for one in settled if one.outcome.skipped]
    wanted = {
        (one.membership.membership_id, one.membership.guest_ids[decision.guest.place])
        for one in some
        for decision in one.outcome.skipped
    }
    guests: dict[tuple[UUID, UUID], dict[str, Any]] = {}
    asked = {"brand_id": brand_id, "ids": [one for one, _ in wanted], "guest_ids": [guest for _, guest in wanted]}
    for row in connection.execute(_GUESTS, asked).mappings() if wanted else ():
        guest = dict(row)
        guests[guest.pop("membership_id"), guest["id"]] = guest
    for one in some:
        membership_id = one.membership.membership_id
        for decision in one.outcome.skipped:
            guest_id = one.membership.guest_ids[decision.guest.place]
            data = {
                "membership_id": membership_id,
                "credit_rule_id": decision.credit_rule_id,
                "rule_version": None if decision.version is None else decision.version.version,
                "guest": guests.get((membership_id, guest_id)),
                "period_start": decision.occurrence.period_start,
                "period_end": decision.occurrence.period_end,
                "outcome": decision.outcome.value,
                "reason": decision.reason.value,
            }
            yield OutboxEvent("credit.skipped", one.outcome.now, data)
