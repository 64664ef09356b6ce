"""What payments tell: refunds and disputes of an invoice's charges, found by charge, invoice payment, or by asking.

What is noted of a payment (a charge or a payment intent): its `invoice`, or that it has none (`None`); of a charge also
its `amount`, its payment `intent`, its `refunds`, each with its amount and instant, and those that `failed`.
"""

from typing import Any

from issuance.billers.adapter import Json, Known, Notice, Translation, Wait
from issuance.billers.stripe import invoices, payloads
from issuance.billers.stripe.payloads import id_of, part, stamp_of
from issuance.billers.stripe.subscriptions import moment_of

#: A refund with one of these takes its money.
_TAKES = frozenset({"succeeded", "pending", "requires_action"})


def translate_link(notice: Notice, known: Known) -> Translation:
    """An invoice payment: it says which invoice a payment was for."""
    body = part(notice.body, "data", "object")
    found = Translation()
    if invoice := id_of(body.get("invoice")):
        for payment in payloads.payments_named(body):
            known.get(payment)["invoice"] = invoice
            found.wakes.add(payment)
    return found


def translate_charge(notice: Notice, known: Known, *, patient: bool) -> Translation:
    """`charge.refunded`: how much of a charge was given back so far."""
    charge = part(notice.body, "data", "object")
    found = Translation()
    note_charge(charge, known, found)
    amount, refunded = stamp_of(charge.get("amount")) or 0, stamp_of(charge.get("amount_refunded")) or 0
    if charge.get("refunded") is True:
        refunded = max(refunded, amount)
    if refunded:
        at = moment_of(notice, charge)
        tell_refund(
            [id_of(charge.get("id")), id_of(charge.get("payment_intent"))], refunded, amount, at, known, found, patient
        )
    return found


def note_charge(charge: Json, known: Known, found: Translation) -> None:
    """Note what a charge says of itself: its amount, its payment intent, its invoice (older API versions)."""
    names = [name for name in (id_of(charge.get("id")), id_of(charge.get("payment_intent"))) if name]
    if len(names) == 2 and note_intent(names[0], names[1], known):
        found.wakes.add(names[0])
    for name in names:
        note = known.get(name)
        if amount := stamp_of(charge.get("amount")):
            note["amount"] = amount
        if "invoice" in charge and note.get("invoice") is None:
            note["invoice"] = id_of(charge["invoice"])
            found.wakes.add(name)


def note_intent(charge: str, intent: str | None, known: Known) -> bool:
    """Note the payment intent of a charge; whether that is news."""
    note = known.get(charge)
    if intent is None or charge == intent or "intent" in note:
        return False
    note["intent"] = intent
    return True


def translate_other(notice: Notice, known: Known) -> Translation:
    """Any other event of a charge: it may say which payment intent and invoice it is for."""
    found = Translation()
    note_charge(part(notice.body, "data", "object"), known, found)
    return found


def translate_refund(notice: Notice, known: Known, *, patient: bool) -> Translation:
    """A refund by itself: what all of a charge's refunds come to at its time."""
    refund = part(notice.body, "data", "object")
    found = Translation()
    tell_refunds(refund, moment_of(notice, refund), known, found, patient=patient)
    return found


def tell_refunds(refund: Json, at: int, known: Known, found: Translation, *, patient: bool) -> None:
    """Note a refund, and tell the sum at each instant at which one of its charge's was made."""
    names = [id_of(refund.get("charge")), id_of(refund.get("payment_intent"))]
    charge = next((name for name in names if name), None)
    if charge is None:
        return
    refunds = known.get(charge).setdefault("refunds", {})
    amount, status = stamp_of(refund.get("amount")) or 0, refund.get("status")
    made = stamp_of(refund.get("created")) or at
    refund_id = str(refund.get("id"))
    if status in ("failed", "canceled"):
        refunds.pop(refund_id, None)
        known.get(charge).setdefault("failed", {})[refund_id] = True
        # Nothing was given back after all.
        _tell(names, "succeeded", max(at, made + 1), f"refund_failed/{refund_id}", known, found, patient)
        return
    if status not in (*_TAKES, None) or refund_id in known.get(charge).get("failed", {}):
        return
    refunds[refund_id] = [amount, made]
    total = 0
    for part_amount, instant in sorted(refunds.values(), key=lambda one: one[1]):
        total += part_amount
        tell_refund(names, total, known.get(charge).get("amount", 0), instant, known, found, patient)


def tell_refund(
    names: list[str | None], refunded: int, amount: int, at: int, known: Known, found: Translation, patient: bool
) -> None:
    """Tell that so much of a charge was given back so far. The sum is in the id, the greater one the later."""
    invoice = _invoice_of(names, known, found, patient=patient)
    if invoice is None:
        return
    whole = known.get(invoice).get("amount") or amount
    more = {"amount_refunded": refunded} | ({"amount": whole} if whole else {})
    _tell_of(invoice, "refunded", at, f"refunded/{refunded:012d}", known, found, patient, **more)


def translate_dispute(notice: Notice, known: Known, *, patient: bool) -> Translation:
    """A dispute: made, over, or an inquiry (`warning_…`, which is none yet) that has become one. What else happens to
    it changes nothing."""
    dispute, previous = part(notice.body, "data", "object"), part(notice.body, "data", "previous_attributes")
    verb, was = notice.kind.rpartition(".")[2], str(previous.get("status"))
    found = Translation()
    if verb in ("created", "closed") or (verb == "updated" and was.startswith("warning_")):
        escalated = "" if verb != "updated" else "/escalated"
        tell_dispute(dispute, moment_of(notice, dispute), known, found, name=escalated, patient=patient)
    return found


def tell_dispute(dispute: Json, at: int, known: Known, found: Translation, *, patient: bool, name: str = "") -> None:
    """Tell where a dispute stands: open, won, or lost, which gives all of the money back."""
    names = [id_of(dispute.get("charge")), id_of(dispute.get("payment_intent"))]
    status, dispute_id = str(dispute.get("status")), dispute.get("id")
    match status:
        case "won":
            _tell(names, "succeeded", at, f"dispute_won/{dispute_id}", known, found, patient)
        case "lost":
            _tell(names, "refunded", at, f"dispute_lost/{dispute_id}", known, found, patient)
        case "needs_response" | "under_review":
            _tell(names, "disputed", at, f"disputed/{dispute_id}{name}", known, found, patient)


def _tell(
    names: list[str | None], state: str, at: int, name: str, known: Known, found: Translation, patient: bool
) -> None:
    invoice = _invoice_of(names, known, found, patient=patient)
    if invoice is not None:
        _tell_of(invoice, state, at, name, known, found, patient)


def _tell_of(
    invoice: str, state: str, at: int, name: str, known: Known, found: Translation, patient: bool, **more: Any
) -> None:
    note = known.get(invoice)
    charges = invoices.charges_noted(invoice, known, found, patient=patient)
    if note.get("clock"):
        # Payments have real time, whatever the test clock of their invoice says: they come after it was paid.
        paid = [when for said, when in note.get("states", {}).values() if said == "succeeded"]
        if not paid:
            found.wait = found.wait or Wait(invoice, f"the invoice {invoice} is not paid yet")
            return
        at = max(at, *paid)
    invoices.tell(found, charges, note, state, at, name, known=known, of_payment=True, **more)


def _invoice_of(names: list[str | None], known: Known, found: Translation, *, patient: bool) -> str | None:
    """The invoice that a payment was for, whose lines are known; None: it was for none, or it is waited for."""
    named = [name for name in names if name]
    named += [intent for name in named if (intent := known.get(name).get("intent")) and intent not in named]
    invoice = next((known.get(name)["invoice"] for name in named if known.get(name).get("invoice")), None)
    if invoice is None:
        if any("invoice" in known.get(name) for name in named):
            return None  # a payment for something else
        if named:
            # The payment intent, where there is one: that is what invoices name.
            found.wait = Wait(named[-1], f"which invoice was {named[-1]} for?", ask=known.can_ask)
        return None
    if not known.get(invoice).get("known"):
        ask = known.can_ask and not patient
        found.wait = Wait(invoice, f"the invoice {invoice} is not known yet", ask=ask)
        return None
    found_invoice: str = invoice
    return found_invoice
