"""What disputes tell: a payment's money is kept back, comes back, or is lost."""

from issuance.billers.adapter import Json, Known, Notice, Translation
from issuance.billers.stripe import payloads
from issuance.billers.stripe.payloads import part, stamp_of, status_of
from issuance.billers.stripe.payments import Payment
from issuance.billers.stripe.subscriptions import moment_of

#: Statuses with which a dispute keeps the money back, and those with which it is no dispute (yet).
_OPEN = frozenset({"needs_response", "under_review"})
_NO_DISPUTE = frozenset({"warning_needs_response", "warning_under_review", "warning_closed", "prevented"})
_STATUSES = _OPEN | _NO_DISPUTE | {"won", "lost", "charge_refunded"}


def translate(notice: Notice, known: Known, *, patient: bool) -> Translation:
    """A dispute that was made, that is over, or that an inquiry (`warning_…`, no dispute yet) has become, which takes
    the money. Other changes of a dispute tell nothing."""
    dispute, previous = part(notice.body, "data", "object"), part(notice.body, "data", "previous_attributes")
    verb, was = notice.kind.rpartition(".")[2], str(previous.get("status"))
    found = Translation()
    became_one = verb == "funds_withdrawn" or (verb == "updated" and was.startswith("warning_"))
    if verb in ("created", "closed") or became_one:
        name = f"/{verb}" if became_one else ""
        tell(dispute, moment_of(notice, dispute), known, found, name=name, patient=patient)
    return found


def tell(
    dispute: Json, at: int, known: Known, found: Translation, *, patient: bool, name: str = "", seen: bool = False
) -> None:
    """Tell where a dispute stands: open, won, or lost, when the customer has all of the money back. `seen`: it stood so
    at that instant; when it came to that is not known."""
    status, dispute_id = status_of(dispute, _STATUSES), str(dispute["id"])
    if status in _NO_DISPUTE or (payment := Payment.of(dispute, known, found, patient=patient)) is None:
        return
    noted = payment.note.setdefault("disputes", {}).setdefault(dispute_id, {})
    if status in _OPEN and seen and "opened" in noted:
        return
    if status in _OPEN:
        at = payment.moment(_opened(dispute, at) if seen else at, "disputed")
        noted["opened"] = min(at, noted.get("opened", at))
        payment.tell("disputed", at, f"disputed/{dispute_id}{name}")
    else:
        # It was opened before it was closed, even if only the closing was seen.
        at = max(payment.moment(at, "succeeded"), noted.get("opened", 0) + 1)
        if status == "won":
            noted["closed"] = payment.restore(f"dispute_won/{dispute_id}", at)
        else:
            at = noted["closed"] = noted.get("closed", at)
            if status == "lost":
                noted["lost"] = True
                payment.tell("refunded", at, f"dispute_lost/{dispute_id}")
    payment.tell_what_stands()


def _opened(dispute: Json, now: int) -> int:
    """When an open dispute was opened: when it took the money. Before that it may have been an inquiry."""
    took = [stamp_of(one.get("created")) for one in payloads.listed(dispute.get("balance_transactions"))]
    return min((at for at in took if at is not None), default=None) or stamp_of(dispute.get("created")) or now
