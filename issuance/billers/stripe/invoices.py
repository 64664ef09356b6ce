"""What invoices tell: a charge for each item of a subscription, if a line pays for a period of it.

A line counts if it is no proration and its price is mapped; it pays for its own period, never for the invoice's. A
charge is an invoice and an item; an invoice may be for several subscriptions. An invoice's note has its `subscription`;
its `lines`, and whether these are `whole`; `amount`, what was due; `made`, when it was made; the last of the `states`
that were told of each item; `said`, the state that the invoice itself came to; the `payments` that were refunded or
disputed; and `turned`, how often an item's line of nothing turned out to be a trial's, or not to be one after all.
"""

from typing import Any, NamedTuple
from uuid import UUID

from issuance.billers.adapter import Json, Known, Notice, Translation, Unmappable, Wait
from issuance.billers.stripe import payloads, signing_up, told
from issuance.billers.stripe.dates import dates_of
from issuance.billers.stripe.payloads import Line, id_of, number_of, part, stamp_of
from issuance.billers.stripe.signing_up import Record
from issuance.billers.stripe.subscriptions import moment_of

FAILED = "invoice.payment_failed"
#: What an invoice's status says of its charges, and which field says since when.
_STATES = {
    "open": ("initiated", "finalized_at"),
    "paid": ("succeeded", "paid_at"),
    "void": ("skipped", "voided_at"),
    "uncollectible": ("skipped", "marked_uncollectible_at"),
}
_STATUSES = frozenset({"draft", *_STATES})

#: The order of an invoice's states that have one instant.
RANKS = ("initiated", "failed", "skipped", "succeeded")
#: The states in which money is collected, and how many invoices an item's note has.
_COLLECTED, _COLLECTED_KEPT = frozenset({"initiated", "succeeded"}), 36


class Charge(NamedTuple):
    """One charge of an invoice: whose it is, and the dates that it pays for."""

    subscription: str
    item: str
    membership_id: UUID
    charge_id: str
    period_start: str
    period_end: str


def translate(notice: Notice, known: Known, *, patient: bool) -> Translation:
    """The facts that one event of an invoice tells."""
    invoice = part(notice.body, "data", "object")
    found = Translation()
    at = moment_of(notice, invoice)
    charges = charges_of(invoice, at, known, found, patient=patient)
    note = known.get(str(invoice["id"]))
    for subscription_id in subscriptions_noted(note):
        known.get(subscription_id)["named"] = True  # a webhook named it: reconciling may sign it up
    if notice.kind == FAILED:
        # Each attempt is a fact of its own; if one fails before another pays, nothing is taken back.
        tell(found, charges, note, "failed", at, f"failed/{notice.delivery_id}", known=known)
    elif (state := state_of(invoice)) is not None:
        note_said(note, state, _when(invoice, at))
        tell(found, charges, note, state, _when(invoice, at), state, known=known)
    return found


def state_of(invoice: Json) -> str | None:
    """The state of an invoice's charges, by its status; None: nobody was asked to pay yet. An invoice that is sent, and
    that the customer pays when they like, is not initiated."""
    state, _ = _STATES.get(payloads.status_of(invoice, _STATUSES), (None, ""))
    return None if state == "initiated" and invoice.get("collection_method") == "send_invoice" else state


def said_at(invoice: Json) -> int | None:
    """When an invoice came to its status, as it says itself; None: it does not say, or says an impossible instant."""
    _, name = _STATES[str(invoice.get("status"))]
    said, made = stamp_of(part(invoice, "status_transitions").get(name)), stamp_of(invoice.get("created"))
    return said if said is not None and said >= (made or 0) else None


def _when(invoice: Json, at: int) -> int:
    """When an invoice came to its status, as it says itself where that is possible."""
    said = said_at(invoice)
    return at if said is None or (said > at and invoice.get("test_clock") is None) else said


def tell(
    found: Translation,
    charges: list[Charge],
    note: dict[str, Any],
    state: str,
    at: int,
    name: str,
    *,
    known: Known,
    of_payment: bool = False,
    **more: Any,
) -> None:
    """Tell a state of each of an invoice's charges. `of_payment`: a refund or a dispute says so, not the invoice."""
    for charge in charges:
        if state in _COLLECTED and not of_payment and note.get("made") is not None:
            _note_collected(known.get(charge.subscription)["items"][charge.item], note["made"])
        found.events.append(
            told.event(
                f"{charge.charge_id}/{name}",
                f"charge.{state}",
                at,
                charge.membership_id,
                charge_id=charge.charge_id,
                period_start=charge.period_start,
                period_end=charge.period_end,
                **{**({"amount": note["amount"]} if note.get("amount") else {}), **more},
            )
        )
        # Refunds and disputes stand beside the invoice's own status.
        states = note.setdefault("states", {})
        before, when = states.get(charge.item, [state, at])
        if not of_payment and (when, RANKS.index(before)) <= (at, RANKS.index(state)):
            states[charge.item] = [state, at]


def note_said(note: dict[str, Any], state: str, at: int) -> None:
    """Note the state that an invoice came to, if it has lines of nothing: what they are may turn out later."""
    before, when = note.get("said", [state, at])
    if any(not line.amount for line in _lines(note)) and (when, RANKS.index(before)) <= (at, RANKS.index(state)):
        note["said"] = [state, at]


def _note_collected(item: dict[str, Any], made: int) -> None:
    """Note when a collected invoice was made: a pause was over by then."""
    item["collected"] = sorted({made, *item.get("collected", [])})[-_COLLECTED_KEPT:]


def charges_of(invoice: Json, at: int, known: Known, found: Translation, *, patient: bool) -> list[Charge]:
    """Note an invoice, as it was at an instant, and return its charges: those of items that have signed up. `found`
    says what is missing for the others."""
    invoice_id = str(invoice["id"])
    note = known.get(invoice_id)
    subscription_id = payloads.subscription_of(invoice)
    for payment in payloads.payments_of(invoice):
        known.get(payment)["invoice"] = invoice_id
        found.wakes.add(payment)
    if subscription_id is not None and not _has_all_lines(invoice, note, known, found):
        return []
    note["known"] = True
    found.wakes.add(invoice_id)
    if subscription_id is None:
        return []  # it is no membership's
    note["subscription"] = subscription_id
    if at >= note.get("heard", at):
        _note(note, invoice, at)
    return charges_noted(invoice_id, known, found, patient=patient)


def _has_all_lines(invoice: Json, note: dict[str, Any], known: Known, found: Translation) -> bool:
    """Whether all lines of an invoice are known; `found` says what is missing."""
    if not payloads.goes_on(invoice.get("lines")) or note.get("whole"):
        return True
    if invoice.get("status") == "draft":
        return False  # they may change yet, and nobody is charged
    if known.can_ask:
        found.wait = Wait(str(invoice["id"]), "it has more lines than it says", ask=True)
        return False
    found.unmappable = Unmappable(
        "lines_missing", "it has more lines than it says, and there is no API key to ask with"
    )
    return True  # the items on the lines that are there get their charges


def _note(note: dict[str, Any], invoice: Json, at: int) -> None:
    note["heard"] = at
    if invoice.get("status") != "draft" and (due := number_of(invoice.get("amount_due"))):
        note["amount"] = due
    note["made"] = stamp_of(invoice.get("created"))
    note["clock"] = id_of(invoice.get("test_clock"))
    if payloads.goes_on(invoice.get("lines")):
        if note.get("whole"):
            return
    elif invoice.get("status") != "draft":
        note["whole"] = True
    lines = list(payloads.lines_of(invoice))
    note["lines"] = [list(line) for line in lines if not line.proration]
    note["changes"] = [[line.item, line.price, line.start, line.product] for line in lines if line.item and line.price]


def charges_noted(invoice_id: str, known: Known, found: Translation, *, patient: bool) -> list[Charge]:
    """The charges of an invoice, as it is noted."""
    return [
        charge
        for subscription_id in subscriptions_noted(known.get(invoice_id))
        for charge in charges_for(subscription_id, invoice_id, known, found, patient=patient)
    ]


def subscriptions_noted(note: dict[str, Any]) -> list[str]:
    """The subscriptions that an invoice is for."""
    named = [line.subscription or note["subscription"] for line in _lines(note)]
    return sorted({*named, *([note["subscription"]] if "subscription" in note else [])})


def _lines(note: dict[str, Any]) -> list[Line]:
    return [Line(*one) for one in note.get("lines", [])]


def charges_for(
    subscription_id: str, invoice_id: str, known: Known, found: Translation, *, patient: bool, trials: bool = False
) -> list[Charge]:
    """The charges of a noted invoice that are for one of its subscriptions; with `trials` those of its trials too."""
    note = known.get(invoice_id)
    record = known.get(subscription_id)
    if record.get("dead"):
        return []
    periods: dict[str, tuple[int, int]] = {}
    mapped = False
    for line in _lines(note):
        if (line.subscription or note["subscription"]) != subscription_id:
            continue
        price = known.price(line.price, line.product, *_product_of(record, line.price))
        if price is None:
            found.unmappable = signing_up.unmapped(line.price)
        elif price.membership_type_id is not None:
            mapped = True
            item = line.item or _item_by_price(record, line.price)
            if item is not None and not line.amount:
                _note_free(record, line, invoice_id)
            if item is not None and (trials or not _is_trial(record, line)):
                start, end = periods.get(item, (line.start, line.end))
                periods[item] = min(start, line.start), max(end, line.end)
    if mapped:
        signing_up.sign_up(subscription_id, record, known, found, patient=patient)
    _note_billed(record, note)
    charges = []
    for item, (start, end) in periods.items():
        noted = record.get("items", {}).get(item)
        if noted is None:
            if found.wait is None:
                ask = not patient and known.can_ask and "basis" not in record
                found.wait = Wait(subscription_id, "its subscription has not signed up yet", ask=ask)
            continue
        dates = dates_of(noted, known.zone)
        charge_id = told.ref_of(invoice_id, item)
        membership_id = told.membership_of(subscription_id, item)
        begins, ends = dates.of(start), dates.of(end)
        dated = begins.isoformat(), max(begins, ends).isoformat()
        charges.append(Charge(subscription_id, item, membership_id, charge_id, *dated))
    return charges


def _note_billed(record: Record, note: dict[str, Any]) -> None:
    """Note since when each price of an item was billed, prorations too: a change of price happened by then. The first
    time is kept however many come after it."""
    for item, price, start, *product in note.get("changes", []):  # older versions noted no product
        billed = record.setdefault("billed", {}).setdefault(item, {})
        first, *others = sorted({start, *billed.get(price, [])})
        billed[price] = [first, *others[-_COLLECTED_KEPT:]]
        if any(product):  # a price that the subscription had before may be mapped by it
            record.setdefault("prices", {}).setdefault(price, [*product, None])


def _note_free(record: Record, line: Line, invoice_id: str) -> None:
    """Note the invoices of the last lines of nothing, by the instant at which the line's period begins."""
    noted = record.get("free", [])
    if [line.start, invoice_id] not in noted:
        record["free"] = sorted([*noted, [line.start, invoice_id]])[-_COLLECTED_KEPT:]


def _is_trial(record: Record, line: Line) -> bool:
    """Whether a line is for a trial, which nobody is charged for; other lines of nothing pay for their period."""
    return line.amount == 0 and any(start <= line.start < end for start, end in signing_up.trials_of(record))


def _product_of(record: Record, price: str | None) -> list[str | None]:
    return list(record.get("prices", {}).get(price, [None]))[:1]


def _item_by_price(record: Record, price: str | None) -> str | None:
    """The item of an old line that names only its price."""
    found = [item.id for item in payloads.items_of(record.get("basis", {})) if item.price == price]
    return found[0] if len(found) == 1 else None
