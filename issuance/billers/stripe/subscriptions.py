"""What a subscription's webhooks tell: sign-ups, statuses, ends, trials, dates, prices and guests.

The event that made a change tells it, from the attributes that it names as changed, so that the order of events does
not matter. What an event does not name is not told again.
"""

from datetime import date
from typing import NamedTuple
from uuid import UUID

from issuance.billers.adapter import Json, Known, Notice, Translation, Unmappable, Wait
from issuance.billers.stripe import payloads, shifts, signing_up, starts, told
from issuance.billers.stripe.dates import dates_of, seconds
from issuance.billers.stripe.payloads import INCOMPLETE, Item, instant, items_of, part, stamp_of
from issuance.billers.stripe.shifts import Shift
from issuance.billers.stripe.signing_up import Record
from issuance.billers.stripe.standings import Standing, announcement, from_the_start, standing_of, status_event
from issuance.deciding.calendar import day_of, midnight

CREATED, DELETED = "customer.subscription.created", "customer.subscription.deleted"
#: An event that names one of these as changed tells the standing: status, pause or end.
_ENDS = frozenset({"cancel_at", "cancel_at_period_end", "ended_at"})
_STATUS = frozenset({"status", "pause_collection"}) | _ENDS
#: Events that say where a subscription stands without naming what changed.
_STANDINGS = frozenset({"customer.subscription.paused", "customer.subscription.resumed"})
_PERIOD_STARTED = 3 * 86_400


def translate(notice: Notice, known: Known, *, patient: bool) -> Translation:
    """The facts that one event of a subscription tells."""
    subscription = part(notice.body, "data", "object")
    previous = part(notice.body, "data", "previous_attributes")
    subscription_id = str(subscription["id"])
    record = known.get(subscription_id)
    at = moment_of(notice, subscription)
    was = payloads.before(subscription, previous)
    signing_up.hear(record, subscription, was, at, made=notice.kind == CREATED)
    found = Translation()
    if record.get("dead"):
        found.wakes.add(subscription_id)
        return found
    signing_up.sign_up(subscription_id, record, known, found, patient=patient)
    if notice.kind == CREATED or subscription.get("status") == INCOMPLETE:
        _tell_made(subscription_id, record, known, found)
        return found
    if not record.get("heard"):
        _tell_made(subscription_id, record, known, found)
    change = _Change(notice, subscription_id, record, subscription, was, previous, at, known, found)
    for item in items_of(subscription):
        change.tell(item)
    change.tell_gone()
    return found


def _tell_made(subscription_id: str, record: Record, known: Known, found: Translation) -> None:
    """Tell where a subscription stood when it was made, if it was not simply active."""
    basis = record["basis"]
    standing = standing_of(basis)
    if standing == Standing("active", None) or basis.get("status") == INCOMPLETE:
        return
    for item in items_of(basis):
        note = record["items"].get(item.id)
        if note is not None and "status" not in note:
            membership_id = told.membership_of(subscription_id, item.id)
            ref = told.ref_of(subscription_id, item.id)
            at = note["type"][0]
            fact, noted = status_event(ref, membership_id, note, "made", at, standing, dates_of(note, known.zone))
            told.note_standing(note, at, *noted)
            found.events.append(fact)


class _Change(NamedTuple):
    """One change of a subscription."""

    notice: Notice
    subscription_id: str
    record: Record
    subscription: Json
    was: Json
    previous: Json
    at: int
    known: Known
    found: Translation

    def tell(self, item: Item) -> None:
        """Tell what the change comes to for one of its items."""
        note = self.record["items"].get(item.id)
        before = next((one for one in items_of(self.was) if one.id == item.id), None)
        args = (self.subscription_id, self.record, self.subscription, item, self.known, self.found)
        if note is None and before is None and "items" in self.previous:
            signing_up.sign_up_item(*args, made=self.at, start=item.created or self.at)
            return
        if note is None and before is not None and self._is_membership_now(item, before):
            signing_up.sign_up_item(*args, made=self.at, start=self.at)
            return
        if note is None:
            price = self.known.price(item.price, item.product)
            if (
                self.found.unmappable is None
                and self.found.wait is None
                and (price is None or price.membership_type_id)
            ):
                self.found.wait = Wait(self.subscription_id, "its subscription has not signed up yet")
            return
        ref = told.ref_of(self.subscription_id, item.id)
        membership_id = told.membership_of(self.subscription_id, item.id)
        if before is not None and self.notice.kind not in (*_STANDINGS, DELETED):
            self._tell_dates(note, item, before, ref, membership_id)
            starts.tell_dates_again(self.found, note, ref, membership_id, self.known.zone)
            self._tell_type(note, item, before, ref, membership_id)
            self._tell_guests(note, item, before, ref, membership_id)
        self._tell_status(note, ref, membership_id)

    def _is_membership_now(self, item: Item, before: Item) -> bool:
        """Whether the item's price was no membership's before this change, and is a membership's now."""
        now, then = (self.known.price(one.price, one.product) for one in (item, before))
        return bool(then and then.membership_type_id is None and now and now.membership_type_id)

    def tell_gone(self) -> None:
        """Tell that items were taken out of the subscription, or that all of it was deleted."""
        here = {item.id for item in items_of(self.subscription)}
        deleted = self.notice.kind == DELETED
        if payloads.goes_on(self.subscription.get("items")) and not deleted:
            return  # they may be among the items that are not shown
        gone = set(self.record["items"]) if deleted else {item.id for item in items_of(self.was)}
        for item_id in sorted(gone - here):
            if (note := self.record["items"].get(item_id)) is None:
                continue
            membership_id = told.membership_of(self.subscription_id, item_id)
            ref = told.ref_of(self.subscription_id, item_id)
            standing, dates = Standing("cancelled", self.at), dates_of(note, self.known.zone)
            fact, noted = status_event(ref, membership_id, note, "", self.at, standing, dates)
            told.note_standing(note, self.at, *noted)
            unbegun = from_the_start(ref, membership_id, self.subscription, standing, self.at, dates)
            self.found.events += [*unbegun, fact]

    def _tell_status(self, note: told.Note, ref: str, membership_id: UUID) -> None:
        named = _STATUS & set(self.previous)
        if not named and self.notice.kind not in (*_STANDINGS, DELETED):
            return
        keeps = bool(named) and named <= _ENDS and self.notice.kind != DELETED
        standing, dates = standing_of(self.subscription), dates_of(note, self.known.zone)
        at = self.at
        fact, noted = status_event(
            ref, membership_id, note, self.notice.delivery_id, at, standing, dates, keeps_status=keeps
        )
        told.note_standing(note, at, *noted)
        after, before = (noted[0], noted[1]), None
        if named:
            stood = standing_of(self.was)
            ends = stood.ends_on(dates, at)
            before = stood.status, None if ends is None else ends.isoformat()
        if before != after and (before or after[0] == "cancelled"):
            shifts.note_shift(note, Shift(at, before, after, self.notice.delivery_id, keeps))
        if (resumes := stamp_of(part(self.subscription, "pause_collection").get("resumes_at"))) is not None:
            note["resumes"] = resumes
        unbegun = from_the_start(ref, membership_id, self.subscription, standing, at, dates)
        self.found.events += [*announcement(ref, membership_id, self.subscription, dates), *unbegun, fact]
        self.found.events += shifts.tell_last(note, ref, membership_id)

    def _tell_dates(self, note: told.Note, item: Item, before: Item, ref: str, membership_id: UUID) -> None:
        anchor = stamp_of(self.subscription.get("billing_cycle_anchor"))
        prices = self.record.get("prices", {})
        frequency = item.frequency or prices.get(item.price, [None, None])[1] or note["frequency"]
        earlier = before.frequency or prices.get(before.price, [None, None])[1] or frequency
        anchor_moved = "billing_cycle_anchor" in self.previous
        in_trial = self.was.get("status") == "trialing"
        if "trial_end" in self.previous:
            told.note_latest(note, "trial", self.at, stamp_of(self.subscription.get("trial_end")))
        if "trial_end" in self.previous and in_trial:
            ends, stood = (stamp_of(one.get("trial_end")) or self.at for one in (self.subscription, self.was))
            if anchor == stood:
                anchor = ends  # it is billed from the end of the trial on
            if payloads.begins_with_trial(self.was):
                # The last hours of a trial lie on the day of the start: the trial is moved before that day.
                at = min(self.at, seconds(midnight(self._day(stood), self.known.zone)) - 1)
                starts_on, anchored_on = (self._day(stamp) for stamp in (ends, anchor or ends))
                told.note_anchor(note, self.at, anchor or ends, note["frequency"])
                moved = starts.start_event(ref, membership_id, self._name("start"), at, starts_on, anchored_on)
                self.found.events.append(moved)
                told.note_latest(note, "start", at, starts_on.isoformat(), max(anchored_on, starts_on).isoformat())
                if frequency == earlier:
                    starts.note_start(note, self.at, self._name("moved"), anchor or ends, frequency)
                    return
            else:
                anchor_moved = anchor_moved or anchor == ends
        if not anchor_moved and frequency == earlier:
            return
        # In a trial, periods count from the trial's end on, not from its beginning.
        stamp = anchor if anchor_moved or in_trial else self._period_started(item) or anchor
        stamp = self.at if stamp is None else stamp
        args = (self.found, note, ref, membership_id, self._name("moved"), self.at, self._day(stamp), frequency, stamp)
        signing_up.note_and_move(*args)

    def _tell_type(self, note: told.Note, item: Item, before: Item, ref: str, membership_id: UUID) -> None:
        if item.price == before.price:
            return
        now, then = (self.known.price(one.price, one.product) for one in (item, before))
        if now is None:
            self.found.unmappable = signing_up.unmapped(item.price)
            return
        if now.membership_type_id is None:
            return
        was = None if then is None else str(then.membership_type_id)
        if before.price == note["price"][1]:
            was = note["type"][1]  # what was told for a price stays, whatever it is mapped to now
        if was == str(now.membership_type_id):
            told.note_latest(note, "price", self.at, item.price)
            return
        at = dates_of(note, self.known.zone).instant_of(self.at)
        self.found.events.append(
            type_event(ref, membership_id, self._name("type"), at, now.membership_type_id, now.switch)
        )
        told.note_latest(note, "type", at, str(now.membership_type_id))
        told.note_latest(note, "price", at, item.price)

    def _tell_guests(self, note: told.Note, item: Item, before: Item, ref: str, membership_id: UUID) -> None:
        member = self.record["member"]
        try:
            now = told.party_of(self.subscription, item, membership_id, member)
        except told.GuestsNotReadable as refusal:
            self.found.unmappable = Unmappable("malformed", str(refusal))
            return
        except told.TooManyGuests:
            self.found.unmappable = Unmappable("too_many_guests", f"no order has {item.quantity} guests", item.price)
            return
        try:
            then = told.party_of(self.was, before, membership_id, member)
        except (told.GuestsNotReadable, told.TooManyGuests):
            then = []  # they were never told
        if now != then:
            self.found.events.append(
                told.event(
                    f"{ref}/{self._name('guests')}", "membership.guests_changed", self.at, membership_id, guests=now
                )
            )
            told.note_latest(note, "party", self.at, now)

    def _period_started(self, item: Item) -> int | None:
        """When the running period began, if it began with this change."""
        of_item = next((one for one in payloads.listed(self.subscription.get("items")) if one.get("id") == item.id), {})
        for body in (of_item, self.subscription):
            start = stamp_of(body.get("current_period_start"))
            if start is not None and abs(start - self.at) <= _PERIOD_STARTED:
                return start
        return None

    def _day(self, stamp: int) -> date:
        return day_of(instant(stamp), self.known.zone)

    def _name(self, what: str) -> str:
        return f"{what}/{self.notice.delivery_id}"


def type_event(ref: str, membership_id: UUID, name: str, at: int, membership_type_id: UUID, switch: bool) -> told.Event:
    """The fact that a membership has another type from now on."""
    said = {"membership_type_id": str(membership_type_id), "current_period": "switch" if switch else "keep"}
    return told.event(f"{ref}/{name}", "membership.type_changed", at, membership_id, **said)


def moment_of(notice: Notice, body: Json) -> int:
    """When an event happened, as it says itself; if its object runs by a test clock, by that clock, as far as the
    object says."""
    at = int(notice.at.timestamp())
    if body.get("test_clock") is None:
        return at
    if notice.kind == DELETED and (ended := stamp_of(body.get("ended_at"))) is not None:
        return ended
    names = ("created", "start_date", "trial_start", "current_period_start", "canceled_at", "ended_at")
    stamps = [stamp_of(body.get(name)) for name in names]
    stamps += [stamp_of(value) for value in part(body, "status_transitions").values()]
    stamps += [stamp_of(one.get("current_period_start")) for one in payloads.listed(body.get("items"))]
    return max([at, *(stamp for stamp in stamps if stamp is not None)])
