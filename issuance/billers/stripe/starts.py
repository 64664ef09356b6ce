"""A trial that is moved: it moves the start of a membership, and with it all that is billed.

A billing date that was moved within a trial (to another interval, say) is anchored at the end that the trial had then.
A start that is moved does not move such a date, so the date is told once more, from the trial's new end on, whichever
of the two comes first. An item's note has its `starts`, of moves that kept the interval: when the trial was moved, the
name of the fact, Stripe's instant from which it is billed then, and how often.
"""

from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.billers.adapter import Translation
from issuance.billers.stripe import told
from issuance.billers.stripe.payloads import instant
from issuance.billers.stripe.signing_up import note_and_move
from issuance.deciding.calendar import day_of


def start_event(ref: str, membership_id: UUID, name: str, at: int, starts_on: date, anchored_on: date) -> told.Event:
    """The fact that a trial ends at another time than was told before."""
    dates = {"starts_on": starts_on.isoformat(), "billing_anchor": max(anchored_on, starts_on).isoformat()}
    return told.event(f"{ref}/{name}", "membership.start_moved", at, membership_id, **dates)


def note_start(note: told.Note, at: int, name: str, anchor: int, frequency: str) -> None:
    """Note that a trial was moved and kept its interval."""
    start = [at, name, anchor, frequency]
    if start not in note.get("starts", []):
        note["starts"] = sorted([*note.get("starts", []), start])


def tell_dates_again(found: Translation, note: told.Note, ref: str, membership_id: UUID, zone: ZoneInfo) -> None:
    """Tell the billing date again for each trial that was moved after it."""
    for at, name, anchor, frequency in note.get("starts", []):
        day = day_of(instant(anchor), zone)
        was_moved = any(moved_at < at for moved_at, *_ in note["moves"])
        if was_moved and [at, day.isoformat(), frequency] not in note["moves"]:
            note_and_move(found, note, ref, membership_id, name, at, day, frequency, anchor)
