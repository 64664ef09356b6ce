"""What follows from a subscription's news for what was told of its invoices and payments, whichever came first."""

from collections.abc import Sequence

from issuance.billers.adapter import Known, Translation
from issuance.billers.stripe import invoices, payments, signing_up


def tell(subscription_id: str, trials: Sequence[tuple[int, int]], known: Known, found: Translation) -> None:
    """Tell what is otherwise now. `trials`: those that it had before the news."""
    record = known.get(subscription_id)
    if signing_up.trials_of(record) != list(trials):
        invoices.tell_what_is_free(subscription_id, known, found)
    for name in record.get("disputed", []):
        payments.tell_again(name, known, found)
