"""One membership of a club in memory: its facts as they arrive, its rules, and the credits that are out.

It is settled by the code that settles rows, without rows: what an outcome came to is taken over as PostgreSQL would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.database.statements import Row
from issuance.deciding.archivings import GuestArchiving
from issuance.deciding.decisions import Decision, decide
from issuance.deciding.facts import Coupon, Credit, Rule, RuleVersion
from issuance.deciding.frequency import IssuingFrequency, parse_validity
from issuance.deciding.history import History
from issuance.deciding.reasons import Reason
from issuance.engine.event_facts import Named, in_order, named_by, numbers_of, read_facts
from issuance.engine.membership import Listed, Membership
from issuance.engine.outcome import Outcome
from issuance.engine.outcomes import outcome_of
from issuance.engine.states import State
from issuance.tenancy.clock import BrandClock

UTC_ZONE = ZoneInfo("UTC")
GOLD, SILVER = UUID(int=1), UUID(int=2)
#: Before anything happened: rules are there from the start unless a test says otherwise.
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ADA, BEN, EVE = UUID(int=0xADA), UUID(int=0xBE), UUID(int=0xE1E)


def at(text: str) -> datetime:
    """An instant in UTC: a date, or a date and a time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def party(*guests: UUID, lead: UUID = ADA) -> dict[str, Any]:
    """The guests of an order as events tell them."""
    return {"guests": [{"guest_id": str(guest), "name": "G", "lead_booker": guest == lead} for guest in guests]}


def version(
    number: int = 1, created_at: datetime = LONG_AGO, *, validity: str | None = None, **says: Any
) -> RuleVersion:
    """A rule version: monthly by billing, on sign-up, rolling over, for everyone, unless it says otherwise."""
    coupon = Coupon("tea", None if validity is None else parse_validity(validity))
    said = {
        "membership_type_id": GOLD,
        "coupon_id": "tea",
        "coupon_name": "Tea",
        "coupon": coupon,
        "roll_over": True,
        "issue_on_signup": True,
        "multi_use": False,
        "for_lead_booker_only": False,
        "frequency": IssuingFrequency.BILLING_CYCLE,
        "include_upcoming": False,
    }
    return RuleVersion(version=number, created_at=created_at, **{**said, **says})


def rule(
    *versions: RuleVersion, deleted_at: datetime | None = None, number: int = 1, made_at: datetime | None = None
) -> Rule:
    """A credit rule of these versions; without any, of the plain one."""
    return Rule(UUID(int=0x1000 + number), versions or (version(),), deleted_at, made_at)


@dataclass
class Life:
    """One membership over time: what was told about it and what it was given."""

    rules: Sequence[Rule] = field(default_factory=lambda: [rule()])
    starts_on: date = date(2030, 1, 31)
    billing_anchor: date | None = None
    billing_frequency: str = "P1M"
    signed_up_at: datetime | None = None
    zone: ZoneInfo = UTC_ZONE
    automatic: bool = False
    #: Whether SILVER is billed automatically; `automatic` tells of GOLD, which memberships sign up for.
    silver_automatic: bool = False
    guests: tuple[UUID, ...] = (ADA,)
    #: Since when guests are archived as members elsewhere.
    archived_guests: dict[UUID, datetime] = field(default_factory=dict)
    #: When guests were brought back who had been archived.
    returned_guests: dict[UUID, datetime] = field(default_factory=dict)
    membership_id: UUID = ADA
    #: What was told, as rows of events, in the order in which it arrived.
    events: list[Any] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    #: Everyone who was ever named, by place: who has a place keeps it.
    _known: list[UUID] = field(default_factory=list)
    due_at: datetime | None = None
    settled_at: datetime | None = None

    def __post_init__(self) -> None:
        self.sign_up_at(self.signed_up_at or datetime.combine(self.starts_on, time(), UTC))

    def sign_up_at(self, instant: datetime) -> None:
        """Begin with a sign-up at an instant."""
        self.signed_up_at = instant
        self.events = []
        self.tell(instant, "membership.signed_up", **party(*self.guests, lead=self.guests[0]))

    def _dates(self) -> dict[str, str]:
        return {
            "membership_type_id": str(GOLD),
            "starts_on": self.starts_on.isoformat(),
            "billing_anchor": (self.billing_anchor or self.starts_on).isoformat(),
            "billing_frequency": self.billing_frequency,
        }

    def tell(
        self, instant: datetime, kind: str, *, event_id: str | None = None, charge_id: str | None = None, **data: Any
    ) -> None:
        """A fact arrives. The order of arrival is that of the calls; that of happening is by its `instant`."""
        said = {"source": "test", "event_id": event_id or f"{len(self.events):04}", "type": kind, "time": instant}
        self.events.append(SimpleNamespace(**said, charge_id=charge_id, data=data, is_news=True))

    def charge(
        self,
        instant: datetime,
        state: str,
        charge_id: str,
        period_start: str,
        period_end: str | None = None,
        **data: Any,
    ) -> None:
        """A fact about a charge arrives."""
        said = {"period_start": period_start, "period_end": period_end, **data}
        self.tell(instant, f"charge.{state}", charge_id=charge_id, **said)

    def status(self, instant: datetime, status: str, ends_on: str | None = None, *, takes_back: bool = False) -> None:
        """A fact about the status arrives."""
        said = {"ends_on": ends_on} if ends_on is not None or takes_back else {}
        self.tell(instant, "membership.status_changed", status=status, **said)

    def change_type(self, instant: datetime, membership_type_id: UUID, current_period: str = "keep") -> None:
        """The membership is of another type from now on."""
        self.tell(
            instant,
            "membership.type_changed",
            membership_type_id=str(membership_type_id),
            current_period=current_period,
        )

    def move(self, instant: datetime, billing_anchor: str, billing_frequency: str | None = None) -> None:
        """The billing date is moved."""
        said = {"billing_anchor": billing_anchor, "billing_frequency": billing_frequency}
        self.tell(instant, "membership.billing_date_moved", **said)

    @property
    def _ordered(self) -> tuple[list[Any], Named]:
        events = sorted(self.events, key=in_order)
        for event in events:
            if event.type == "membership.signed_up":
                event.data.update(self._dates())
        return events, named_by(self.membership_id, cast(list[Row], events))

    @property
    def everybody(self) -> list[UUID]:
        """Everyone who was ever on the order, by place: as they were first named, whenever that arrived."""
        events, named = self._ordered
        by_event = {(events[place].source, events[place].event_id): listed for place, listed in named.items()}
        arrived = (by_event.get((event.source, event.event_id), ()) for event in self.events)
        for listed in arrived:
            for who in listed:
                if who.guest_id not in self._known:
                    self._known.append(who.guest_id)
        return self._known

    @property
    def membership(self) -> Membership:
        """The membership as it would be loaded."""
        events, named = self._ordered
        guest_ids = list(self.everybody)
        places = {guest_id: place for place, guest_id in enumerate(guest_ids)}
        automatic = [type_id for type_id, is_so in ((GOLD, self.automatic), (SILVER, self.silver_automatic)) if is_so]
        rows = cast(list[Row], events)
        facts = read_facts(rows, named, places, self.zone, automatic)
        facts = replace(
            facts,
            archived_guests=(
                *(GuestArchiving(place, since) for place, since in _by_place(self.archived_guests, places)),
                *(GuestArchiving(place, back, back) for place, back in _by_place(self.returned_guests, places)),
            ),
        )
        dates = facts.starts_on, facts.billing_anchor, self.billing_frequency
        return Membership(
            self.membership_id,
            facts,
            State(self.due_at, self.settled_at, None),
            Listed("upcoming", None, GOLD, *dates),
            credits=list(self.credits),
            events=rows,
            named=named,
            guest_ids=guest_ids,
            charge_ids={number: charge_id for charge_id, number in numbers_of(rows).items()},
        )

    def history(self, now: datetime) -> History:
        return self.membership.history(now)

    def decisions(self, now: datetime, last_day: date | None = None) -> list[Decision]:
        decided = decide(self.history(now), self.rules_at(now), last_day)
        return [decision for one in decided for decision in one.decisions]

    def guest(self, decision: Decision) -> UUID:
        """Whom a decision is about."""
        return self.everybody[decision.guest.place]

    def reasons(self, now: datetime, last_day: date | None = None) -> dict[str, Reason]:
        """The reason of each occurrence of the first rule for the lead booker, by its period's start."""
        return {
            decision.occurrence.period_start.isoformat(): decision.reason
            for decision in self.decisions(now, last_day)
            if decision.guest.place == 0 and decision.credit_rule_id == self.rules[0].credit_rule_id
        }

    def rules_at(self, now: datetime) -> list[Rule]:
        """The rules as they had been saved by `now`."""
        saved = []
        for one in self.rules:
            versions = tuple(version for version in one.versions if version.created_at <= now)
            deleted_at = one.deleted_at if one.deleted_at is not None and one.deleted_at <= now else None
            if versions:
                saved.append(Rule(one.credit_rule_id, versions, deleted_at, one.made_at))
        return saved

    def settle(self, now: datetime, *, woke_at: datetime | None = None) -> list[Outcome]:
        """Settle at `now` on a clock that stands there until all is done, and take over what it came to."""
        outcomes: list[Outcome] = []
        while not outcomes or not outcomes[-1].complete:
            assert len(outcomes) < 1000, "a membership falls due a bounded number of times"
            outcomes.append(outcome_of(self.membership, self.rules_at(now), clock_at(now, self.zone, woke_at)))
            self.take(outcomes[-1])
        return outcomes

    def take(self, outcome: Outcome) -> None:
        """Take over what a settling came to, as PostgreSQL would."""
        self.credits = list(outcome.credits.values())
        self.due_at, self.settled_at = outcome.due_at, outcome.now
        if outcome.complete:
            self.events = [SimpleNamespace(**{**vars(event), "is_news": False}) for event in self.events]

    def live(self, now: datetime) -> set[tuple[object, ...]]:
        """The credits that can be used at `now` or later."""
        return {
            (
                credit.key._replace(place=0),
                self.everybody[credit.key.place],
                credit.valid_from,
                credit.expires_at,
                credit.rule_version,
                credit.period_end,
            )
            for credit in self.credits
            if credit.is_held_at(now)
        }


def _by_place(since: dict[UUID, datetime], places: dict[UUID, int]) -> list[tuple[int, datetime]]:
    return [(places[guest_id], at) for guest_id, at in since.items() if guest_id in places]


def clock_at(now: datetime, zone: ZoneInfo = UTC_ZONE, woke_at: datetime | None = None) -> BrandClock:
    """A sandbox clock that stands still."""
    return BrandClock(now, zone, sandbox=True, stands_still=True, woke_at=woke_at)


def changes_of(outcomes: Sequence[Outcome]) -> list[object]:
    """What outcomes would write of credits: those they issued and those they changed."""
    changed = [change for outcome in outcomes for change in outcome.changed.values() if change.before != change.after]
    return [*(issued for outcome in outcomes for issued in outcome.issued), *changed]
