"""Who takes part in the demo: the spa's membership types, coupons and credit rules, and six members."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID, uuid4

#: Far enough ahead that a sandbox clock, which starts at real time, can be moved there; no leap year.
YEAR = 2031

GOLD, CLUB = "Gold spa", "Club"
#: Gold spa is billed by a biller whose events the demo posts; Club needs none.
MEMBERSHIP_TYPES = {GOLD: "external", CLUB: "automatic"}

COUPONS: dict[str, dict[str, Any]] = {
    "spa-50": {
        "name": "Spa credit",
        "description": "50 EUR off any treatment",
        "discount": {"type": "amount", "value": 50, "currency": "EUR"},
        "validity": None,
        "offerings": ["treatments"],
    },
    "guest-pass": {
        "name": "Guest pass",
        "description": "One day in the baths",
        "discount": {"type": "percent", "value": 100},
        "validity": "P60D",
        "offerings": ["baths"],
    },
    "welcome-20": {
        "name": "Welcome gift",
        "description": "20 % off in the shop",
        "discount": {"type": "percent", "value": 20},
        "validity": "P60D",
        "offerings": ["shop"],
    },
    "late-checkout": {
        "name": "Late checkout",
        "description": "Stay until four, as often as you like",
        "discount": {"type": "percent", "value": 100},
        "validity": "P3M",
        "offerings": ["rooms"],
    },
    "free-class": {
        "name": "Free class",
        "description": "One class of yoga",
        "discount": {"type": "percent", "value": 100},
        "validity": None,
        "offerings": ["classes"],
    },
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A credit rule of the demo, and how the story speaks of it."""

    membership_type: str
    coupon_id: str
    says: str
    fields: dict[str, Any]

    @property
    def name(self) -> str:
        return str(COUPONS[self.coupon_id]["name"])


RULES = (
    Rule(
        GOLD,
        "spa-50",
        "on joining and every month, for the lead booker; unused, it ends with its period",
        {"issuing_frequency": "P1M", "issue_on_signup": True, "for_lead_booker_only": True},
    ),
    Rule(
        GOLD,
        "guest-pass",
        "every month, for every guest on the order; unused, it rolls over, for at most 60 days",
        {"issuing_frequency": "P1M", "roll_over": True},
    ),
    Rule(
        GOLD,
        "welcome-20",
        "once, on joining, for the lead booker, for 60 days",
        {"issuing_frequency": "P0D", "issue_on_signup": True, "roll_over": True, "for_lead_booker_only": True},
    ),
    Rule(
        GOLD,
        "late-checkout",
        "on joining and every quarter, for the lead booker, any number of uses",
        {
            "issuing_frequency": "P3M",
            "issue_on_signup": True,
            "multi_use": True,
            "roll_over": True,
            "for_lead_booker_only": True,
        },
    ),
    Rule(CLUB, "free-class", "every billing cycle, with no biller at all", {"issuing_frequency": "billing_cycle"}),
)


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the demo, with the other guests on their order."""

    name: str
    membership_type: str
    starts_on: date
    says: str
    billing_frequency: str = "P1M"
    with_guests: tuple[str, ...] = ()
    membership_id: UUID = field(default_factory=uuid4)

    @property
    def external_user_id(self) -> str:
        return self.name.split()[0].lower()


def people() -> dict[str, Person]:
    """The members by first name, with fresh membership ids."""
    cast = (
        Person("Ada Lovelace", GOLD, date(YEAR, 1, 10), "monthly; paused from 20 Feb to 20 Mar"),
        Person(
            "Ben Bakker", GOLD, date(YEAR, 1, 31), "monthly, joined on the 31st, with Bea", with_guests=("Bea Bakker",)
        ),
        Person("Cleo Costa", GOLD, date(YEAR, 1, 15), "billed once a year", billing_frequency="P1Y"),
        Person("Dan Duarte", GOLD, date(YEAR, 1, 12), "monthly; the charge of 12 Feb fails, and succeeds on 18 Feb"),
        Person(
            "Eve Evans", GOLD, date(YEAR, 1, 20), "monthly, with two guests", with_guests=("Noor Evans", "Sam Evans")
        ),
        Person("Finn Faria", CLUB, date(YEAR, 1, 5), "monthly, no biller: billed automatically"),
    )
    return {person.name.split()[0]: person for person in cast}
