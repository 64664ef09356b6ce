"""What is known of one membership: plain, immutable facts, as decisions read them.

All instants are aware datetimes in UTC, all dates are in the brand's zone. Facts stand in the order
in which they happened: (time, source, id), whenever they arrived (SEMANTICS 7).
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.deciding.frequency import BillingFrequency, IssuingFrequency, Validity


class Status(StrEnum):
    """Where a membership stands (SEMANTICS 7)."""

    UPCOMING = "upcoming"
    ACTIVE = "active"
    BILLING = "billing"
    NEEDS_ATTENTION = "needs_attention"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class ChargeState(StrEnum):
    """What the latest fact about a charge says."""

    INITIATED = "initiated"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


PAYING = frozenset({ChargeState.INITIATED, ChargeState.SUCCEEDED})


class Order(NamedTuple):
    """Sorts facts by when they happened, then by source and id."""

    time: datetime
    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class StatusFact:
    order: Order
    status: Status
    ends_on: date | None


@dataclass(frozen=True, slots=True)
class ChargeFact:
    """One fact about one charge. A partial refund keeps the state: it is no fact here."""

    order: Order
    charge_id: str
    state: ChargeState


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as its latest fact leaves it, with all its facts.

    `period_end` is exclusive; None: it covers up to the next billing boundary.
    """

    charge_id: str
    period_start: date
    period_end: date | None
    facts: tuple[ChargeFact, ...]
    amount: Decimal | None = None
    amount_refunded: Decimal | None = None


class Guest(NamedTuple):
    guest_id: UUID
    lead_booker: bool


@dataclass(frozen=True, slots=True)
class Party:
    """The guests on the order from an instant on; the sign-up's own party was there first."""

    since: datetime
    guests: tuple[Guest, ...]


@dataclass(frozen=True, slots=True)
class Coupon:
    coupon_id: str
    validity: Validity | None


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """An immutable state of a credit rule (SEMANTICS 4)."""

    version: int
    created_at: datetime
    membership_type_id: UUID
    coupon_id: str
    coupon_name: str
    #: None where the coupon is not there: nothing can be issued.
    coupon: Coupon | None
    roll_over: bool
    issue_on_signup: bool
    multi_use: bool
    for_lead_booker_only: bool
    frequency: IssuingFrequency
    include_upcoming: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A credit rule: its versions, 1 first, without the deletion, which `deleted_at` tells."""

    credit_rule_id: UUID
    versions: tuple[RuleVersion, ...]
    deleted_at: datetime | None

    @property
    def latest(self) -> RuleVersion:
        return self.versions[-1]

    def version(self, number: int) -> RuleVersion:
        return self.versions[number - 1]


class CreditKey(NamedTuple):
    """A credit of a membership is unique on this (SEMANTICS 8)."""

    credit_rule_id: UUID
    guest_id: UUID
    period_start: date
    reissue: int


@dataclass(slots=True)
class Credit:
    """A credit that is out."""

    credit_id: UUID
    key: CreditKey
    rule_version: int
    period_end: date | None
    roll_over: bool
    multi_use: bool
    valid_from: datetime
    expires_at: datetime | None
    validity_ends_at: datetime | None
    issued_at: datetime
    manual: bool
    uses: int = 0
    redeemed_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    expired_at: datetime | None = None
    flagged_at: datetime | None = None

    def like(self, credit_id: UUID, guest_id: UUID) -> "Credit":
        """The same credit, under an id and of a guest that may be another."""
        rule_id, _, period_start, reissue = self.key
        return Credit(
            credit_id,
            CreditKey(rule_id, guest_id, period_start, reissue),
            self.rule_version,
            self.period_end,
            self.roll_over,
            self.multi_use,
            self.valid_from,
            self.expires_at,
            self.validity_ends_at,
            self.issued_at,
            self.manual,
            self.uses,
            self.redeemed_at,
            self.revoked_at,
            self.revoked_by,
            self.expired_at,
            self.flagged_at,
        )

    @property
    def is_open(self) -> bool:
        """Neither redeemed, nor revoked, nor found expired."""
        return self.redeemed_at is None and self.revoked_at is None and self.expired_at is None

    def is_held_at(self, now: datetime) -> bool:
        """Unredeemed, unexpired and unrevoked; one not yet valid counts too (SEMANTICS 9)."""
        return (
            self.redeemed_at is None and self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
        )


@dataclass(frozen=True, slots=True)
class MembershipFacts:
    """Everything that a decision about one membership rests on, up to some instant."""

    membership_id: UUID
    membership_type_id: UUID
    zone: ZoneInfo
    #: The type's `billing: automatic`: charges need no biller (SEMANTICS 7).
    automatic: bool
    signed_up_at: datetime
    starts_on: date
    billing_anchor: date
    billing_frequency: BillingFrequency
    signup_party: tuple[Guest, ...]
    moves: tuple[tuple[datetime, date], ...] = ()
    statuses: tuple[StatusFact, ...] = ()
    charges: tuple[Charge, ...] = ()
    parties: tuple[Party, ...] = ()
    member_archived_at: datetime | None = None
    #: Guests who are members elsewhere, and archived there.
    archived_guests: frozenset[UUID] = frozenset()
    credits: tuple[Credit, ...] = ()
    #: The next fact that is known but has not happened yet at the instant.
    next_fact_at: datetime | None = None
