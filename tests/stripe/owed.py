"""What the lives of the tests are owed, worked out by hand, and how a life is told.

All are in Berlin, settled on 20 April 2031, 02:00 there; each type has one rule, `issue_on_signup` and `roll_over`, a
credit a billing period. What is owed: by membership, the starts of the periods, the type, and the guest where it is
not the lead booker.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.stripe.lives import Event, Life

Owed = dict[tuple[str, str], list[str]]
#: What each price is sold as, and whether a change to it switches the running period; None: it is no membership's.
MAP: dict[str, tuple[str | None, str]] = {
    "price_gold": ("Gold", "keep"),
    "price_gold_year": ("Gold", "keep"),
    "price_gold_week": ("Gold", "keep"),
    "price_silver": ("Silver", "keep"),
    "price_platinum": ("Platinum", "switch"),
    "price_free": (None, "keep"),
}
JAN, FEB, MAR, APR = "2031-01-15", "2031-02-15", "2031-03-15", "2031-04-15"


class HardLife(NamedTuple):
    """A life, and what is owed. `lasting`: it can be worked out from how things stand at the end, too."""

    name: str
    events: list[Event]
    owed: Owed
    lasting: bool


_Told = Callable[[], HardLife]


def tells(name: str, *, into: list[_Told], lasting: bool = True) -> Callable[[Callable[[], tuple[Any, Owed]]], None]:
    """A life, or several, whose events are told in the order in which they happened."""

    def keep(tell: Callable[[], tuple[Any, Owed]]) -> None:
        def told() -> HardLife:
            lives, owed = tell()
            lives = lives if isinstance(lives, tuple) else (lives,)
            events = sorted((event for life in lives for event in life.events), key=lambda event: event["created"])
            return HardLife(name, events, owed, lasting)

        into.append(told)

    return keep


def gold(*starts: str) -> list[str]:
    return [f"{start} Gold" for start in starts]


def owes(life: Life, *credits: str) -> Owed:
    return {(life.id, life.state["items"]["data"][0]["id"]): list(credits)}
