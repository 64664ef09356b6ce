"""How each field of the facts enters a fingerprint: FIELDS says it, and is what takes it.

A new field must be added there; a test checks that, and that each enters as it says.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from issuance.deciding.facts import (
    BillingDateMoved,
    ChargeTold,
    Credit,
    GuestsChanged,
    MembershipFacts,
    SignedUp,
    StartMoved,
    StatusChanged,
    TypeChanged,
)


class Tell:
    """How a field enters a fingerprint."""

    AS_IT_IS = "as it is"
    #: Rounded down to the last instant that decisions compare it with: a midnight, a rule version, a P0D credit, now;
    #: while there is news, also what was issued by hand.
    INSTANT = "by what it is compared with"
    #: The same, and to the microsecond while there is news: it becomes the expiry of what it ends.
    AN_END = "by what it is compared with, exactly while there is news"
    #: A membership where it is set has no fingerprint: it is decided by itself.
    LIKE_NO_OTHER = "like no other"
    #: No fingerprint if facts revoked the credit: facts may restore it.
    BY_FACTS = "like no other if the facts did it"
    #: It is left out: all memberships that are compared have the same value.
    SAME = "the same for all"
    #: Its value while the credit is open; afterwards only that it is not.
    UNTIL_IT_CHANGES = "while it is open"
    #: It is left out: it follows from other fields.
    FOLLOWS = "follows from others"


#: How each field of the facts enters a fingerprint.
FIELDS: dict[type, dict[str, str]] = {
    MembershipFacts: {
        "membership_type_id": Tell.AS_IT_IS,
        "zone": Tell.SAME,
        "automatic": Tell.FOLLOWS,
        "starts_on": Tell.AS_IT_IS,
        "billing_anchor": Tell.AS_IT_IS,
        "billing_frequency": Tell.AS_IT_IS,
        "told": Tell.AS_IT_IS,
        "archived_at": Tell.LIKE_NO_OTHER,
        "archived_guests": Tell.LIKE_NO_OTHER,
        "returned_at": Tell.LIKE_NO_OTHER,
        "held": Tell.AS_IT_IS,
    },
    SignedUp: {"moment": Tell.INSTANT, "guests": Tell.AS_IT_IS},
    StatusChanged: {
        "moment": Tell.INSTANT,
        "status": Tell.AS_IT_IS,
        "ends_on": Tell.AS_IT_IS,
        "takes_end_back": Tell.AS_IT_IS,
    },
    BillingDateMoved: {"moment": Tell.AN_END, "billing_anchor": Tell.AS_IT_IS, "billing_frequency": Tell.AS_IT_IS},
    StartMoved: {"moment": Tell.INSTANT, "starts_on": Tell.AS_IT_IS, "billing_anchor": Tell.AS_IT_IS},
    # What a guest used under another type counts, so each is decided by itself once it is settled.
    TypeChanged: {
        "moment": Tell.INSTANT,
        "membership_type_id": Tell.AS_IT_IS,
        "automatic": Tell.FOLLOWS,
        "switches": Tell.AS_IT_IS,
    },
    GuestsChanged: {"moment": Tell.INSTANT, "guests": Tell.AS_IT_IS},
    ChargeTold: {
        "moment": Tell.INSTANT,
        "number": Tell.AS_IT_IS,
        "state": Tell.AS_IT_IS,
        "period_start": Tell.AS_IT_IS,
        "period_end": Tell.AS_IT_IS,
        "amount": Tell.AS_IT_IS,
        "amount_refunded": Tell.AS_IT_IS,
    },
    Credit: {
        "key": Tell.AS_IT_IS,  # a membership with a grant has no fingerprint: expiring by period would miss it
        "rule_version": Tell.AS_IT_IS,
        "manual": Tell.AS_IT_IS,
        # Of P0D credits only: they do not say which billing period they ride on, and go over to others.
        "issued_at": Tell.INSTANT,
        "valid_from": Tell.INSTANT,
        "expires_at": Tell.UNTIL_IT_CHANGES,
        "redeemed_at": Tell.UNTIL_IT_CHANGES,
        "revoked_at": Tell.UNTIL_IT_CHANGES,
        "expired_at": Tell.UNTIL_IT_CHANGES,
        "revoked_by": Tell.BY_FACTS,
        "flagged_at": Tell.LIKE_NO_OTHER,
        "extended_to": Tell.AS_IT_IS,
        "extended_at": Tell.FOLLOWS,  # reminders ask it, at the first settling since, which is by itself
        "uses": Tell.FOLLOWS,  # issuing and expiring do not depend on it; otherwise each is loaded
        "period_end": Tell.FOLLOWS,
        "roll_over": Tell.FOLLOWS,
        "multi_use": Tell.FOLLOWS,
        "max_uses": Tell.FOLLOWS,
        "validity_ends_at": Tell.FOLLOWS,
    },
}


Getter = Callable[[Any], tuple[Any, ...]]


def _those(kind: type, how: str) -> Getter:
    """A getter of the fields that enter a fingerprint in one way."""
    # `told` and `key` are taken part by part (`fingerprint._of_facts`, `_outline`).
    names = [name for name, told in FIELDS[kind].items() if told == how and name not in ("told", "key")]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda one: tuple(getattr(one, name) for name in names)


AS_IT_IS = {kind: _those(kind, Tell.AS_IT_IS) for kind in FIELDS}
LIKE_NO_OTHER = {kind: _those(kind, Tell.LIKE_NO_OTHER) for kind in FIELDS}
BY_FACTS = _those(Credit, Tell.BY_FACTS)
WHILE_OPEN = _those(Credit, Tell.UNTIL_IT_CHANGES)
INSTANTS = _those(Credit, Tell.INSTANT)
ENDS = {kind for kind, told in FIELDS.items() if told.get("moment") == Tell.AN_END}
