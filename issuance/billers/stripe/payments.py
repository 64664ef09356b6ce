"""What payments tell: refunds of an invoice's charges. The invoice is found by the charge, by an invoice payment, or by
asking.

The note of a payment (a charge or a payment intent) has its `invoice` (None: Stripe was asked, and it has none), or
that the charge names none (`unnamed`). A charge's note also has its `amount`; its payment `intent`; its `refunds`, each
with amount and instant; the sums that were `returned` so far; the refunds that `failed`; its `disputes`, each with when
it was opened and lost; and when money came back (`restored`).
"""

from collections.abc import Sequence
from typing import Any

from issuance.billers.adapter import Json, Known, Notice, Translation, Wait
from issuance.billers.stripe import invoices, payloads, told
from issuance.billers.stripe.payloads import id_of, number_of, part, stamp_of, status_of
from issuance.billers.stripe.subscriptions import moment_of

#: Statuses with which a refund takes its money, and those with which it gives it back.
_TAKES, _FAILS = frozenset({"succeeded", "pending", "requires_action"}), frozenset({"failed", "canceled"})


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
    """`charge.refunded`: how much of a charge has been given back so far."""
    charge = part(notice.body, "data", "object")
    found = Translation()
    note_charge(charge, known, found)
    amount, refunded = number_of(charge.get("amount")) or 0, number_of(charge.get("amount_refunded")) or 0
    if charge.get("refunded") is True:
        refunded = max(refunded, amount)
    if refunded:
        names = [name for name in (id_of(charge), id_of(charge.get("payment_intent"))) if name]
        Payment(names, known, found, patient=patient).tell_refund(refunded, moment_of(notice, charge))
    return found


def note_charge(charge: Json, known: Known, found: Translation) -> None:
    """Note what a charge says of itself: its amount, its payment intent, its invoice (older API versions)."""
    names = [name for name in (id_of(charge.get("id")), id_of(charge.get("payment_intent"))) if name]
    if len(names) == 2 and note_intent(names[0], names[1], known):
        found.wakes.add(names[0])
    for name in names:
        note = known.get(name)
        if amount := number_of(charge.get("amount")):
            note["amount"] = amount
        if invoice := id_of(charge.get("invoice")):
            note["invoice"] = invoice
            found.wakes.add(name)
        elif "invoice" in charge:
            note["unnamed"] = True


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
    """A refund by itself: it tells what all refunds of its charge come to at that time."""
    refund = part(notice.body, "data", "object")
    found = Translation()
    tell_refunds(refund, moment_of(notice, refund), known, found, patient=patient)
    return found


def tell_refunds(refund: Json, at: int, known: Known, found: Translation, *, patient: bool) -> None:
    """Note a refund, and tell the sum of its charge's refunds at the instant of each of them."""
    payment = Payment.of(refund, known, found, patient=patient)
    if payment is None:
        return
    status = "succeeded" if refund.get("status") is None else status_of(refund, _TAKES | _FAILS)
    amount, made = number_of(refund.get("amount")) or 0, stamp_of(refund.get("created")) or at
    refunds, failed = (payment.note.setdefault(name, {}) for name in ("refunds", "failed"))
    refund_id = str(refund["id"])
    if status in _FAILS:
        # Nothing was given back after all.
        refunds.pop(refund_id, None)
        at = payment.restore(f"refund_failed/{refund_id}", payment.moment(max(at, made + 1), "succeeded"))
        failed[refund_id] = [amount, at]
    elif refund_id not in failed:
        refunds[refund_id] = [amount, made]
    total = 0
    for part_amount, instant in sorted(refunds.values(), key=lambda one: one[1]):
        total += part_amount
        payment.tell_refund(total, instant)
    payment.tell_what_stands()


def tell_again(name: str, known: Known, found: Translation) -> None:
    """Tell again what stands of a disputed payment, after a subscription's status has lifted it."""
    wait = found.wait
    Payment([name], known, found, patient=True).tell_what_stands()
    found.wait = wait


class Payment:
    """A payment of an invoice. Each of its states is told of each of the invoice's charges. While the invoice is not
    known nothing is told, and the delivery waits for it."""

    def __init__(self, names: Sequence[str], known: Known, found: Translation, *, patient: bool) -> None:
        self._name, self.note = names[0], known.get(names[0])
        self._known, self._found = known, found
        if len(names) > 1:
            note_intent(names[0], names[1], known)
        self._invoice = _invoice_of(list(names), known, found, patient=patient)
        self._paid: int | None = None
        self._charges: list[invoices.Charge] = []
        if self._invoice is None:
            return
        invoice = known.get(self._invoice)
        paid = [when for said, when in invoice.get("states", {}).values() if said == "succeeded"]
        self._paid = max(paid, default=None)
        if invoice.get("clock") and self._paid is None:
            found.wait = Wait(self._invoice, f"the invoice {self._invoice} is not paid yet")
            self._invoice = None
            return
        self._charges = invoices.charges_noted(self._invoice, known, found, patient=patient)

    @classmethod
    def of(cls, body: Json, known: Known, found: Translation, *, patient: bool) -> "Payment | None":
        """The payment that a refund or a dispute names. None if it names none, or if the payment's invoice is not
        known; then the caller notes nothing either."""
        names = [name for name in (id_of(body.get("charge")), id_of(body.get("payment_intent"))) if name]
        payment = cls(names, known, found, patient=patient) if names else None
        return payment if payment is not None and payment._invoice is not None else None

    def moment(self, at: int, state: str) -> int:
        """When something happened to the payment: after it was paid. Payments happen in real time, whatever the test
        clock of their invoice says, and money comes back after it was taken."""
        if self._paid is None or at >= self._paid:
            return at
        return self._paid + (2 if state == "succeeded" else 1)

    def tell(self, state: str, at: int, name: str, *, of: list[invoices.Charge] | None = None, **more: Any) -> None:
        """Tell a state of the charges that the payment was for, or of some of them."""
        if self._invoice is not None:
            note, charges = self._known.get(self._invoice), self._charges if of is None else of
            invoices.tell(self._found, charges, note, state, at, name, known=self._known, of_payment=True, **more)

    def tell_refund(self, refunded: int, at: int) -> None:
        """Tell how much of the payment has been given back so far."""
        if self._invoice is None:
            return
        at = self.moment(at, "refunded")
        sums = self.note.setdefault("returned", {})
        sums[str(refunded)] = min(at, sums.get(str(refunded), at))
        self._tell_sum(refunded + self._returned_by(at, but=self._name), at)
        for name in self._of_invoice():  # what is given back later of another payment comes on top of it
            if name != self._name:
                for total, since in self._known.get(name).get("returned", {}).items():
                    self._tell_sum(int(total) + self._returned_by(since, but=name), since)
        self.tell_what_stands()

    def _tell_sum(self, refunded: int, at: int, after: str = "") -> None:
        """Tell how much of the invoice has been given back so far. The sum is a part of the id, so that of one instant
        the greater sum comes later."""
        if self._invoice is None:
            return
        whole = self._known.get(self._invoice).get("amount") or self.note.get("amount")
        more = {"amount_refunded": refunded} | ({"amount": whole} if whole else {})
        self.tell("refunded", at, f"refunded/{refunded:012d}/{at}{after}", **more)

    def _of_invoice(self) -> list[str]:
        """The refunded or disputed payments of the invoice, with this one."""
        if self._invoice is None:
            return []
        note = self._known.get(self._invoice)
        if self._name not in note.get("payments", []):
            note["payments"] = sorted([*note.get("payments", []), self._name])
        return [str(name) for name in note["payments"]]

    def restore(self, name: str, at: int) -> int:
        """Tell that money came back because a dispute was won or a refund failed, and return when it did: the instant
        that was told first stays."""
        at = self.note.setdefault("restored", {}).setdefault(name, at)
        self.tell("succeeded", at, name)
        return int(at)

    def tell_what_stands(self) -> None:
        """Where some money came back, tell again what else keeps money back at that instant: whatever came first, a
        dispute that is won does not undo a refund. Tell an open dispute again where its subscription is said to be
        active too: Stripe's statuses know nothing of disputes."""
        notes = [self._known.get(name) for name in self._of_invoice()]
        disputes = sorted((one, said) for note in notes for one, said in note.get("disputes", {}).items())
        for name, at in sorted(came for note in notes for came in note.get("restored", {}).items()):
            for dispute_id, dispute in disputes:
                if _is_open(dispute, at):
                    self.tell("disputed", at, f"disputed/{dispute_id}/after/{name}")
                if dispute.get("lost") and dispute["closed"] <= at:
                    self.tell("refunded", at, f"dispute_lost/{dispute_id}/after/{name}")
            if (refunded := self._returned_by(at)) > 0:
                self._tell_sum(refunded, at, f"/after/{name}")
        for charge in self._charges if disputes else ():
            record = self._known.get(charge.subscription)
            if self._name not in record.get("disputed", []):
                record["disputed"] = sorted([*record.get("disputed", []), self._name])
            for at, status, _ in told.stood_of(record["items"][charge.item]):
                for dispute_id, dispute in disputes:
                    if status == "active" and _is_open(dispute, at):
                        self.tell("disputed", at, f"disputed/{dispute_id}/active/{at}", of=[charge])

    def _returned_by(self, at: int, but: str | None = None) -> int:
        """How much of the invoice was given back by an instant, over all its payments or all but one. A payment with
        two names counts once."""
        sums: dict[str, int] = {}
        mine = None if but is None else self._known.get(but).get("intent", but)
        for name in self._of_invoice():
            note = self._known.get(name)
            if (payment := note.get("intent", name)) != mine:
                sums[payment] = max(_returned(note, at), sums.get(payment, 0))
        return sum(sums.values())


def _is_open(dispute: Json, at: int) -> bool:
    opened, closed = dispute.get("opened"), dispute.get("closed")
    return opened is not None and opened <= at and (closed is None or at < closed)


def _returned(note: Json, at: int) -> int:
    """How much of a payment was given back by an instant, by the refunds that are known and by what the charge says."""
    refunds: int = sum(amount for amount, made in note.get("refunds", {}).values() if made <= at)
    failed: int = sum(amount for amount, since in note.get("failed", {}).values() if since <= at)
    sums = (int(total) for total, since in note.get("returned", {}).items() if since <= at)
    return max(refunds, max(sums, default=0) - failed)


def _invoice_of(named: list[str], known: Known, found: Translation, *, patient: bool) -> str | None:
    """The invoice that a payment was for, if its lines are known. None if the payment was for no invoice, or if `found`
    waits for it."""
    named += [intent for name in named if (intent := known.get(name).get("intent")) and intent not in named]
    invoice: str | None = next((known.get(name)["invoice"] for name in named if known.get(name).get("invoice")), None)
    if invoice is None:
        asked = any("invoice" in known.get(name) for name in named)
        unnamed = any(known.get(name).get("unnamed") for name in named)
        if asked or (unnamed and not patient and not known.can_ask):
            return None  # a payment for something else
        # Ask for the payment intent if there is one: that is what invoices name.
        found.wait = Wait(named[-1], f"which invoice was {named[-1]} for?", ask=known.can_ask)
        return None
    note = known.get(invoice)
    is_draft = not note.get("amount") and not note.get("whole")  # what is due may change yet
    if not note.get("known") or (is_draft and patient):
        ask = known.can_ask and not patient
        found.wait = Wait(invoice, f"the invoice {invoice} is not known yet", ask=ask)
        return None
    return invoice
