"""A guest's place on an order: 0, 1, 2, … in the order in which guests became known, and the same for ever."""

from typing import Any
from uuid import uuid4

from sqlalchemy import event

from tests.database.clubs import Club

NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eve")


class Order:
    """A membership's order, told of list by list."""

    def __init__(self, club: Club) -> None:
        self._club = club
        self._guest_ids = {name: str(uuid4()) for name in NAMES}
        self.membership_id = uuid4()
        says = {
            "membership_id": str(self.membership_id),
            "membership_type_id": str(club.type_id),
            "external_user_id": "ada",
            "starts_on": "2031-01-31",
            "guests": self._party("Ada", "Bob"),
        }
        club.settle(club.tell("membership.signed_up", "2031-01-31T10:00", says))

    def is_now(self, *names: str, time: str) -> None:
        """A list of the whole party, settled; the first of it is the lead booker."""
        says = {"membership_id": str(self.membership_id), "guests": self._party(*names)}
        self._club.tell("membership.guests_changed", time, says)
        self._club.settle([self.membership_id])

    def places(self) -> dict[str, int]:
        found = self._club.rows("SELECT name, place FROM guests WHERE membership_id = :one", one=self.membership_id)
        return {row.name: row.place for row in found}

    def _party(self, *names: str) -> list[dict[str, Any]]:
        return [
            {"guest_id": self._guest_ids[name], "name": name, "lead_booker": number == 0}
            for number, name in enumerate(names)
        ]


def test_later_lists_count_on(club: Club) -> None:
    """A new guest gets the next place, wherever the list names them, and no place of one who has left."""
    order = Order(club)
    assert order.places() == {"Ada": 0, "Bob": 1}
    order.is_now("Cleo", "Ada", time="2031-01-31T11:00")
    assert order.places() == {"Ada": 0, "Bob": 1, "Cleo": 2}
    order.is_now("Eve", "Dan", "Cleo", time="2031-01-31T11:30")
    assert order.places() == {"Ada": 0, "Bob": 1, "Cleo": 2, "Eve": 3, "Dan": 4}


def test_known_guests_never_swap(club: Club) -> None:
    """Whatever order a list has, who comes back, and who is the lead booker."""
    order = Order(club)
    order.is_now("Bob", "Ada", time="2031-01-31T11:00")
    assert order.places() == {"Ada": 0, "Bob": 1}
    order.is_now("Cleo", "Bob", time="2031-01-31T11:10")
    order.is_now("Ada", "Cleo", "Bob", time="2031-01-31T11:20")
    assert order.places() == {"Ada": 0, "Bob": 1, "Cleo": 2}


def test_a_list_that_comes_late_takes_no_place_from_anybody(club: Club) -> None:
    """It names its guests before others, and they get the places that are free when it is settled."""
    order = Order(club)
    order.is_now("Ada", "Cleo", time="2031-01-31T11:30")
    order.is_now("Dan", "Ada", "Eve", time="2031-01-31T11:00")
    assert order.places() == {"Ada": 0, "Bob": 1, "Cleo": 2, "Dan": 3, "Eve": 4}


def test_a_list_is_written_in_one_statement(club: Club) -> None:
    """However many it names: a party of 500 kept its biller's other events waiting for 500 statements."""
    order = Order(club)
    written: list[int] = []

    def listen(_: Any, statement: Any, many: Any, *__: Any) -> None:
        if "INTO guests" in str(statement):
            written.append(max(1, len(many)))

    event.listen(club.engine, "before_execute", listen)
    order.is_now(*NAMES, time="2031-01-31T11:00")
    event.remove(club.engine, "before_execute", listen)
    assert len(order.places()) == len(NAMES)
    assert written == [1]
