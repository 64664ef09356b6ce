"""What happens in the demo, cycle by cycle, and what must come of it."""

from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from issuance.cli.demo import biller
from issuance.cli.demo.biller import Event
from issuance.cli.demo.cast import COUPONS, MEMBERSHIP_TYPES, RULES, YEAR, people
from issuance.cli.demo.narrator import Narrator
from issuance.cli.demo.sandbox import DemoFailed, Sandbox

PAID = {"initiated": 0, "succeeded": 2}
FAILED_FIRST = {"initiated": 0, "failed": 2, "succeeded": 6}
LATE_CHECKOUT, GUEST_PASS, SPA_CREDIT = "Late checkout", "Guest pass", "Spa credit"

Credit = dict[str, Any]


class Cycle(NamedTuple):
    """A part of the story: its months' charges, the clock's stop after it, and what is used at that stop."""

    title: str
    month: int
    stop: date
    uses: tuple[tuple[str, str], ...]
    #: Counted by hand from SEMANTICS, so that the demo is a test of the engine and not its echo.
    expected: dict[str, int]


CYCLES = (
    Cycle(
        "January: six people join",
        1,
        date(YEAR, 2, 1),
        (("Ada Lovelace", "Welcome gift"), ("Eve Evans", SPA_CREDIT), ("Cleo Costa", LATE_CHECKOUT)),
        {"issued": 15, "rolled over": 0, "expired": 0, "used": 3},
    ),
    Cycle(
        "February: the first billing cycle",
        2,
        date(YEAR, 3, 4),
        (("Dan Duarte", SPA_CREDIT), ("Noor Evans", GUEST_PASS), ("Cleo Costa", LATE_CHECKOUT)),
        {"issued": 14, "rolled over": 0, "expired": 4, "used": 3},
    ),
    Cycle(
        "March: Ada is paused",
        3,
        date(YEAR, 4, 4),
        (("Bea Bakker", GUEST_PASS), ("Ben Bakker", SPA_CREDIT)),
        {"issued": 12, "rolled over": 6, "expired": 9, "used": 2},
    ),
    Cycle(
        "April: Ada is back, and a new quarter begins",
        4,
        date(YEAR, 5, 4),
        (("Finn Faria", "Free class"),),
        {"issued": 19, "rolled over": 7, "expired": 15, "used": 1},
    ),
    Cycle(
        "May: the fourth billing cycle",
        5,
        date(YEAR, 6, 4),
        (),
        {"issued": 14, "rolled over": 8, "expired": 12, "used": 0},
    ),
)


class Story:
    """The demo on one sandbox brand. `tell` plays all of it; raises DemoFailed if the result is not as expected."""

    def __init__(self, sandbox: Sandbox, narrator: Narrator) -> None:
        self.sandbox = sandbox
        self.narrator = narrator
        self.people = people()
        self.known: dict[str, Credit] = {}
        self.rule_ids: dict[str, str] = {}

    def tell(self) -> None:
        """Set the scene, play the cycles, and look back."""
        self.sandbox.move_clock(_noon(date(YEAR, 1, 1)))
        self._set_the_scene()
        for cycle in CYCLES:
            self._play(cycle)
        self._joined_on_the_31st()
        self._why_no_credit_in_march()

    def _set_the_scene(self) -> None:
        for coupon_id, coupon in COUPONS.items():
            self.sandbox.call("PUT", f"/customers/coupons/{coupon_id}", json=coupon)
        type_ids = {
            name: self.sandbox.call("POST", "/customers/membership-types", json={"name": name, "billing": billing})[
                "id"
            ]
            for name, billing in MEMBERSHIP_TYPES.items()
        }
        for rule in RULES:
            body = {
                "membership_type_id": type_ids[rule.membership_type],
                "coupon_id": rule.coupon_id,
                "coupon_name": rule.name,
                **rule.fields,
            }
            self.rule_ids[rule.name] = self.sandbox.call("POST", "/customers/membership-credit-rules", json=body)["id"]
        self.narrator.scene(RULES, tuple(self.people.values()))
        self.sandbox.post_events(
            [biller.sign_up(person, type_ids[person.membership_type]) for person in self.people.values()]
        )

    def _play(self, cycle: Cycle) -> None:
        self.sandbox.post_events(list(self._billed(cycle.month)))
        if cycle.month == 2:
            self._failed_charge_on_the_way()
        self.sandbox.move_clock(_noon(cycle.stop))
        for holder, coupon_name in cycle.uses:
            self.sandbox.redeem(self._live_credit(holder, coupon_name)["code"])
        told = self.sandbox.credits()
        changes = self._changes(told, cycle.stop)
        self.known = told
        counts = {name: sum(times for _, times in some) for name, some in changes.items()}
        self.narrator.cycle(cycle.title, cycle.stop, changes, counts)
        _expect(counts, cycle.expected, cycle.title)

    def _billed(self, month: int) -> list[Event]:
        """The events of a month that the biller sends."""
        ada, ben, cleo, dan, eve = (self.people[name] for name in ("Ada", "Ben", "Cleo", "Dan", "Eve"))
        charged = [ben, dan, eve]
        events: list[Event] = []
        if month == 1:
            charged.append(cleo)  # one charge for the whole year
        if month == 2:
            events.append(biller.status_change(ada, "paused", date(YEAR, 2, 20)))
        if month == 3:
            events.append(biller.status_change(ada, "active", date(YEAR, 3, 20)))
        else:
            charged.append(ada)
        for person in charged:
            steps = FAILED_FIRST if person is dan and month == 2 else PAID
            events += biller.charge(person, month, steps)
        return events

    def _failed_charge_on_the_way(self) -> None:
        self.sandbox.move_clock(_noon(date(YEAR, 2, 15)))
        dan = [credit for credit in self.sandbox.credits().values() if credit["guest"]["name"] == "Dan Duarte"]
        taken_back = sorted(credit["coupon_name"] for credit in dan if credit["status"] == "revoked")
        self.narrator.line(
            f"15 Feb: Dan's charge of 12 Feb has failed. Taken back: {' and '.join(taken_back) or 'nothing'}. "
            "On 18 Feb it succeeds after all, and the same credits are live again."
        )
        _expect(taken_back, [GUEST_PASS, SPA_CREDIT], "the credits of Dan's failed charge")

    def _live_credit(self, holder: str, coupon_name: str) -> Credit:
        """The oldest live credit of that name that `holder` has."""
        for credit in sorted(self.sandbox.credits().values(), key=lambda credit: str(credit["period_start"])):
            if (credit["guest"]["name"], credit["coupon_name"], credit["status"]) == (holder, coupon_name, "live"):
                return credit
        raise DemoFailed(f"{holder} has no live {coupon_name}.")

    def _changes(self, told: dict[str, Credit], today: date) -> dict[str, list[tuple[Credit, int]]]:
        """The credits that were issued, rolled over, expired and used since the last stop, with how often."""
        nothing = {"status": "", "uses": 0}
        pairs = [(credit, self.known.get(credit_id, nothing)) for credit_id, credit in told.items()]
        return {
            "issued": [(credit, 1) for credit, before in pairs if before is nothing],
            "rolled over": [(credit, 1) for credit, _ in pairs if _outlived_its_period(credit, today)],
            "expired": [(credit, 1) for credit, before in pairs if credit["status"] == "expired" != before["status"]],
            "used": [
                (credit, credit["uses"] - before["uses"]) for credit, before in pairs if credit["uses"] > before["uses"]
            ],
        }

    def _joined_on_the_31st(self) -> None:
        starts = sorted(
            date.fromisoformat(credit["period_start"])
            for credit in self.known.values()
            if (credit["guest"]["name"], credit["coupon_name"]) == ("Ben Bakker", SPA_CREDIT)
        )
        self.narrator.line(f"Ben joined on the 31st; his spa credits: {', '.join(f'{day:%-d %b}' for day in starts)}.")
        ben = self.people["Ben"]
        _expect(starts, [biller.billing_date(ben, month) for month in range(1, 6)], "the dates of Ben's spa credits")

    def _why_no_credit_in_march(self) -> None:
        ada = self.people["Ada"]
        first, last = date(YEAR, 3, 1), date(YEAR, 3, 31)
        rows = self.sandbox.explain(ada.membership_id, self.rule_ids[SPA_CREDIT], first, last)
        self.narrator.why("Why did Ada get no spa credit in March?", ada, rows)
        told = [(row["period_start"], row["reason"]) for row in rows]
        _expect(told, [(f"{YEAR}-03-10", "membership_paused")], "why Ada got no spa credit in March")


def _outlived_its_period(credit: Credit, today: date) -> bool:
    ended = credit["period_end"] is not None and date.fromisoformat(credit["period_end"]) <= today
    return bool(ended and credit["status"] == "live" and not credit["multi_use"])


def _expect(seen: object, expected: object, what: str) -> None:
    if seen != expected:
        raise DemoFailed(f"Not as expected ({what}): saw {seen}, expected {expected}")


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)
