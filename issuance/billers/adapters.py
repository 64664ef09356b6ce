"""The adapters that there are, by kind of biller."""

import json
from functools import lru_cache

from issuance.billers.adapter import Adapter
from issuance.billers.billers import Biller
from issuance.billers.mapped.adapter import Mapped
from issuance.billers.mapped.mapping import BillerMapping
from issuance.billers.stripe.adapter import Stripe

_WRITTEN: dict[str, Adapter] = {"stripe": Stripe()}


def adapter_of(biller: Biller) -> Adapter:
    """The adapter that reads a biller's webhooks."""
    if biller.mapping is not None:
        return _mapped(json.dumps(biller.mapping, sort_keys=True))
    return _WRITTEN[biller.kind]


def versions() -> dict[str, int]:
    """The version of the adapter of every kind of biller that can be plugged in."""
    return {**{kind: adapter.version for kind, adapter in _WRITTEN.items()}, Mapped.kind: Mapped.version}


@lru_cache(maxsize=256)
def _mapped(mapping: str) -> Adapter:
    return Mapped(BillerMapping.model_validate_json(mapping))
