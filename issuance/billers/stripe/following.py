"""What a subscription's news changes of what was told of its invoices and payments, whichever came first."""

from collections.abc import Sequence

from issuance.billers.adapter import Known, Translation
from issuance.billers.stripe import invoices, payments, signing_up


def tell(subscription_id: str, trials: Sequence[tuple[int, int]], known: Known, found: Translation) -> None:
    """Tell what the news changes. `trials`: those that the subscription had before the news."""
    record = known.get(subscription_id)
    if signing_up.trials_of(record) != list(trials):
        for _, invoice_id in record.get("free", []):
            _tell_lines_of_nothing(subscription_id, invoice_id, known, found)
    for name in record.get("disputed", []):
        payments.tell_again(name, known, found)


def _tell_lines_of_nothing(subscription_id: str, invoice_id: str, known: Known, found: Translation) -> None:
    """Tell again what an invoice's lines of nothing are, where the subscription's trials, as they are known now, have
    changed that: a trial's lines are no charge, the others pay for their period."""
    note = known.get(invoice_id)
    if "said" not in note:
        return
    wait, unmappable = found.wait, found.unmappable  # what is missing is missing to that invoice
    args = (subscription_id, invoice_id, known, found)
    charged = {charge.item for charge in invoices.charges_for(*args, patient=True)}
    charges = invoices.charges_for(*args, patient=True, trials=True)
    found.wait, found.unmappable = wait, unmappable
    states, turned = note.get("states", {}), note.setdefault("turned", {})
    state, at = note["said"]
    for charge in charges:
        told_at, turns = states.get(charge.item, [state, at])[1], turned.get(charge.item, 0)
        stood = charge.item in states and turns % 2 == 0
        if stood == (charge.item in charged):
            continue
        if charge.item not in states:
            invoices.tell(found, [charge], note, state, at, state, known=known)
            continue
        turned[charge.item] = turns + 1
        becomes, name = ("skipped", f"free/{turns}") if stood else (state, f"{state}/{turns}")
        invoices.tell(found, [charge], note, becomes, told_at + 1, name, known=known)
