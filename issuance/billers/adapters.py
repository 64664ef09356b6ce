"""The adapters that there are, by kind of biller."""

from issuance.billers.adapter import Adapter
from issuance.billers.billers import Biller
from issuance.billers.stripe.adapter import Stripe

_ADAPTERS: dict[str, Adapter] = {"stripe": Stripe()}


def adapter_of(biller: Biller) -> Adapter:
    """The adapter that reads a biller's webhooks."""
    return _ADAPTERS[biller.kind]
