"""Reconciling with Stripe: what its objects are now, against what was told last.

An object says how it stands and seldom when it came to that. An instant that it does not say is worked out from what it
and the invoices do say, never before what was told last.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from issuance.billers.adapter import Json, Known, Listing, Translation, Unmappable
from issuance.billers.stripe import following, invoices, payloads, payments, signing_up, starts, subscriptions, told
from issuance.billers.stripe.dates import Dates, dates_of, is_turn, seconds
from issuance.billers.stripe.invoices import RANKS
from issuance.billers.stripe.payloads import INCOMPLETE, Item, instant, items_of, number_of, stamp_of
from issuance.billers.stripe.signing_up import Record
from issuance.billers.stripe.standings import Standing, announcement, standing_of, stands_since, status_event
from issuance.deciding.calendar import day_of, midnight

#: How much older than the cursor an invoice, refund or dispute may be that changed since: dunning takes up to two
#: months, a dispute up to three.
_INVOICES_CHANGE, _PAYMENTS_CHANGE = timedelta(days=65), timedelta(days=120)
#: The groups of events that tell something, and how long before the cursor they are asked for: they come late.
_GROUPS = ("customer.subscription.*", "invoice.*", "invoice_payment.*", "charge.*", "refund.*")
_EVENTS_ARE_LATE = timedelta(days=1)
#: How long a bank may work on a debit.
_A_DEBIT_TAKES = timedelta(days=14)


def missed(since: datetime | None) -> Sequence[Listing]:
    """Stripe's events, of each group that tells something."""
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
        # Once more those of subscriptions that have just signed up.
        Listing("charges", "/v1/invoices", made(_INVOICES_CHANGE), after_sign_ups=True),
        Listing("refunds", "/v1/refunds", made(_PAYMENTS_CHANGE)),
        Listing("disputes", "/v1/disputes", made(_PAYMENTS_CHANGE)),
    )


def reconcile(listing: str, body: Json, known: Known, since: datetime | None) -> Translation:
    """What an object of a listing tells, as it is now, that was not told."""
    found = Translation()
    match listing:
        case "invoices" | "charges":
            _invoice(body, known, found)
        case "subscriptions":
            _subscription(body, known, found, since)
        case "refunds":
            # It says when it was made, and not since when it has failed.
            payments.tell_refunds(body, seconds(known.now), known, found, patient=False)
        case "disputes":
            payments.tell_dispute(body, seconds(known.now), known, found, patient=False, seen=True)
    return found


def _invoice(invoice: Json, known: Known, found: Translation) -> None:
    made = stamp_of(invoice.get("created")) or seconds(known.now)
    note = known.get(str(invoice["id"]))
    # Whoever has not signed up does it with the subscriptions; what webhooks said of the invoice is told before this.
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
    """Whether nobody could pay a charge that was initiated at an instant. That it was tried does not say so: a bank
    works on a debit for days. That it is tried again does, or trouble of its subscription that came since; or the end
    of that, where it was tried more than once or no bank can be at work on it any more."""
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
    trials = signing_up.trials_of(record)
    signing_up.hear(record, subscription, subscription, now, made=False)
    if record.get("dead"):
        found.wakes.add(subscription_id)
        return
    # Nothing of before this will come any more.
    record["heard"] = True
    told_before = set(record["items"])
    if record["basis_at"] == now:
        record["basis"] = _as_first_billed(record["basis"], record)
    signing_up.sign_up(subscription_id, record, known, found, patient=False)
    if told_before != record["items"].keys():
        return  # what waited for it is told before it is compared
    here = {item.id: item for item in items_of(subscription)}
    for item_id, note in sorted(record["items"].items()):
        _Item(subscription_id, item_id, record, note, subscription, now, known, found).compare(here.get(item_id))
    for item in here.values():
        before = next((one for one in items_of(record["basis"]) if one.id == item.id), None)
        if item.id not in record["items"] and (before is None or _is_no_membership(before, known)):
            billed = record.get("billed", {}).get(item.id, {}).get(item.price, [])
            start = item.created if before is None and item.created else min([*billed, now])
            args = (subscription_id, record, subscription, item, known, found)
            signing_up.sign_up_item(*args, made=start, start=start)
    following.tell(subscription_id, trials, known, found)


def _now(subscription: Json, record: Record, known: Known) -> int:
    """The brand's now; of a sandbox whose clock is behind what Stripe says, the last that it says has happened."""
    said = [stamp_of(subscription.get(name)) for name in ("created", "canceled_at", "ended_at")]
    collected = [at for note in record.get("items", {}).values() for at in note.get("collected", ())]
    billed = [at for prices in record.get("billed", {}).values() for starts in prices.values() for at in starts]
    return max(seconds(known.now), *(at or 0 for at in (*said, *collected, *billed)))


def _as_first_billed(basis: Json, record: Record) -> Json:
    """A subscription of which only the present is known, at the prices that were billed first."""
    items = []
    for body in payloads.listed(basis.get("items")):
        billed = record.get("billed", {}).get(body.get("id"), {})
        first = min(billed, key=lambda price: int(billed[price][0]), default=None)
        priced = payloads.part(body, "price")
        if first is not None and priced and first != priced.get("id"):
            body = {**body, "price": {"id": first, "recurring": priced.get("recurring")}, "plan": None}
        items.append(body)
    return {**basis, "items": {"data": items}}


def _is_no_membership(item: Item, known: Known) -> bool:
    price = known.price(item.price, item.product)
    return price is not None and price.membership_type_id is None


class _Item:
    """An item of a subscription, as it is now and as it was told."""

    def __init__(
        self,
        subscription_id: str,
        item_id: str,
        record: Record,
        note: told.Note,
        subscription: Json,
        now: int,
        known: Known,
        found: Translation,
    ) -> None:
        self.item_id, self.ref = item_id, told.ref_of(subscription_id, item_id)
        self.membership_id: UUID = told.membership_of(subscription_id, item_id)
        self.record, self.note, self.subscription = record, note, subscription
        self.now, self.known, self.found = now, known, found

    def compare(self, item: Item | None) -> None:
        """Tell what is otherwise than it was told."""
        if item is None and payloads.goes_on(self.subscription.get("items")):
            return  # it may be among those that are not said
        if item is None:
            self._status(Standing("cancelled", self.now))
            return
        self._dates(item)
        self._type(item)
        self._guests(item)
        self._status(standing_of(self.subscription))

    def _status(self, standing: Standing) -> None:
        dates = dates_of(self.note, self.known.zone)
        day = standing.ends_on(dates, self.now)
        ends = None if day is None else day.isoformat()
        self._ends_taken_back(dates, [self.now, standing.status, ends])
        told_at, status, ends_on = self.note.get("status", [self.note["type"][0], "active", None])
        if standing.status == status and (ends == ends_on or status == "cancelled"):
            return
        at = max(self._since(standing, status, told_at), told_at)
        if at == told_at and "status" in self.note:
            at += 1
        fact, noted = status_event(
            self.ref,
            self.membership_id,
            f"reconciled/{at}",
            at,
            standing,
            dates,
            keeps_status=standing.status == status,
        )
        told.note_standing(self.note, at, *noted)
        self.found.events += [*announcement(self.ref, self.membership_id, self.subscription, dates), fact]

    def _ends_taken_back(self, dates: Dates, stands: list[Any]) -> None:
        """Tell of each end that came, and that it did not end with, that it was taken back before: what has ended at
        Stripe never goes on."""
        for (told_at, status, ends_on), (next_at, next_status, next_end) in pairwise(
            [*told.stood_of(self.note), stands]
        ):
            if status == "cancelled" or ends_on is None:
                continue
            end, then = date.fromisoformat(ends_on), next_end and date.fromisoformat(next_end)
            # An end may come a little later than was said.
            ended = next_status == "cancelled" and (then is None or then <= end + timedelta(days=1))
            came = seconds(midnight(end, self.known.zone))
            at = max(came - 1, told_at + 1)
            if ended or (then is not None and then <= end) or not max(came, at) <= next_at:
                continue
            fact, noted = status_event(
                self.ref, self.membership_id, f"went_on/{ends_on}", at, Standing(status, None), dates
            )
            told.note_standing(self.note, at, *noted)
            self.found.events.append(fact)

    def _since(self, standing: Standing, was: str, told_at: int) -> int:
        """Since when it stands so."""
        if standing.status == "cancelled":
            return standing.ends or self.now
        if standing.status == was:  # an end was announced, or taken back
            asked_at = stamp_of(self.subscription.get("canceled_at"))
            ends = standing.ends is not None or standing.at_period_end
            return asked_at if asked_at is not None and ends else self.now
        trial_end = stamp_of(self.subscription.get("trial_end"))
        if self.subscription.get("status") == "paused" and trial_end is not None and not self._paid_since(trial_end):
            return stands_since(self.subscription, trial_end, dates_of(self.note, self.known.zone))
        if was == "paused":
            # At the latest when the first invoice was collected again.
            resumed = [self.note.get("resumes"), *self.note.get("collected", [])]
            return min((at for at in resumed if at is not None and told_at < at <= self.now), default=self.now)
        return self.now

    def _paid_since(self, stamp: int) -> bool:
        """Whether anything was billed from an instant on, or something else was told of it since."""
        billed = [at for starts in self.record.get("billed", {}).get(self.item_id, {}).values() for at in starts]
        last = self.note.get("status", [0])[0]
        return any(at >= stamp for at in (last, *billed, *self.note.get("collected", [])))

    def _dates(self, item: Item) -> None:
        anchor, trial_end = (stamp_of(self.subscription.get(name)) for name in ("billing_cycle_anchor", "trial_end"))
        told_trial = self.note["trial"][1]
        begins = payloads.begins_with_trial(self.subscription)
        if begins and told_trial is not None and trial_end is not None and trial_end != told_trial:
            # It was moved before it was over, or there would be none to move.
            stood = seconds(midnight(self._day(told_trial), self.known.zone)) - 1
            at = max(self.note["start"][0], min(self.now, stood, trial_end))
            anchor = trial_end if anchor == told_trial else anchor
            starts_on, anchored_on = self._day(trial_end), self._day(anchor or trial_end)
            self.found.events.append(
                starts.start_event(
                    self.ref, self.membership_id, f"start/{trial_end}/reconciled", at, starts_on, anchored_on
                )
            )
            told.note_latest(self.note, "trial", at, trial_end)
            told.note_anchor(self.note, at, anchor or trial_end, self.note["frequency"])
            told.note_latest(self.note, "start", at, starts_on.isoformat(), max(starts_on, anchored_on).isoformat())
            name = f"moved/{trial_end}/reconciled"
            starts.note_start(self.note, at, name, anchor or trial_end, told.frequency_of(self.note))
            starts.tell_dates_again(self.found, self.note, self.ref, self.membership_id, self.known.zone)
        prices = self.record.get("prices", {})
        frequency = item.frequency or prices.get(item.price, [None, None])[1] or told.frequency_of(self.note)
        moved = anchor is not None and not is_turn(anchor, self.note["anchor"][1], frequency)
        if not moved and frequency == told.frequency_of(self.note):
            return
        begun = None if moved or self.subscription.get("status") == "trialing" else self._period_started(item)
        stamp = begun or anchor or self.now
        since = stamp
        if not begins and stamp == trial_end:  # free time was given: it has that since then, or since it was told last
            since = max(stamp_of(self.subscription.get("trial_start")) or stamp, self.note["anchor"][0] + 1)
        at = min(max(since, self.note["type"][0]), self.now)
        args = (self.found, self.note, self.ref, self.membership_id, f"moved/{stamp}/{frequency}", at)
        signing_up.note_and_move(*args, self._day(stamp), frequency, stamp)

    def _type(self, item: Item) -> None:
        price = self.known.price(item.price, item.product)
        if price is None:
            self.found.unmappable = signing_up.unmapped(item.price)
            return
        # What a price was told as stays, whatever it is mapped to now.
        if price.membership_type_id is None or item.price == self.note["price"][1]:
            return
        if str(price.membership_type_id) == self.note["type"][1]:
            told.note_latest(self.note, "price", self.now, item.price)
            return
        told_at = self.note["type"][0]
        billed = self.record.get("billed", {}).get(item.id, {}).get(item.price, [])
        since = next((start for start in billed if start > told_at), None) or self._period_started(item) or self.now
        at = max(dates_of(self.note, self.known.zone).instant_of(since), told_at + 1)
        name, type_id = f"type/reconciled/{at}", price.membership_type_id
        self.found.events.append(
            subscriptions.type_event(self.ref, self.membership_id, name, at, type_id, price.switch)
        )
        told.note_latest(self.note, "type", at, str(type_id))
        told.note_latest(self.note, "price", at, item.price)

    def _guests(self, item: Item) -> None:
        try:
            party = told.party_of(self.subscription, item, self.membership_id, self.record["member"])
        except told.TooManyGuests:
            return
        except told.GuestsNotReadable as refusal:
            self.found.unmappable = Unmappable("malformed", str(refusal))
            return
        if party != self.note["party"][1]:
            name = f"{self.ref}/guests/reconciled/{self.now}"
            self.found.events.append(
                told.event(name, "membership.guests_changed", self.now, self.membership_id, guests=party)
            )
            told.note_latest(self.note, "party", self.now, party)

    def _period_started(self, item: Item) -> int | None:
        """Where the period begins that runs now, if that can be."""
        of_item = next((one for one in payloads.listed(self.subscription.get("items")) if one.get("id") == item.id), {})
        for body in (of_item, self.subscription):
            start = stamp_of(body.get("current_period_start"))
            if start is not None and self.note["type"][0] < start <= self.now:
                return start
        return None

    def _day(self, stamp: int) -> date:
        return day_of(instant(stamp), self.known.zone)
