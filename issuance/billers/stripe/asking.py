"""What Stripe is asked for: whose a customer is, which invoice a payment was for, objects that no webhook told of."""

from issuance.billers.adapter import Asked, CanNotBeAsked, DoesNotSay, Json, Known, Translation
from issuance.billers.stripe import payments, reconciling
from issuance.billers.stripe.client import path_of
from issuance.billers.stripe.payloads import goes_on, id_of, listed, part
from issuance.billers.stripe.signing_up import external_id

_CUSTOMER, _INVOICE, _SUBSCRIPTION, _INTENT = "cus_", "in_", "sub_", "pi_"
#: Charges that are not made to a card have ids of another form.
_PAYMENTS = (_INTENT, "ch_", "py_")


def ask(asked: Asked, key: str) -> Json:
    """What Stripe says of an object, by its id; empty if there is no such thing. Raises CanNotBeAsked."""
    if key.startswith(_CUSTOMER):
        return asked.get(path_of("customers", key)) or {}
    if key.startswith(_INVOICE):
        return _whole(asked, asked.get(path_of("invoices", key)) or {})
    if key.startswith(_SUBSCRIPTION):
        return asked.get(path_of("subscriptions", key)) or {}
    return _payment(asked, key) if key.startswith(_PAYMENTS) else {}


def _whole(asked: Asked, invoice: Json) -> Json:
    """An invoice with all of its lines: Stripe gives only the first ones with it."""
    if not goes_on(invoice.get("lines")):
        return invoice
    path = f"{path_of('invoices', str(invoice.get('id')))}/lines"
    lines = [line for page in asked.pages(path, {}) for line in page]
    if len(lines) < len(listed(invoice.get("lines"))):
        raise CanNotBeAsked("it does not say all the lines of an invoice")
    return {**invoice, "lines": {"data": lines}}


def _payment(asked: Asked, key: str) -> Json:
    """A payment as `{id, intent, invoice}`, as far as this API version knows it; empty if Stripe has no such payment,
    or does not say what it was for."""
    if key.startswith(_INTENT):
        return _of_intent(asked, key, key)
    charge = asked.get(path_of("charges", key))
    if charge is None:
        return {}
    intent, invoice = id_of(charge.get("payment_intent")), id_of(charge.get("invoice"))
    if invoice is None and intent is not None:
        return _of_intent(asked, key, intent)
    return {"id": key, "intent": intent, "invoice": invoice}


def _of_intent(asked: Asked, key: str, intent: str) -> Json:
    linked = _linked(asked, intent)
    if linked:
        return {"id": key, "intent": intent, "invoice": linked[0]}
    body = asked.get(path_of("payment_intents", intent))
    if body is None or (linked is None and "invoice" not in body):
        return {}
    return {"id": key, "intent": intent, "invoice": id_of(body.get("invoice"))}


def _linked(asked: Asked, intent: str) -> list[str] | None:
    """The invoices that a payment intent paid, by the list of invoice payments; None if there is no such list."""
    which: dict[str, str | int] = {"payment[type]": "payment_intent", "payment[payment_intent]": intent, "limit": 1}
    try:
        linked = asked.get("/v1/invoice_payments", which)
    except DoesNotSay:  # older versions have no such list
        return None
    if linked is None:
        return None
    ours = [one for one in listed(linked) if id_of(part(one, "payment").get("payment_intent")) in (None, intent)]
    return [invoice for one in ours if (invoice := id_of(one.get("invoice")))]


def learn(key: str, answer: Json, known: Known) -> Translation:
    """Note what Stripe said, and tell what comes of it."""
    if key.startswith(_CUSTOMER):
        known.get(key)["asked"] = external_id(part(answer, "metadata")) or key
        return Translation(wakes={key})
    if key.startswith((_INVOICE, _SUBSCRIPTION)):
        if not answer:
            return Translation()
        found = reconciling.reconcile("invoices" if key.startswith(_INVOICE) else "subscriptions", answer, known, None)
        found.wakes.add(key)
        return found
    if not answer:
        return Translation()
    found = Translation(wakes={key})
    for name in (key, answer.get("intent")):
        if isinstance(name, str):
            known.get(name)["invoice"] = answer.get("invoice") or known.get(name).get("invoice")
            found.wakes.add(name)
    payments.note_intent(key, answer.get("intent"), known)
    return found
