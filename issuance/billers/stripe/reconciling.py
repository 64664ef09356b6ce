"""Reconciling with Stripe: its objects as they are now are compared with what was told last.

An object says how it stands, and seldom since when. An instant that it does not say is worked out from what it and the
invoices say, and is never before what was told last.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from issuance.billers.adapter import Json, Known, Listing, Translation
from issuance.billers.stripe import disputes, following, invoices, payloads, payments, signing_up, told
from issuance.billers.stripe.comparison import Comparison
from issuance.billers.stripe.dates import seconds
from issuance.billers.stripe.invoices import RANKS
from issuance.billers.stripe.payloads import INCOMPLETE, Item, instant, items_of, number_of, stamp_of
from issuance.billers.stripe.signing_up import Record

#: How old an invoice, a refund or a dispute may be, before the cursor, if it has changed since: dunning takes up to two
#: months, a dispute up to three.
_INVOICES_CHANGE, _PAYMENTS_CHANGE = timedelta(days=65), timedelta(days=120)
#: The groups of events that tell something, and how long before the cursor to begin: events come late.
_GROUPS = ("customer.subscription.*", "invoice.*", "invoice_payment.*", "charge.*", "refund.*")
_EVENTS_ARE_LATE = timedelta(days=1)
#: How long a bank may work on a debit.
_A_DEBIT_TAKES = timedelta(days=14)


def missed(since: datetime | None) -> Sequence[Listing]:
    """Stripe's events of each group that tells something."""
    made: dict[str, str | int] = {} if since is None else {"created[gte]": seconds(since - _EVENTS_ARE_LATE)}
    return [Listing(group, "/v1/events", {"type": group, **made}) for group in _GROUPS]


def listings(since: datetime | None) -> Sequence[Listing]:
    """Invoices first: when a subscription changed is worked out from them. Subscriptions are listed whole, because one
    of two years ago may have been paused yesterday."""

    def made(change: timedelta) -> dict[str, str | int]:
        return {} if since is None else {"created[gte]": seconds(since - change)}

    return (
        Listing("invoices", "/v1/invoices", made(_INVOICES_CHANGE)),
        Listing("subscriptions", "/v1/subscriptions", {"status": "all"}),
        # The invoices once more, for subscriptions that have just signed up.
        Listing("charges", "/v1/invoices", made(_INVOICES_CHANGE), after_sign_ups=True),
        Listing("refunds", "/v1/refunds", made(_PAYMENTS_CHANGE)),
        Listing("disputes", "/v1/disputes", made(_PAYMENTS_CHANGE)),
    )


def reconcile(listing: str, body: Json, known: Known, since: datetime | None) -> Translation:
    """What an object of a listing, as it is now, tells that was not told."""
    found = Translation()
    match listing:
        case "invoices" | "charges":
            _invoice(body, known, found)
        case "subscriptions":
            _subscription(body, known, found, since)
        case "refunds":
            # A refund says when it was made, and not since when it has failed.
            payments.tell_refunds(body, seconds(known.now), known, found, patient=False)
        case "disputes":
            disputes.tell(body, seconds(known.now), known, found, patient=False, seen=True)
    return found


def _invoice(invoice: Json, known: Known, found: Translation) -> None:
    made = stamp_of(invoice.get("created")) or seconds(known.now)
    note = known.get(str(invoice["id"]))
    # Who has not signed up does so with the subscriptions. What webhooks said of the invoice was told before this.
    charges = invoices.charges_of(invoice, max(made, note.get("heard", made)), known, found, patient=True)
    state = invoices.state_of(invoice)
    if state is None:
        return
    invoices.note_said(note, state, invoices.said_at(invoice) or made)
    for charge in charges:
        before, told_at = note.get("states", {}).get(charge.item, ["", made])
        if state == "initiated" and before == "failed":
            continue  # it is open because nobody has paid it yet
        at = max(invoices.said_at(invoice) or made, told_at)
        if state != before:
            again = before in RANKS and RANKS.index(state) <= RANKS.index(before) and at == told_at
            invoices.tell(found, [charge], note, state, at + again, state, known=known)
        tries = number_of(invoice.get("attempt_count"))
        if state == "initiated" and tries and _has_failed(invoice, charge, at, known):
            invoices.tell(found, [charge], note, "failed", at, f"failed/reconciled/{tries}", known=known)


def _has_failed(invoice: Json, charge: invoices.Charge, since: int, known: Known) -> bool:
    """Whether a charge that was initiated at an instant has failed. An attempt alone does not say so: a bank works on a
    debit for days. It has failed if it is going to be tried again, or if its subscription needed attention since; or if
    its subscription has ended since, and it was tried more than once or no bank can still be at work on it."""
    if invoice.get("attempted") is not True:
        return False
    if invoice.get("next_payment_attempt") is not None:
        return True
    stood = told.stood_of(known.get(charge.subscription)["items"][charge.item])
    came = {status for at, status, _ in stood if at >= since}
    is_over = (number_of(invoice.get("attempt_count")) or 0) > 1 or known.now - instant(since) > _A_DEBIT_TAKES
    return "needs_attention" in came or ("cancelled" in came and is_over)


def _subscription(subscription: Json, known: Known, found: Translation, since: datetime | None) -> None:
    subscription_id = str(subscription["id"])
    record = known.get(subscription_id)
    now = _now(subscription, record, known)
    made = stamp_of(subscription.get("created"))
    heard_of = record.get("named") or "basis" in record
    if not heard_of and since is not None and made is not None and instant(made) < since:
        return  # never heard of, and older than what is asked for: that is for `--all`, after a dry run
    if subscription.get("status") == INCOMPLETE:
        return
    if record.get("over") and subscription.get("status") != "canceled":
        return  # it is older than what was heard: what has ended at Stripe never goes on
    trials = signing_up.trials_of(record)
    signing_up.hear(record, subscription, subscription, now, made=False)
    if record.get("dead"):
        found.wakes.add(subscription_id)
        return
    told_before = set(record["items"])
    if not record.get("heard"):  # nobody heard how it was made
        record["basis"] = _as_first_billed(record["basis"], record, now)
    # Nothing that happened before this will come any more.
    record["heard"] = True
    signing_up.sign_up(subscription_id, record, known, found, patient=False)
    if told_before != record["items"].keys():
        return  # what waited for it is told before it is compared
    here = {item.id: item for item in items_of(subscription)}
    for item_id in sorted(record["items"]):
        Comparison(item_id, subscription, now, known, found).tell(here.get(item_id))
    for item in here.values():
        before = next((one for one in items_of(record["basis"]) if one.id == item.id), None)
        if item.id not in record["items"] and (before is None or _is_no_membership(before, known)):
            billed = record.get("billed", {}).get(item.id, {}).get(item.price, [])
            start = item.created if before is None and item.created else min([*billed, now])
            args = (subscription_id, record, subscription, item, known, found)
            signing_up.sign_up_item(*args, made=start, start=start)
    following.tell(subscription_id, trials, known, found)


def _now(subscription: Json, record: Record, known: Known) -> int:
    """The brand's now. If a sandbox's clock is behind what Stripe says, the last instant at which Stripe says something
    happened."""
    said = [stamp_of(subscription.get(name)) for name in ("created", "canceled_at", "ended_at")]
    collected = [at for note in record.get("items", {}).values() for at in note.get("collected", ())]
    billed = [at for prices in record.get("billed", {}).values() for starts in prices.values() for at in starts]
    return max(seconds(known.now), *(at or 0 for at in (*said, *collected, *billed)))


def _as_first_billed(basis: Json, record: Record, now: int) -> Json:
    """A subscription that is known only as it was at a later instant, with the prices that were billed before that."""
    items, known_at = [], record["basis_at"]
    for body in payloads.listed(basis.get("items")):
        billed = record.get("billed", {}).get(body.get("id"), {})
        first = min(billed, key=lambda price: int(billed[price][0]), default=None)
        priced = payloads.part(body, "price")
        is_older = first is not None and (known_at == now or int(billed[first][0]) < known_at)
        if is_older and priced and first != priced.get("id"):
            body = {**body, "price": {"id": first, "recurring": priced.get("recurring")}, "plan": None}
        items.append(body)
    return {**basis, "items": {"data": items}}


def _is_no_membership(item: Item, known: Known) -> bool:
    price = known.price(item.price, item.product)
    return price is not None and price.membership_type_id is None
