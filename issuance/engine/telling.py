"""Tell the webhooks what walks came to, in the transaction that writes it. Costs one look where nobody listens."""

from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.credits import credits  # noqa: A004 - the word is the domain's
from issuance.deciding.facts import Credit
from issuance.engine.walking import Walked
from issuance.webhooks import outbox
from issuance.webhooks.outbox import EventType, News

_GUESTS = text("""
    SELECT g.membership_id, g.guest_id AS id, g.name, g.lead_booker, m.external_user_id
      FROM guests g LEFT JOIN members m USING (brand_id, member_id)
     WHERE g.brand_id = :brand_id AND g.membership_id = ANY(:ids)
""")


class Happened(NamedTuple):
    """What became of a credit."""

    at: datetime
    type: EventType
    credit_id: UUID


def tell(connection: Connection, brand_id: UUID, walks: Sequence[Walked]) -> None:
    """Write to the outbox what became of credits in `walks`, which are written already, as far as webhooks listen."""
    wanted = outbox.listened_to(connection, brand_id)
    if not wanted or not walks:
        return
    tell_of(connection, brand_id, wanted, [one for walk in walks for one in _happened(walk)], walks[0].now)
    if "credit.skipped" in wanted:
        outbox.add_all(connection, brand_id, _skipped(connection, brand_id, walks))


def tell_of(
    connection: Connection, brand_id: UUID, wanted: Set[str], happened: Iterable[Happened], now: datetime
) -> None:
    """Write to the outbox what became of credits, as they stand now and the API shows them."""
    told = sorted(one for one in happened if one.type in wanted)
    # One that another transaction had issued already is not among the shown: it told of it.
    shown = credits.by_id(connection, brand_id, [one.credit_id for one in told], now) if told else {}
    news = (News(one.type, one.at, shown[one.credit_id]) for one in told if one.credit_id in shown)
    outbox.add_all(connection, brand_id, news)


def new(credit_id: UUID, credit: Credit) -> Iterator[Happened]:
    """What becomes of a credit that is written for the first time and like `credit`."""
    yield Happened(credit.issued_at, "credit.issued", credit_id)
    if credit.revoked_at is not None:
        yield Happened(credit.revoked_at, "credit.revoked", credit_id)
    if credit.expired_at is not None:
        yield Happened(credit.expired_at, "credit.expired", credit_id)


def _happened(walk: Walked) -> Iterator[Happened]:
    fresh = set()
    for credit, _ in walk.issued:
        fresh.add(credit.credit_id)
        yield from new(credit.credit_id, credit)
    for credit_id, (before, after, _) in walk.changed.items():
        if credit_id in fresh:
            continue
        if before.revoked_at is None and after.revoked_at is not None:
            yield Happened(after.revoked_at, "credit.revoked", credit_id)
        if before.revoked_at is not None and after.revoked_at is None:
            yield Happened(walk.now, "credit.restored", credit_id)
        if before.expired_at is None and after.expired_at is not None:
            yield Happened(after.expired_at, "credit.expired", credit_id)


def _skipped(connection: Connection, brand_id: UUID, walks: Sequence[Walked]) -> Iterator[News]:
    """Decisions that give nothing, when they are first taken."""
    ids = [walk.membership.membership_id for walk in walks if walk.skipped]
    guests: dict[tuple[UUID, UUID], dict[str, Any]] = {}
    for row in connection.execute(_GUESTS, {"brand_id": brand_id, "ids": ids}).mappings():
        guest = dict(row)
        guests[guest.pop("membership_id"), guest["id"]] = guest
    for walk in walks:
        membership_id = walk.membership.membership_id
        for decision in walk.skipped:
            guest_id = walk.guest_of.get(decision.guest.guest_id, decision.guest.guest_id)
            data = {
                "membership_id": membership_id,
                "credit_rule_id": decision.credit_rule_id,
                "rule_version": None if decision.version is None else decision.version.version,
                "guest": guests.get((membership_id, guest_id)),
                "period_start": decision.turn.period_start,
                "period_end": decision.turn.period_end,
                "outcome": decision.outcome.value,
                "reason": decision.reason.value,
            }
            yield News("credit.skipped", walk.now, data)
