"""Changes of standing that have one instant: which was the last is told by what each says of before.

Stripe's events tick in seconds, and those of a test clock may have no instant of their own. By themselves their facts
count in the order of a subscription's life; where that leaves another standing than the last, the last is told once
more. An item's note has its last `turns` (the instant, where it stood before and after, the webhook, whether only its
end changed), and what was told of one instant once more (`last`).
"""

from collections import Counter
from typing import Any, NamedTuple
from uuid import UUID

from issuance.billers.stripe import told
from issuance.billers.stripe.standings import LIFE, fact_of

#: How many of its turns an item's note has.
_KEPT = 24

#: Where it stands: the status, and when it ends.
Stand = tuple[str, str | None]


class Turn(NamedTuple):
    """One change. `before` None: not said."""

    at: int
    before: Stand | None
    after: Stand
    delivery_id: str
    only_end: bool


def note_turn(note: told.Note, turn: Turn) -> None:
    """Note a change."""
    turns = _turns(note)
    if all(one.delivery_id != turn.delivery_id for one in turns):
        note["turns"] = [list(one) for one in sorted([*turns, turn], key=_order)[-_KEPT:]]


def tell_last(note: told.Note, ref: str, membership_id: UUID) -> list[told.Event]:
    """Tell the last standing of each instant that has several changes, where it is another one than was told."""
    events = []
    for at in sorted(at for at, count in Counter(turn.at for turn in _turns(note)).items() if count > 1):
        turns = [turn for turn in _turns(note) if turn.at == at]
        last = _last(turns, note)
        if last is None:
            continue
        again = note.setdefault("last", {}).setdefault(str(at), [])
        if _stand(again[-1] if again else _by_life(turns)) != last:
            keeps_status = all(turn.only_end for turn in turns)
            name = f"status/{len(LIFE)}/{at}/{len(again):03d}"
            events.append(fact_of(ref, membership_id, name, at, *last, keeps_status=keeps_status))
            again.append(list(last))
        told.note_standing(note, at, *last)
    return events


def _turns(note: told.Note) -> list[Turn]:
    return [
        Turn(at, None if before is None else _stand(before), _stand(after), delivery_id, only_end)
        for at, before, after, delivery_id, only_end in note.get("turns", [])
    ]


def _order(turn: Turn) -> tuple[int, str]:
    return turn.at, turn.delivery_id


def _stand(said: Any) -> Stand:
    status, ends_on = said
    return status, ends_on


def _by_life(turns: list[Turn]) -> Stand:
    """What stands by the order of the facts' ids: an end has come, or the status that is the latest of a life."""
    lasting = [turn for turn in turns if turn.after[0] != "cancelled"] or turns
    return max(lasting, key=lambda turn: (LIFE.index(turn.after[0]), turn.delivery_id)).after


def _last(turns: list[Turn], note: told.Note) -> Stand | None:
    """Where it stands after all changes of one instant; None: they do not say. What has ended never goes on."""
    ended = [turn.after for turn in turns if turn.after[0] == "cancelled"]
    if ended:
        return max(ended, key=lambda stand: stand[1] or "")
    led_to = Counter(turn.after for turn in turns if turn.before is not None)
    led_to.subtract(turn.before for turn in turns if turn.before is not None)
    over = [stand for stand, count in led_to.items() if count > 0]
    if over:
        return over[0] if len(over) == 1 and led_to[over[0]] == 1 else None
    # They come back to where they began.
    stood = [(status, ends_on) for at, status, ends_on in told.stood_of(note) if at < turns[0].at]
    began: Stand = stood[-1] if stood else ("active", None)
    return began if began in led_to else None
