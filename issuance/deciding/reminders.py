"""Reminders: that a credit expires soon, told so long before as a webhook asks for (SEMANTICS 19)."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.deciding.calendar import before_validity
from issuance.deciding.facts import Credit, CreditKey
from issuance.deciding.frequency import Validity


class Lead(NamedTuple):
    """How long before the expiry, on the brand's wall clock; and as it was written, such as `P7D`."""

    text: str
    validity: Validity


class Listener(NamedTuple):
    """A webhook that is told of credits that expire soon, and since when (the brand's clock)."""

    webhook_id: UUID
    leads: tuple[Lead, ...]
    since: datetime


class Reminder(NamedTuple):
    """That a credit expires soon, for some webhooks. `expires_at` is the credit's."""

    key: CreditKey
    lead: str
    at: datetime
    expires_at: datetime
    webhook_ids: frozenset[UUID]


def next_reminder(
    credits: Iterable[Credit],
    listeners: Collection[Listener],
    now: datetime,
    zone: ZoneInfo,
) -> datetime | None:
    """The next instant after `now` at which a lead comes. Used and revoked credits count: if one is restored later, the
    reminder that it missed must not be sent."""
    leads = {lead for listener in listeners for lead in listener.leads}
    ends = {credit.expires_at for credit in credits if credit.expires_at is not None and credit.expires_at > now}
    instants = (before_validity(end, lead.validity, zone) for end in ends for lead in leads)
    return min((instant for instant in instants if instant > now), default=None)


def reminders(
    before: Mapping[CreditKey, Credit],
    after: Mapping[CreditKey, Credit],
    listeners: Collection[Listener],
    settled_at: datetime | None,
    now: datetime,
    zone: ZoneInfo,
) -> Iterator[Reminder]:
    """The reminders that are to be told at `now`. `before` and `after`: the credits at the last look, `settled_at`, and
    now.

    Of several leads that came since then, a webhook is told the nearest to the expiry.
    """
    for key, credit in after.items():
        was = before.get(key)
        if was is None or settled_at is None or credit.expires_at is None or not _may_be_told(was, credit, now):
            continue
        told: dict[str, set[UUID]] = {}
        for listener in listeners:
            nearest = _nearest(was, credit, listener, settled_at, now, zone)
            if nearest is not None:
                told.setdefault(nearest.text, set()).add(listener.webhook_id)
        for lead, webhook_ids in told.items():
            yield Reminder(key, lead, now, credit.expires_at, frozenset(webhook_ids))


def _may_be_told(was: Credit, credit: Credit, now: datetime) -> bool:
    """Not if the credit is over, was restored only now, or its expiry moved later since the last look."""
    if not credit.is_held_at(now) or was.redeemed_at is not None or was.revoked_at is not None:
        return False
    assert credit.expires_at is not None, "it is asked of credits that expire"
    return was.expires_at is not None and credit.expires_at <= was.expires_at


def _nearest(
    was: Credit, credit: Credit, listener: Listener, settled_at: datetime, now: datetime, zone: ZoneInfo
) -> Lead | None:
    """The lead of a webhook that has come since the last look and is the nearest to the expiry."""
    assert was.expires_at is not None, "it may be told"
    assert credit.expires_at is not None, "it may be told"
    known = max(listener.since, credit.issued_at, credit.extended_at or credit.issued_at)
    come: list[tuple[datetime, Lead]] = []
    for lead in listener.leads:
        instant = before_validity(credit.expires_at, lead.validity, zone)
        # With the old expiry this lead had not come at the last look.
        was_ahead = before_validity(was.expires_at, lead.validity, zone) > settled_at
        if was_ahead and known < instant <= now:
            come.append((instant, lead))
    return max(come, key=lambda one: one[0])[1] if come else None
