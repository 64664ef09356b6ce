"""Where a subscription stands: its status and its end, told as a fact about each of its items."""

from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from issuance.billers.adapter import Json
from issuance.billers.stripe import payloads, told
from issuance.billers.stripe.dates import Dates, seconds
from issuance.billers.stripe.payloads import EXPIRED, instant, stamp_of
from issuance.deciding.calendar import day_of, midnight

#: The order of statuses that have one instant: that of a subscription's life.
LIFE = ("active", "needs_attention", "paused", "cancelled")
#: How long ago a subscription's period may have ended if the subscription is still said to end with it (seconds).
_ENDED = 3 * 86_400
#: How soon a subscription is paused or cancelled after its trial has ended without a way to pay (seconds).
_AT_TRIAL_END = 3600


class Standing(NamedTuple):
    """Where a subscription stands: the status, and when it ends or has ended, in Stripe's seconds."""

    status: str
    ends: int | None
    #: It ends with the running period, whose end may be known (`ends`).
    at_period_end: bool = False

    def ends_on(self, dates: Dates, at: int) -> date | None:
        """The first day on which the subscription is over, as it stood at an instant."""
        if self.at_period_end and (self.ends is None or self.ends < at - _ENDED):
            return dates.calendar.next_boundary(None, day_of(instant(at), dates.calendar.zone))
        return None if self.ends is None else dates.of(self.ends)


def standing_of(subscription: Json) -> Standing:
    """Where a subscription stands."""
    status = subscription.get("status")
    if status in ("canceled", EXPIRED):
        return Standing(
            "cancelled", stamp_of(subscription.get("ended_at")) or stamp_of(subscription.get("canceled_at"))
        )
    status, announced = _status_of(subscription), stamp_of(subscription.get("cancel_at"))
    if announced is not None or subscription.get("cancel_at_period_end") is not True:
        return Standing(status, announced)
    periods = [stamp_of(one.get("current_period_end")) for one in payloads.listed(subscription.get("items"))]
    ends = [end for end in (*periods, stamp_of(subscription.get("current_period_end"))) if end is not None]
    return Standing(status, max(ends, default=None), at_period_end=True)


def from_the_start(
    ref: str, membership_id: UUID, subscription: Json, standing: Standing, at: int, dates: Dates
) -> list[told.Event]:
    """The fact that a subscription, or an item of it, stands from its start on as it came to stand at an instant:
    where nothing came after its trial, because it ended within it or nobody can pay. A start is a date, and may have
    come before that instant. That instant is told too: what is said between the two lifts only this one."""
    trial_end = stamp_of(subscription.get("trial_end"))
    if trial_end is None or not _has_not_begun(subscription, standing, at, trial_end):
        return []
    starts_on = dates.of(trial_end)
    since = seconds(midnight(starts_on, dates.calendar.zone))
    if at <= since:
        return []
    ends = starts_on if standing.status == "cancelled" else standing.ends_on(dates, at)
    ends_on = None if ends is None else ends.isoformat()
    name = f"status/{LIFE.index(standing.status)}/from_the_start/{since}"
    return [fact_of(ref, membership_id, name, since, standing.status, ends_on, keeps_status=False)]


def _has_not_begun(subscription: Json, standing: Standing, at: int, trial_end: int) -> bool:
    """Whether nothing came after a trial."""
    if subscription.get("status") == "paused":
        return abs(at - trial_end) <= _AT_TRIAL_END
    if standing.status != "cancelled":
        return False
    ends = standing.ends or at
    return ends <= trial_end or (
        ends <= trial_end + _AT_TRIAL_END and _ended_for_want_of_a_card(subscription, trial_end)
    )


def _ended_for_want_of_a_card(subscription: Json, trial_end: int) -> bool:
    """Whether Stripe ended a subscription by itself with its trial, a moment later at most: what is paid for after a
    trial has begun a period, and what somebody ends says so."""
    without_card = payloads.part(subscription, "trial_settings", "end_behavior").get("missing_payment_method")
    asked = payloads.part(subscription, "cancellation_details").get("reason") == "cancellation_requested"
    of = (subscription, *payloads.listed(subscription.get("items")))
    began = max((stamp_of(one.get("current_period_start")) or 0 for one in of), default=0)
    return without_card == "cancel" and not asked and began < trial_end


def _status_of(subscription: Json) -> str:
    if subscription.get("status") == "paused" or isinstance(subscription.get("pause_collection"), dict):
        return "paused"
    return "needs_attention" if subscription.get("status") in ("past_due", "unpaid") else "active"


def status_event(
    ref: str,
    membership_id: UUID,
    note: told.Note,
    name: str,
    at: int,
    standing: Standing,
    dates: Dates,
    *,
    keeps_status: bool = False,
) -> tuple[told.Event, list[Any]]:
    """The fact that says where a membership stands, and what to note of it. `keeps_status`: only its end changed, so
    that an announced end lifts no trouble."""
    ends = standing.ends_on(dates, at)
    ends_on = None if ends is None else ends.isoformat()
    rank = LIFE.index(standing.status)
    name = told.end_of(note, at) if standing.status == "cancelled" else f"status/{rank}/{name}"
    fact = fact_of(ref, membership_id, name, at, standing.status, ends_on, keeps_status=keeps_status)
    return fact, [standing.status, ends_on]


def fact_of(
    ref: str, membership_id: UUID, name: str, at: int, status: str, ends_on: str | None, *, keeps_status: bool
) -> told.Event:
    """The fact that says where a membership stands."""
    said: dict[str, Any] = {"status": "cancelled" if keeps_status and ends_on is not None else status}
    if ends_on is not None or status != "cancelled":
        said["ends_on"] = ends_on
    return told.event(f"{ref}/{name}", "membership.status_changed", at, membership_id, **said)


def announcement(ref: str, membership_id: UUID, subscription: Json, dates: Dates) -> list[told.Event]:
    """The fact that announces an end that has come, if somebody asked for it before: if an end is known ahead, the
    membership is over for all of the day on which it ends."""
    standing, asked = standing_of(subscription), stamp_of(subscription.get("canceled_at"))
    made = stamp_of(subscription.get("created"))
    if standing.status != "cancelled" or standing.ends is None or asked is None or made is None:
        return []
    if not made <= asked < standing.ends:
        return []
    ends_on = dates.of(standing.ends).isoformat()
    said = {"status": "cancelled", "ends_on": ends_on}
    return [told.event(f"{ref}/announced/{asked}", "membership.status_changed", asked, membership_id, **said)]
