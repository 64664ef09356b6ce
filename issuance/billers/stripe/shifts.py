"""Changes of standing at one instant: each says what stood before it, which shows which one was the last.

Stripe's events have whole seconds, and those of a test clock may have no instant of their own. Their facts count in the
order of a subscription's life; where that leaves another standing than the last one, the last is told once more. An
item's note has its last `shifts` (the instant, where it stood before and after, the webhook, whether only its end
changed), and what was told of one instant once more (`last`).
"""

from collections import Counter
from typing import Any, NamedTuple
from uuid import UUID

from issuance.billers.stripe import told
from issuance.billers.stripe.standings import LIFE, fact_of

#: How many shifts an item's note keeps.
_KEPT = 24

#: Where a subscription stands: its status, and when it ends.
Stand = tuple[str, str | None]


class Shift(NamedTuple):
    """One change. `before` is None if the event does not say it."""

    at: int
    before: Stand | None
    after: Stand
    delivery_id: str
    only_end: bool


def note_shift(note: told.Note, shift: Shift) -> None:
    """Note a change."""
    shifts = _shifts(note)
    if all(one.delivery_id != shift.delivery_id for one in shifts):
        note["shifts"] = [list(one) for one in sorted([*shifts, shift], key=_order)[-_KEPT:]]


def tell_last(note: told.Note, ref: str, membership_id: UUID) -> list[told.Event]:
    """Tell the last standing of each instant that has several changes, if another one was told."""
    events = []
    for at in sorted(at for at, count in Counter(shift.at for shift in _shifts(note)).items() if count > 1):
        shifts = [shift for shift in _shifts(note) if shift.at == at]
        last = _last(shifts, note)
        if last is None:
            continue
        again = note.setdefault("last", {}).setdefault(str(at), [])
        if _stand(again[-1] if again else _by_life(shifts)) != last:
            keeps_status = all(shift.only_end for shift in shifts)
            name = f"status/{len(LIFE)}/{at}/{len(again):03d}"
            events.append(fact_of(ref, membership_id, name, at, *last, keeps_status=keeps_status))
            again.append(list(last))
        told.note_standing(note, at, *last)
    return events


def _shifts(note: told.Note) -> list[Shift]:
    return [
        Shift(at, None if before is None else _stand(before), _stand(after), delivery_id, only_end)
        for at, before, after, delivery_id, only_end in note.get("shifts", [])
    ]


def _order(shift: Shift) -> tuple[int, str]:
    return shift.at, shift.delivery_id


def _stand(said: Any) -> Stand:
    status, ends_on = said
    return status, ends_on


def _by_life(shifts: list[Shift]) -> Stand:
    """The standing that the order of the facts' ids leaves: the latest status of a life."""
    lasting = [shift for shift in shifts if shift.after[0] != "cancelled"] or shifts
    return max(lasting, key=lambda shift: (LIFE.index(shift.after[0]), shift.delivery_id)).after


def _last(shifts: list[Shift], note: told.Note) -> Stand | None:
    """Where a subscription stands after all changes of one instant; None: they do not say. What has ended never goes
    on."""
    ended = [shift.after for shift in shifts if shift.after[0] == "cancelled"]
    if ended:
        return max(ended, key=lambda stand: stand[1] or "")
    led_to = Counter(shift.after for shift in shifts if shift.before is not None)
    led_to.subtract(shift.before for shift in shifts if shift.before is not None)
    over = [stand for stand, count in led_to.items() if count > 0]
    if over:
        return over[0] if len(over) == 1 and led_to[over[0]] == 1 else None
    # The changes come back to where they began.
    stood = [(status, ends_on) for at, status, ends_on in told.stood_of(note) if at < shifts[0].at]
    began: Stand = stood[-1] if stood else ("active", None)
    return began if began in led_to else None
