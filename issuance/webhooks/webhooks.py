"""Webhooks: the URLs at which a brand's own programs listen, and the types of events that each wants (see `outbox`)."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.database.tables import brands, webhooks
from issuance.database.tables.webhooks import DISABLED_BY_HAND
from issuance.errors import Conflict, Invalid, NotFound
from issuance.tenancy import clock as clocks
from issuance.tenancy.sealing import seal, unseal
from issuance.webhooks import signatures
from issuance.webhooks.outbox import EVENT_TYPES

#: An event has one delivery for each webhook that listens to it, so their number is bounded.
MOST_WEBHOOKS = 20
#: How long a former secret signs beside the new one.
OVERLAP = timedelta(hours=24)


class TooManyWebhooks(Conflict):
    """A brand has at most 20 webhooks."""

    code = "too_many_webhooks"


class WebhookEventUnknown(Invalid):
    """There is no such type of event."""

    code = "webhook_event_unknown"


def check_events(events: Sequence[str]) -> None:
    """Refuse types of events that do not exist. Raises WebhookEventUnknown."""
    wrong = {f"events.{place}": "is no type of event" for place, event in enumerate(events) if event not in EVENT_TYPES}
    if wrong:
        raise WebhookEventUnknown(f"{', '.join(wrong)}: there are {', '.join(EVENT_TYPES)}", fields=wrong)


def create(
    connection: Connection, brand_id: UUID, url: str, events: Sequence[str], leads: Sequence[str] | None = None
) -> dict[str, Any]:
    """A new webhook with its `signing_secret`, which is shown only now. The caller has checked `url` (`addresses`), and
    begins the reminders (`engine/reminders.py`). `leads`: how long before their expiry credits are reported as
    expiring.

    Raises TooManyWebhooks, WebhookEventUnknown, Invalid.

    """
    check_events(events)
    if (leads is not None) != ("credit.expiring" in events):
        raise Invalid(fields={"leads": 'go with the event "credit.expiring", such as ["P7D"]'})
    clocks.lock_alone(connection, brand_id)  # what is settled is settled before it, or after it
    known = connection.scalar(select(func.count()).select_from(webhooks).where(webhooks.c.brand_id == brand_id))
    if known is not None and known >= MOST_WEBHOOKS:
        raise TooManyWebhooks
    webhook_id, secret = uuid7(), signatures.new_secret()
    connection.execute(
        insert(webhooks).values(
            brand_id=brand_id,
            webhook_id=webhook_id,
            url=url,
            events=sorted(set(events)),
            signing_secret=seal(connection, secret),
            leads=None if leads is None else list(dict.fromkeys(leads)),
            leads_since=None if leads is None else clocks.read(connection, brand_id).now,
        )
    )
    # Only the host: the rest of the URL may be a secret of the receiver's.
    said = {"host": urlsplit(url).hostname, "events": sorted(set(events))}
    if leads is not None:
        said["leads"] = list(leads)
    audit.write(connection, brand_id, "webhook.created", webhook_id, after=said)
    return {**get(connection, brand_id, webhook_id), "signing_secret": signatures.as_text(secret)}


def secret_of(connection: Connection, webhook_id: UUID) -> str | None:
    """The signing secret of a webhook of the brand that this transaction sees, for a repeated request to create it.

    None if the webhook has been removed.
    """
    secret = connection.scalar(select(webhooks.c.signing_secret).where(webhooks.c.webhook_id == webhook_id))
    return None if secret is None else signatures.as_text(unseal(bytes(secret)))


def rotate(connection: Connection, brand_id: UUID, webhook_id: UUID) -> dict[str, Any]:
    """Give a webhook a new `signing_secret`, which is shown only now. The former one signs too, for OVERLAP or until
    the next rotation. Raises NotFound."""
    secret = signatures.new_secret()
    rotated = connection.execute(
        update(webhooks)
        .where(webhooks.c.brand_id == brand_id, webhooks.c.webhook_id == webhook_id)
        .values(
            former_secret=webhooks.c.signing_secret,
            former_until=func.now() + OVERLAP,
            signing_secret=seal(connection, secret),
        )
    )
    if rotated.rowcount == 0:
        raise NotFound("There is no such webhook.")
    audit.write(connection, brand_id, "webhook.rotated", webhook_id)
    return {**get(connection, brand_id, webhook_id), "signing_secret": signatures.as_text(secret)}


def all_of(connection: Connection, brand_id: UUID) -> list[dict[str, Any]]:
    """The brand's webhooks, the oldest first, without their secrets."""
    found = select(*_SHOWN).where(webhooks.c.brand_id == brand_id).order_by(webhooks.c.webhook_id)
    return [dict(row) for row in connection.execute(found).mappings()]


def get(connection: Connection, brand_id: UUID, webhook_id: UUID) -> dict[str, Any]:
    """One webhook, without its secret. Raises NotFound."""
    found = select(*_SHOWN).where(webhooks.c.brand_id == brand_id, webhooks.c.webhook_id == webhook_id)
    row = connection.execute(found).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such webhook.")
    return dict(row)


def begin_removing(connection: Connection, brand_id: UUID, webhook_id: UUID) -> None:
    """Note and deliver nothing more for a webhook that is about to go. Raises NotFound."""
    get(connection, brand_id, webhook_id)
    disable(connection, brand_id, webhook_id, "It is being deleted.")


def remove(connection: Connection, brand_id: UUID, webhook_id: UUID) -> None:
    """Delete a webhook and its deliveries. Events without deliveries are deleted when they are old.

    If its history may be long, call `begin_removing` and `retention.forget_some` first, and commit each by itself: this
    deletes all that is left at once. Raises NotFound."""
    removed = connection.execute(
        delete(webhooks).where(webhooks.c.brand_id == brand_id, webhooks.c.webhook_id == webhook_id)
    )
    if removed.rowcount == 0:
        raise NotFound("There is no such webhook.")
    audit.write(connection, brand_id, "webhook.deleted", webhook_id)


def enable(connection: Connection, brand_id: UUID, webhook_id: UUID) -> dict[str, Any]:
    """Deliver again, starting with what is pending. Events that happened while it was disabled were never written, and
    leads that came meanwhile are not told; the caller begins the reminders (`engine/reminders.py`).

    Raises NotFound.
    """
    clocks.lock_alone(connection, brand_id)
    was = get(connection, brand_id, webhook_id)
    was_enabled = was["enabled"]
    connection.execute(
        update(webhooks)
        .where(webhooks.c.brand_id == brand_id, webhooks.c.webhook_id == webhook_id)
        .values(disabled_at=None, disabled_reason=None, failing_since=None, claimed_until=None)
    )
    if not was_enabled and was["leads"] is not None:
        now = clocks.read(connection, brand_id).now
        since = update(webhooks).where(webhooks.c.brand_id == brand_id, webhooks.c.webhook_id == webhook_id)
        connection.execute(since.values(leads_since=now))
    if not was_enabled:
        audit.write(connection, brand_id, "webhook.enabled", webhook_id)
    return get(connection, brand_id, webhook_id)


def disable(connection: Connection, brand_id: UUID, webhook_id: UUID, reason: str) -> bool:
    """Deliver nothing more until it is enabled. False if there is no such webhook, or it was already disabled."""
    disabled = connection.execute(
        update(webhooks)
        .where(webhooks.c.brand_id == brand_id, webhooks.c.webhook_id == webhook_id, webhooks.c.disabled_at.is_(None))
        .values(disabled_at=func.now(), disabled_reason=reason)
    )
    return disabled.rowcount > 0


def disable_by_hand(connection: Connection, brand_id: UUID, webhook_id: UUID) -> dict[str, Any]:
    """`disable` because a person asked for it; returns the webhook. Raises NotFound."""
    if disable(connection, brand_id, webhook_id, DISABLED_BY_HAND):
        audit.write(connection, brand_id, "webhook.disabled", webhook_id)
    return get(connection, brand_id, webhook_id)


_ENVIRONMENT = select(func.upper(brands.c.environment)).where(brands.c.brand_id == webhooks.c.brand_id)
_SHOWN = (
    webhooks.c.webhook_id.label("id"),
    _ENVIRONMENT.scalar_subquery().label("environment"),
    webhooks.c.url,
    webhooks.c.events,
    webhooks.c.leads,
    webhooks.c.disabled_at.is_(None).label("enabled"),
    webhooks.c.created_at,
    webhooks.c.disabled_at,
    webhooks.c.disabled_reason,
    webhooks.c.failing_since,
)
