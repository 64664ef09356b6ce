"""An item of a subscription: as it is now, it is compared with what was told last (`reconciling`)."""

from datetime import date, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from issuance.billers.adapter import Json, Known, Translation, Unmappable
from issuance.billers.stripe import payloads, signing_up, starts, subscriptions, told
from issuance.billers.stripe.dates import Dates, dates_of, is_turn, seconds
from issuance.billers.stripe.payloads import Item, instant, stamp_of
from issuance.billers.stripe.standings import Standing, announcement, from_the_start, standing_of, status_event
from issuance.deciding.calendar import day_of, midnight


class Comparison:
    """An item that has signed up, and its subscription as Stripe has it at an instant, `now`."""

    def __init__(self, item_id: str, subscription: Json, now: int, known: Known, found: Translation) -> None:
        subscription_id = str(subscription["id"])
        self._item_id, self._ref = item_id, told.ref_of(subscription_id, item_id)
        self._membership_id: UUID = told.membership_of(subscription_id, item_id)
        self._record, self._subscription = known.get(subscription_id), subscription
        self._note: told.Note = self._record["items"][item_id]
        self._now, self._known, self._found = now, known, found

    def tell(self, item: Item | None) -> None:
        """Tell what differs from what was told. `item` is None if the subscription does not name it."""
        if item is None and payloads.goes_on(self._subscription.get("items")):
            return  # it may be among the items that are not shown
        if item is None:
            self._status(Standing("cancelled", self._now))
            return
        self._dates(item)
        self._type(item)
        self._guests(item)
        self._status(standing_of(self._subscription))

    def _status(self, standing: Standing) -> None:
        dates = dates_of(self._note, self._known.zone)
        day = standing.ends_on(dates, self._now)
        ends = None if day is None else day.isoformat()
        self._ends_taken_back(dates, [self._now, standing.status, ends])
        told_at, status, ends_on = self._note.get("status", [self._note["type"][0], "active", None])
        if standing.status == status and (ends == ends_on or status == "cancelled"):
            return
        since = self._since(standing, status, told_at)
        at = max(since, told_at)
        if at == told_at and "status" in self._note:
            at += 1
        fact, noted = status_event(
            self._ref,
            self._membership_id,
            self._note,
            f"reconciled/{at}",
            at,
            standing,
            dates,
            keeps_status=standing.status == status,
        )
        told.note_standing(self._note, at, *noted)
        announced = announcement(self._ref, self._membership_id, self._subscription, dates)
        unbegun = from_the_start(self._ref, self._membership_id, self._subscription, standing, since, dates)
        self._found.events += [*announced, *unbegun, fact]

    def _ends_taken_back(self, dates: Dates, stands: list[Any]) -> None:
        """For each announced end whose day came without an end, tell that it was taken back before: what has ended at
        Stripe never goes on."""
        for (told_at, status, ends_on), (next_at, next_status, next_end) in pairwise(
            [*told.stood_of(self._note), stands]
        ):
            if status == "cancelled" or ends_on is None:
                continue
            end, then = date.fromisoformat(ends_on), next_end and date.fromisoformat(next_end)
            # An end may come a little later than announced.
            ended = next_status == "cancelled" and (then is None or then <= end + timedelta(days=1))
            came = seconds(midnight(end, self._known.zone))
            at = max(came - 1, told_at + 1)
            if ended or (then is not None and then <= end) or not max(came, at) <= next_at:
                continue
            fact, noted = status_event(
                self._ref, self._membership_id, self._note, f"went_on/{ends_on}", at, Standing(status, None), dates
            )
            told.note_standing(self._note, at, *noted)
            self._found.events.append(fact)

    def _since(self, standing: Standing, was: str, told_at: int) -> int:
        """Since when the subscription stands so."""
        if standing.status == "cancelled":
            return standing.ends or self._now
        if standing.status == was:  # an end was announced, or taken back
            asked_at = stamp_of(self._subscription.get("canceled_at"))
            ends = standing.ends is not None or standing.at_period_end
            return asked_at if asked_at is not None and ends else self._now
        trial_end = stamp_of(self._subscription.get("trial_end"))
        if self._subscription.get("status") == "paused" and trial_end is not None and not self._paid_since(trial_end):
            return trial_end
        if was == "paused":
            # It resumed at the latest when an invoice was collected again.
            resumed = [self._note.get("resumes"), *self._note.get("collected", [])]
            return min((at for at in resumed if at is not None and told_at < at <= self._now), default=self._now)
        return self._now

    def _paid_since(self, stamp: int) -> bool:
        """Whether anything was billed since an instant, or the status has changed since."""
        billed = [at for starts in self._record.get("billed", {}).get(self._item_id, {}).values() for at in starts]
        last = self._note.get("status", [0])[0]
        return any(at >= stamp for at in (last, *billed, *self._note.get("collected", [])))

    def _dates(self, item: Item) -> None:
        anchor, trial_end = (stamp_of(self._subscription.get(name)) for name in ("billing_cycle_anchor", "trial_end"))
        told_trial = self._note["trial"][1]
        begins = payloads.begins_with_trial(self._subscription)
        if begins and told_trial is not None and trial_end is not None and trial_end != told_trial:
            # The trial was moved before it was over: a trial that is over can not be moved.
            stood = seconds(midnight(self._day(told_trial), self._known.zone)) - 1
            at = max(self._note["start"][0], min(self._now, stood, trial_end))
            anchor = trial_end if anchor == told_trial else anchor
            starts_on, anchored_on = self._day(trial_end), self._day(anchor or trial_end)
            self._found.events.append(
                starts.start_event(
                    self._ref, self._membership_id, f"start/{trial_end}/reconciled", at, starts_on, anchored_on
                )
            )
            told.note_latest(self._note, "trial", at, trial_end)
            told.note_anchor(self._note, at, anchor or trial_end, self._note["frequency"])
            told.note_latest(self._note, "start", at, starts_on.isoformat(), max(starts_on, anchored_on).isoformat())
            name = f"moved/{trial_end}/reconciled"
            starts.note_start(self._note, at, name, anchor or trial_end, told.frequency_of(self._note))
            starts.tell_dates_again(self._found, self._note, self._ref, self._membership_id, self._known.zone)
        prices = self._record.get("prices", {})
        frequency = item.frequency or prices.get(item.price, [None, None])[1] or told.frequency_of(self._note)
        moved = anchor is not None and not is_turn(anchor, self._note["anchor"][1], frequency)
        if not moved and frequency == told.frequency_of(self._note):
            return
        begun = None if moved or self._subscription.get("status") == "trialing" else self._period_started(item)
        stamp = begun or anchor or self._now
        since = stamp
        if not begins and stamp == trial_end:  # free time was given: it has that since then, or since it was told last
            since = max(stamp_of(self._subscription.get("trial_start")) or stamp, self._note["anchor"][0] + 1)
        at = min(max(since, self._note["type"][0]), self._now)
        args = (self._found, self._note, self._ref, self._membership_id, f"moved/{stamp}/{frequency}", at)
        signing_up.note_and_move(*args, self._day(stamp), frequency, stamp)

    def _type(self, item: Item) -> None:
        price = self._known.price(item.price, item.product)
        if price is None:
            self._found.unmappable = signing_up.unmapped(item.price)
            return
        # What was told for a price stays, whatever the price is mapped to now.
        if price.membership_type_id is None or item.price == self._note["price"][1]:
            return
        if str(price.membership_type_id) == self._note["type"][1]:
            told.note_latest(self._note, "price", self._now, item.price)
            return
        told_at = self._note["type"][0]
        billed = self._record.get("billed", {}).get(item.id, {}).get(item.price, [])
        # The running period was billed at the price before, if no line says otherwise.
        since = next((start for start in billed if start > told_at), self._now)
        at = max(dates_of(self._note, self._known.zone).instant_of(since), told_at + 1)
        name, type_id = f"type/reconciled/{at}", price.membership_type_id
        self._found.events.append(
            subscriptions.type_event(self._ref, self._membership_id, name, at, type_id, price.switch)
        )
        told.note_latest(self._note, "type", at, str(type_id))
        told.note_latest(self._note, "price", at, item.price)

    def _guests(self, item: Item) -> None:
        try:
            party = told.party_of(self._subscription, item, self._membership_id, self._record["member"])
        except told.TooManyGuests:
            return
        except told.GuestsNotReadable as refusal:
            self._found.unmappable = Unmappable("malformed", str(refusal))
            return
        if party != self._note["party"][1]:
            name = f"{self._ref}/guests/reconciled/{self._now}"
            self._found.events.append(
                told.event(name, "membership.guests_changed", self._now, self._membership_id, guests=party)
            )
            told.note_latest(self._note, "party", self._now, party)

    def _period_started(self, item: Item) -> int | None:
        """When the running period began, if Stripe says an instant that is possible."""
        of_item = next(
            (one for one in payloads.listed(self._subscription.get("items")) if one.get("id") == item.id), {}
        )
        for body in (of_item, self._subscription):
            start = stamp_of(body.get("current_period_start"))
            if start is not None and self._note["type"][0] < start <= self._now:
                return start
        return None

    def _day(self, stamp: int) -> date:
        return day_of(instant(stamp), self._known.zone)
