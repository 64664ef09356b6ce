"""Stripe as an adapter: which of its webhooks tells what."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from issuance.billers.adapter import Asked, Json, Known, Listing, Notice, NotReadable, Translation
from issuance.billers.stripe import (
    asking,
    disputes,
    following,
    invoices,
    payloads,
    payments,
    reconciling,
    signatures,
    signing_up,
    subscriptions,
    told,
)
from issuance.billers.stripe.client import StripeApi
from issuance.billers.stripe.payloads import id_of, instant, part, stamp_of
from issuance.billing.cloud_events import Refused, read_json
from issuance.settings import OwnSettings, read

#: The order of events of one second: that of a subscription's and an invoice's life.
_LIFE_CYCLE = (
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.resumed",
    "customer.subscription.paused",
    "invoice.created",
    "invoice.finalized",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.paid",
)
#: The kinds of objects whose events tell something, and those of these events that tell nothing: their object is not
#: there.
_TOLD = frozenset(
    {"customer.subscription", "invoice", "invoice_payment", "charge", "charge.refund", "refund", "charge.dispute"}
)
_PASSED_OVER = frozenset({"invoice.upcoming", "invoice.deleted"})


class Stripe:
    """Stripe's webhooks, in every API version's shape."""

    kind = "stripe"
    source = told.SOURCE
    version = 1

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[bytes], now: datetime) -> None:
        """See that Stripe signed this within the last 300 s. Raises BadSignature."""
        signatures.verify(body, headers, secrets, now)

    def parse(self, body: bytes) -> Notice:
        """Read an event of Stripe's. Raises NotReadable."""
        try:
            event = read_json(body)
        except Refused as refusal:
            raise NotReadable(refusal.message) from None
        if not isinstance(event, dict):
            raise NotReadable("this is no event of Stripe's")
        if b"\\u0000" in body:
            payloads.storable(event)
        event_id, kind, created = event.get("id"), event.get("type"), stamp_of(event.get("created"))
        live, about = event.get("livemode"), part(event, "data", "object")
        if not (isinstance(event_id, str) and 0 < len(event_id) <= 200 and isinstance(kind, str)):
            raise NotReadable("this is no event of Stripe's: it has an id and a type")
        if created is None or not isinstance(live, bool):
            raise NotReadable("this is no event of Stripe's: it says when it happened, and whether in live mode")
        rank = _LIFE_CYCLE.index(kind) if kind in _LIFE_CYCLE else len(_LIFE_CYCLE)
        return Notice(event_id, kind, instant(created), rank, live, event, self.needs(about))

    def needs(self, about: Json) -> frozenset[str]:
        """The ids of the objects that translating an event about this one looks up."""
        try:
            found = {id_of(about), payloads.subscription_of(about), id_of(about.get("customer"))}
            found |= {id_of(about.get(name)) for name in ("invoice", "charge", "payment_intent")}
            found |= payloads.payments_of(about) | payloads.payments_named(about)
        except NotReadable:  # its translation says so
            return frozenset()
        return frozenset(name for name in found if name)

    def translate(self, notice: Notice, known: Known, *, patient: bool) -> Translation:
        """The facts that an event tells; none if it is not about memberships."""
        kind, _, verb = notice.kind.rpartition(".")
        if kind not in _TOLD or notice.kind in _PASSED_OVER:
            return Translation()
        if id_of(part(notice.body, "data", "object")) is None:
            raise NotReadable("it is about no object that has an id")
        match kind:
            case "customer.subscription":
                return self._subscription(notice, known, patient=patient)
            case "invoice":
                return invoices.translate(notice, known, patient=patient)
            case "invoice_payment":
                return payments.translate_link(notice, known)
            case "charge" if verb == "refunded":
                return payments.translate_charge(notice, known, patient=patient)
            case "charge":
                return payments.translate_other(notice, known)
            case "charge.refund" | "refund":
                return payments.translate_refund(notice, known, patient=patient)
        return disputes.translate(notice, known, patient=patient)

    def _subscription(self, notice: Notice, known: Known, *, patient: bool) -> Translation:
        subscription_id = str(part(notice.body, "data", "object")["id"])
        trials = signing_up.trials_of(known.get(subscription_id))
        found = subscriptions.translate(notice, known, patient=patient)
        following.tell(subscription_id, trials, known, found)
        return found

    def api(self, key: str) -> StripeApi:
        """The way to Stripe's API with a key."""
        return StripeApi(read(OwnSettings).stripe_api_base, key)

    def ask(self, asked: Asked, key: str) -> Json:
        """What Stripe says of an object. Raises CanNotBeAsked."""
        return asking.ask(asked, key)

    def learn(self, key: str, answer: Json, known: Known) -> Translation:
        """Note what Stripe said of an object, and tell what comes of it."""
        return asking.learn(key, payloads.storable(answer), known)

    def missed(self, since: datetime | None) -> Sequence[Listing]:
        """Events, which Stripe keeps for 30 days."""
        return reconciling.missed(since)

    def listings(self, since: datetime | None) -> Sequence[Listing]:
        """Invoices, subscriptions, refunds and disputes."""
        return reconciling.listings(since)

    def is_live(self, body: Json) -> bool | None:
        """Whether a subscription is of live mode; all other objects belong to subscriptions."""
        live = body.get("livemode") if body.get("object") == "subscription" else None
        return live if isinstance(live, bool) else None

    def reconcile(self, listing: str, body: Json, known: Known, since: datetime | None) -> Translation:
        """What an object as it is now tells that was not told."""
        return reconciling.reconcile(listing, payloads.storable(body), known, since)
