"""What Stripe is asked for: whose a customer is, which invoice a payment was for, objects that no webhook told of."""

from typing import Any

from issuance.billers.adapter import Asked, CanNotBeAsked, Json, Known, Translation
from issuance.billers.stripe import payments, reconciling
from issuance.billers.stripe.client import path_of
from issuance.billers.stripe.payloads import id_of, listed, part

_CUSTOMER, _INVOICE, _SUBSCRIPTION, _INTENT, _CHARGE = "cus_", "in_", "sub_", "pi_", "ch_"


def ask(asked: Asked, key: str) -> Json:
    """What Stripe says of an object, by its id; empty if there is no such thing. Raises CanNotBeAsked."""
    if key.startswith(_CUSTOMER):
        return asked.get(path_of("customers", key)) or {}
    if key.startswith(_INVOICE):
        return asked.get(path_of("invoices", key)) or {}
    if key.startswith(_SUBSCRIPTION):
        return asked.get(path_of("subscriptions", key)) or {}
    return _payment(asked, key)


def _payment(asked: Asked, key: str) -> Json:
    """A payment as `{id, intent, invoice}`, by whatever of it this API version knows."""
    found: dict[str, Any] = {"id": key}
    intent: str | None = key if key.startswith(_INTENT) else None
    if intent is None:
        charge = asked.get(path_of("charges", key)) or {}
        intent = found["intent"] = id_of(charge.get("payment_intent"))
        found["invoice"] = id_of(charge.get("invoice"))
    if intent is not None and not found.get("invoice"):
        found["invoice"] = _invoice_of_intent(asked, intent)
    return found


def _invoice_of_intent(asked: Asked, intent: str) -> str | None:
    which: dict[str, str | int] = {
        "payment[type]": "payment_intent",
        "payment[payment_intent]": intent,
        "limit": 1,
    }
    try:
        linked = asked.get("/v1/invoice_payments", which)
    except CanNotBeAsked as refusal:
        if "answers 400" not in str(refusal):  # older versions have no such list
            raise
        linked = None
    for one in listed((linked or {}).get("data")):
        if (invoice := id_of(one.get("invoice"))) and id_of(part(one, "payment").get("payment_intent")) in (
            None,
            intent,
        ):
            return invoice
    return id_of((asked.get(path_of("payment_intents", intent)) or {}).get("invoice"))


def learn(key: str, answer: Json, known: Known) -> Translation:
    """Note what Stripe said, and tell what comes of it."""
    if key.startswith(_CUSTOMER):
        said = part(answer, "metadata").get("external_user_id")
        known.get(key)["asked"] = said if isinstance(said, str) and 0 < len(said) <= 255 else key
        return Translation(wakes={key})
    if key.startswith((_INVOICE, _SUBSCRIPTION)):
        if not answer:
            return Translation()
        found = reconciling.reconcile("invoices" if key.startswith(_INVOICE) else "subscriptions", answer, known, None)
        found.wakes.add(key)
        return found
    found = Translation(wakes={key})
    for name in (key, answer.get("intent")):
        if isinstance(name, str):
            known.get(name)["invoice"] = answer.get("invoice")
            found.wakes.add(name)
    payments.note_intent(key, answer.get("intent"), known)
    return found
